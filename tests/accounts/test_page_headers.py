"""What our pages tell a browser not to do; and that no page needs what they forbid."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.accounts.acting import SETUP_TOKEN, Newcomer, app, browser
from tests.browser import Browser
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import ROOT, Gateway

CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
# Of the admin: its theme names its colours in a style sheet of the page, and sets widths.
ADMIN_CSP = CSP | {"style-src-attr": "'unsafe-inline'"}
NONCE = re.compile(r" 'nonce-[\w+/=]{20,}'")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), "
    "publickey-credentials-get=(self), publickey-credentials-create=(self)",
}
ADMIN_PAGES = (
    "/admin/",
    "/admin/accounts/",
    "/admin/accounts/user/",
    "/admin/accounts/user/add/",
    "/admin/accounts/role/add/",
    "/admin/accounts/iprule/add/",
    "/admin/accounts/auditentry/",
    "/admin/auth/group/",
    "/admin/auth/group/add/",
    "/admin/comfyproxy/backend/",
    "/admin/comfyproxy/broadcastevent/add/",
    "/admin/comfyproxy/filerecord/",
    "/admin/comfyproxy/formernamespace/",
    "/admin/comfyproxy/promptrecord/",
    "/admin/comfyproxy/routerule/",
    "/admin/comfyproxy/routerule/add/",
    "/admin/nothing-there/",
)
KEY = """
from accounts.models import User
result = User.objects.get(username=username).pk
"""


def policy(answer: object) -> dict[str, str]:
    header = answer.headers.get("Content-Security-Policy", "")  # type: ignore[attr-defined]
    parts = (part.strip().partition(" ") for part in header.split(";") if part.strip())
    return {name: value for name, _, value in parts}


def check_headers(answer: object) -> None:
    headers = answer.headers  # type: ignore[attr-defined]
    found = policy(answer)
    if "style-src-attr" in found:
        path = urlsplit(answer.url).path  # type: ignore[attr-defined]
        assert path.startswith("/admin/") and found["script-src"] == "'self'"
        found["style-src"] = NONCE.sub("", found["style-src"])
        assert found == ADMIN_CSP
    else:
        assert found == CSP
    assert {name: headers.get(name) for name in HEADERS} == HEADERS


class Inline(HTMLParser):
    """Collects what a policy without 'unsafe-inline' makes a browser ignore; with `styled`, one
    that has it for `style` attributes."""

    def __init__(self, styled: bool) -> None:
        super().__init__()
        self.found: list[str] = []
        self.styled = styled

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        bare_style = tag == "style" and not given.get("nonce")
        # A script of this type is data.
        code = tag == "script" and given.get("type") != "application/json"
        if bare_style or (code and not given.get("src")):
            self.found.append(f"<{tag}>")
        for name, value in given.items():
            if (name == "style" and not self.styled) or name.startswith("on"):
                self.found.append(f"<{tag} {name}>")
            if (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"<{tag} {name}={value}>")


def inline(html: str, *, styled: bool = False) -> list[str]:
    parser = Inline(styled)
    parser.feed(html)
    return parser.found


def test_every_answer_of_ours_carries_them(
    gateway: Gateway, newcomer: Newcomer, anonymous: Client
) -> None:
    person = newcomer("admin")
    page, client = browser(gateway, person), app(gateway, person)
    key = gateway.run(KEY, username=person.username)
    mine = [f"/admin/accounts/user/{key}/{action}/" for action in ("change", "history", "password")]
    answers = [page.get(path) for path in ("/login", *ADMIN_PAGES, *mine)]
    # A refusal, and what answers before a view does.
    answers += [
        page.post("/login", data={"username": "nobody", "password": "wrong"}),
        page.post("/admin/accounts/user/add/", data={}),
        page.post("/admin/", headers={"Origin": "http://evil.example"}),
        anonymous.get("/admin/"),
        anonymous.get("/mss-login/api/me"),
        anonymous.get("/mss-login/none"),
        client.get("/mss-login/api/me"),
        client.get("/mss-login/me/sessions"),
        anonymous.get("/logout"),
    ]
    assert {answer.status_code for answer in answers} == {200, 302, 401, 403, 404}
    for answer in answers:
        check_headers(answer)


def test_no_page_holds_what_they_forbid(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer("admin")
    page = browser(gateway, person)
    key = gateway.run(KEY, username=person.username)
    actions = ("change", "history", "password", "delete")
    pages = [*ADMIN_PAGES, *(f"/admin/accounts/user/{key}/{action}/" for action in actions)]
    found = {path: inline(page.get(path).text, styled=True) for path in pages}
    found["own login"] = inline(page.get("/login").text)
    found["login"] = inline(Browser(gateway.url).get("/login").text)
    refused = Browser(gateway.url).post("/login", data={"username": "nobody", "password": "wrong"})
    found["refused login"] = inline(refused.text)
    stale = page.post("/admin/accounts/user/add/", data={})
    assert (stale.status_code, "Go back, reload" in stale.text) == (403, True)
    found["stale form"] = inline(stale.text)
    chosen = {"action": "delete_selected", "_selected_action": [key]}
    asked = page.submit("/admin/accounts/user/", **chosen)
    assert "Delete these users for good?" in asked.text
    found["delete several"] = inline(asked.text, styled=True)
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_setup_page_carries_them_and_holds_nothing_they_forbid(fresh_page: Browser) -> None:
    answer = fresh_page.get(f"/register?setup_token={SETUP_TOKEN}")
    assert answer.status_code == 200
    check_headers(answer)
    assert inline(answer.text) == []


@pytest.fixture
def fresh_page(tmp_path: Path, comfy: FakeComfyThread) -> Iterator[Browser]:
    """A browser at a gateway that has no owner yet."""
    server = Gateway(tmp_path / "data", comfy.url, MSS_SETUP_TOKEN=SETUP_TOKEN).prepare().start()
    yield Browser(server.url)
    server.stop()


def test_no_template_of_ours_holds_what_they_forbid() -> None:
    templates = sorted((ROOT / "templates").rglob("*.html"))
    assert len(templates) >= 4
    found = {str(path): inline(path.read_text()) for path in templates}
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<script>x()</script>", ["<script>"]),
        ('<script src="">x()</script>', ["<script>"]),
        ('<script src="/a.js"></script>', []),
        ("<style>a{}</style>", ["<style>"]),
        ('<style nonce="">a{}</style>', ["<style>"]),
        ('<style nonce="x">a{}</style>', []),
        ('<script type="application/json">{}</script>', []),
        ('<p STYLE="a:b">', ["<p style>"]),
        ('<a onClick="x()">', ["<a onclick>"]),
        ('<a href=" JavaScript:x()">', ["<a href= JavaScript:x()>"]),
        ('<a href="/x" class="only">', []),
    ],
)
def test_the_search_finds_what_it_looks_for(html: str, expected: list[str]) -> None:
    assert inline(html) == expected


def test_comfyuis_pages_run_as_they_are_but_in_no_strangers_frame(alice: Client) -> None:
    page = alice.get("/")
    assert (page.status_code, "text/html" in page.headers["Content-Type"]) == (200, True)
    assert "Content-Security-Policy" not in page.headers
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "X-Frame-Options" not in alice.get("/queue").headers
