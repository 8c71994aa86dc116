"""ComfyUI's own page in a Chromium: what people do with workflows there, what troubles it has."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, ProxySettings, Request, Response, expect

from tests.chromium import complaints, log_in
from tests.client import Client

# The page asks for news, whether models can be downloaded, and more. Nobody listens there: it
# hears so at once, and complains, now sooner, now later.
NO_NETWORK: ProxySettings = {"server": "http://127.0.0.1:9", "bypass": "127.0.0.1"}

SETTINGS = {
    # No tour, no templates, no news.
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    # What is open would come back from the browser's storage: it is to come from the server.
    "Comfy.Workflow.Persist": False,
    # Nobody looks: draw little.
    "Comfy.Minimap.Visible": False,
    "LiteGraph.Canvas.MaximumFps": 10,
}

# The front end's own word for it: its start is over, the first workflow is on the canvas.
READY = """() => {
    const desk = window.app?.extensionManager;
    return desk?.spinner === false && !!desk.workflow?.activeWorkflow;
}"""

UUID = re.compile(r"#?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
AWAY = "net::ERR_PROXY_CONNECTION_FAILED"
PERCENTAGE = re.compile(r"[\d.]+%")


class Troubles:
    """What a page at an address complains about from now on, and its server's refusals."""

    def __init__(self, page: Page, url: str) -> None:
        self._url = url
        self._complaints = complaints(page)
        self._failures: set[str] = set()
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)

    def found(self) -> set[str]:
        """All of it, free of what differs from one visit to the next."""
        said = {
            text.partition(": ")[2].replace(self._url, "")
            for text in self._complaints
            if AWAY not in text
        }
        return {PERCENTAGE.sub("#%", UUID.sub("#", text)) for text in said} | self._failures

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400:
            self._note(answer.request, str(answer.status))

    def _failed(self, request: Request) -> None:
        # Playwright calls it aborted when the page leaves an answer's body unread.
        if request.failure != "net::ERR_ABORTED":
            self._note(request, str(request.failure))

    def _note(self, request: Request, trouble: str) -> None:
        if request.url.startswith(self._url):
            self._failures.add(f"{request.method} {urlsplit(request.url).path}: {trouble}")


class FrontendPage:
    """The front end at an address, with its list of saved workflows at the side."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self._url = url
        self._troubles = Troubles(page, url)
        self._browse = page.locator(".comfyui-workflows-browse")
        self._dialog = page.get_by_role("dialog")
        # The first node of the default workflow that has a text.
        self._text = page.locator("textarea").first

    def open(self) -> Self:
        """Load the page, or load it anew."""
        if self._page.url.startswith(self._url):
            self._page.reload()
        else:
            self._page.goto(self._url)
        self._page.wait_for_function(READY)
        # It goes on asking, for models that its default workflow names and for more.
        self._page.wait_for_timeout(1000)
        self._page.get_by_role("button", name="Workflows (w)", exact=True).click()
        expect(self._browse).to_be_visible()
        expect(self._text).to_be_visible()
        return self

    def write(self, text: str) -> None:
        """Change the workflow on the canvas."""
        self._text.fill(text)

    def shows(self, text: str) -> None:
        """That the workflow on the canvas is the one with this text."""
        expect(self._text).to_have_value(text)

    def ask_to_save(self) -> None:
        """Want what is on the canvas saved, whatever comes of it."""
        self._page.keyboard.press("Control+s")

    def save_as(self, name: str) -> None:
        self.ask_to_save()
        self._dialog.get_by_role("textbox").fill(name)
        self._page.keyboard.press("Enter")
        expect(self._row(name)).to_be_visible()
        # Nor does it ask whether it may overwrite something.
        expect(self._dialog).to_have_count(0)

    def rename(self, name: str, new: str) -> None:
        self._choose(name, "Rename")
        self._browse.get_by_role("textbox").fill(new)
        self._page.keyboard.press("Enter")
        expect(self._row(new)).to_be_visible()
        expect(self._row(name)).to_have_count(0)

    def open_saved(self, name: str) -> None:
        """Open a workflow that this page has not read yet."""
        with self._page.expect_response(lambda answer: f"/workflows%2F{name}.json" in answer.url):
            self._row(name).click()

    def delete(self, name: str) -> None:
        self._choose(name, "Delete")
        # Its name begins with the sign of an icon.
        self._dialog.get_by_role("button", name="Delete").click()
        expect(self._row(name)).to_have_count(0)

    def listed(self) -> list[str]:
        """The saved workflows, as the server lists them now."""
        refresh = self._page.get_by_test_id("workflows-refresh-button")
        with self._page.expect_response(lambda answer: "dir=workflows" in answer.url):
            refresh.click()
        expect(refresh).to_have_attribute("aria-busy", "false")
        rows = self._browse.get_by_role("treeitem").all()
        return [row.get_attribute("aria-label") or "" for row in rows]

    def tells(self, text: str) -> None:
        """That a message with this text pops up."""
        expect(self._page.locator("li[role=alert]").filter(has_text=text)).to_be_visible()

    def troubles(self) -> set[str]:
        """See Troubles."""
        return self._troubles.found()

    def _row(self, name: str) -> Locator:
        return self._browse.get_by_role("treeitem", name=name, exact=True)

    def _choose(self, name: str, item: str) -> None:
        self._row(name).click(button="right")
        self._page.get_by_role("menuitem", name=item, exact=True).click()


@contextmanager
def frontend(browser: Browser, url: str, jwt: str | None = None) -> Iterator[FrontendPage]:
    """The page at `url`, opened in a browser of its own by whom the session `jwt` belongs to."""
    answer = Client(url, jwt).post("/api/settings", json=SETTINGS)
    assert answer.status_code == 200, answer.text
    # Without motion nothing waits for an animation, and buttons are there without a hover.
    with browser.new_context(proxy=NO_NETWORK, reduced_motion="reduce") as context:
        page = context.new_page()
        if jwt is not None:
            log_in(page, url, jwt)
        yield FrontendPage(page, url).open()
