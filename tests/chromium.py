"""A real Chromium for tests of pages: what it runs, and what it complains about."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

PATHS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
# Nothing but the pages under test: no sandbox (the tests may run as root), no calls home.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# Two cores, a server that hashes passwords, and a browser: five seconds can be too short.
expect.set_options(timeout=20_000)


def require_chromium() -> str:
    """Where Chromium is. Otherwise skip the calling test, saying why; under CI, where it has to
    be there, fail."""
    found = next(filter(None, map(shutil.which, PATHS)), None)
    if found is not None:
        return found
    reason = f"needs Chromium (looked for {', '.join(PATHS)})"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that has never been anywhere.

    While it runs its thread counts as inside an event loop: no test of the same module may be
    async, nor use Django's database in this process.
    """
    path = require_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def complaints(page: Page) -> list[str]:
    """A list that grows with what the page complains about from now on: errors on its console
    (a content security policy's refusals are among them) and exceptions of its scripts."""
    found: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.append(f"{page.url}: {message.text}")

    page.on("console", said)
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
    return found


def log_in(page: Page, url: str, jwt: str) -> None:
    """Give the page's browser the cookie that a login at `url` would have left."""
    page.context.add_cookies(
        [{"name": "jwt_token", "value": jwt, "url": url, "httpOnly": True, "sameSite": "Strict"}]
    )


def inaccessible(page: Page, within: str | None = None) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA on the page as it is, or `within` what that
    selector finds: rule and where."""
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    options = {"runOnly": {"type": "tag", "values": rules}, "resultTypes": ["violations"]}
    found = Axe().run(page, context=within, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for rule in found
        for node in rule["nodes"]
    ]
