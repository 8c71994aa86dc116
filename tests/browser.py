"""A person's browser: keeps cookies, sends the headers browsers add, fills in HTML forms."""

from html.parser import HTMLParser
from typing import Any

import requests

from tests.client import Client

NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
}


class Browser(Client):
    """Goes to pages and posts their forms.

    `session` is the JWT that a login left in its cookie.
    """

    def __init__(self, base_url: str, session: str | None = None) -> None:
        super().__init__(base_url)
        self.headers.update(NAVIGATION)
        if session is not None:
            self.cookies.set("jwt_token", session)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if method == "POST":
            kwargs["headers"] = {"Origin": self.base_url, **(kwargs.get("headers") or {})}
        return super().request(method, url, *args, **kwargs)

    def submit(self, path: str, **changes: Any) -> requests.Response:
        """Open the page, change these fields of its form (None: leave it out), send it."""
        page = self.get(path)
        assert page.status_code == 200, (page.status_code, page.text[:300])
        fields = form_fields(page.text) | changes
        return self.post(path, data={k: v for k, v in fields.items() if v is not None})


def form_fields(html: str) -> dict[str, Any]:
    """What a browser would send of the page's last form, submit buttons aside."""
    parser = _FormParser()
    parser.feed(html)
    return parser.fields


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}
        self._select = ""
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        match tag:
            case "form":
                self.fields = {}
            case "input" if name and given.get("type") not in ("submit", "file"):
                if given.get("type") == "checkbox" and "checked" in given:
                    # Several of a name are sent, each once.
                    before = self.fields.get(name, [])
                    more = [given.get("value") or "on"]
                    self.fields[name] = before + more if isinstance(before, list) else more
                elif given.get("type") not in ("checkbox", "radio") or "checked" in given:
                    self.fields[name] = given.get("value") or "on"
                if given.get("type") in (None, "text", "hidden", "email", "number", "password"):
                    self.fields[name] = given.get("value") or ""
            case "select" if name:
                self._select = name
                self.fields[name] = [] if "multiple" in given else ""
            case "option" if self._select and "selected" in given:
                if isinstance(self.fields[self._select], list):
                    self.fields[self._select].append(given.get("value") or "")
                else:
                    self.fields[self._select] = given.get("value") or ""
            case "textarea" if name:
                self._area = name
                self.fields[name] = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        if tag == "textarea":
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")
            self._area = ""
