"""ComfyUI's page of any version in a Chromium, with our extension in it: hands and eyes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests.chromium import log_in
from tests.frontendpage import NO_NETWORK, READY, SETTINGS, Troubles

# Where `./run test` puts the oldest, and what the simulated ComfyUI calls the installed one.
FRONTENDS: Final = {
    "oldest": str(Path(sys.prefix) / "frontend-oldest" / "comfyui_frontend_package" / "static"),
    "newest": "auto",
}
DESKTOP: Final[ViewportSize] = {"width": 1300, "height": 850}
PHONE: Final[ViewportSize] = {"width": 390, "height": 800}

# The page of 1.27 shows nothing at all if it may not keep the open workflow.
PREFERENCES: Final = {
    name: value for name, value in SETTINGS.items() if name != "Comfy.Workflow.Persist"
}

Workflow = dict[str, Any]


def workflow(prefix: str, checkpoint: str | None = None) -> Workflow:
    """One picture, saved under `prefix`; and a loader of a checkpoint that nothing uses."""
    nodes: list[dict[str, Any]] = [
        _node(1, "EmptyImage", [64, 64, 1, 255], outputs=[("IMAGE", [1])]),
        _node(2, "SaveImage", [prefix], inputs=[("images", "IMAGE", 1)]),
    ]
    if checkpoint is not None:
        outputs: list[tuple[str, list[int]]] = [("MODEL", []), ("CLIP", []), ("VAE", [])]
        nodes.append(_node(3, "CheckpointLoaderSimple", [checkpoint], outputs=outputs))
    return {
        "last_node_id": len(nodes),
        "last_link_id": 1,
        "nodes": nodes,
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _node(
    number: int,
    name: str,
    values: list[Any],
    inputs: list[tuple[str, str, int]] | None = None,
    outputs: list[tuple[str, list[int]]] | None = None,
) -> dict[str, Any]:
    return {
        "id": number,
        "type": name,
        "pos": [60 + 380 * (number - 1), 100],
        "size": [320, 200],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [{"name": n, "type": t, "link": link} for n, t, link in inputs or []],
        "outputs": [{"name": n, "type": n, "links": links} for n, links in outputs or []],
        "properties": {},
        "widgets_values": values,
    }


class ComfyPage:
    """The page at an address."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.troubles = Troubles(page, url)

    def open(self) -> Self:
        self.page.goto(self.url)
        return self.is_there()

    def is_there(self) -> Self:
        """Wait until it is loaded, wherever it was asked for."""
        self.page.wait_for_function(READY)
        self.page.wait_for_timeout(500)
        return self

    def load(self, given: Workflow) -> None:
        """Put a workflow on the canvas."""
        self.page.evaluate("workflow => app.loadGraphData(workflow)", given)

    def on_canvas(self) -> list[Any]:
        """What is in the fields of the canvas' nodes."""
        values: list[Any] = self.page.evaluate(
            "() => (app.rootGraph ?? app.graph).serialize().nodes.map(n => n.widgets_values)"
        )
        return values

    def run_button(self) -> Locator:
        """1.27 has a button with another for its menu inside what newer pages have as one."""
        split = self.page.locator("[data-testid=queue-button] .p-splitbutton-button")
        return split.or_(self.page.locator("button[data-testid=queue-button]"))

    def tab(self, name: str) -> Locator:
        """Open a tab of the sidebar that is ours: its content."""
        panel = self.page.locator(".mss-panel").and_(self.page.get_by_label(name))
        if not panel.is_visible():
            self.page.get_by_role("button", name=name, exact=True).click()
        expect(panel).to_be_visible()
        return panel

    def menu_open(self, name: str) -> list[str]:
        """Open a menu of ComfyUI's own menu: what it offers."""
        # 1.27 has a menu of the logo, newer ones a button.
        logo = self.page.locator("[data-testid=comfy-menu-button], .comfyui-logo-wrapper")
        logo.first.click()
        before = self.page.get_by_role("menuitem").filter(visible=True).all_inner_texts()
        self.page.get_by_role("menuitem", name=name, exact=True).hover()
        shown = self.page.get_by_role("menuitem").filter(visible=True)
        expect(shown).not_to_have_count(len(before))
        found = [text.strip() for text in shown.all_inner_texts()]
        return [text for text in found if text not in before and "\n" not in text]

    def menu(self, name: str) -> list[str]:
        """What it offers; it is closed again."""
        found = self.menu_open(name)
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Escape")
        return found

    def tells(self, text: str) -> None:
        """That a message with this text pops up."""
        expect(self.toasts().filter(has_text=text).first).to_be_visible()

    def toasts(self) -> Locator:
        return self.page.locator(".p-toast-message, [data-sonner-toast], li[role=alert]")

    def close_dialogs(self) -> None:
        while self.page.get_by_role("dialog").count():
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(100)


@contextmanager
def comfy_page(
    browser: Browser, url: str, jwt: str | None = None, size: ViewportSize = DESKTOP
) -> Iterator[ComfyPage]:
    """A browser of its own, not yet there, of whom the session `jwt` belongs to."""
    with browser.new_context(proxy=NO_NETWORK, reduced_motion="reduce", viewport=size) as context:
        page = context.new_page()
        if jwt is not None:
            log_in(page, url, jwt)
        yield ComfyPage(page, url)
