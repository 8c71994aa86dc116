"""What people see of a refusal: a page that says what to do; clients get JSON as ever."""

from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.accounts.acting import session
from tests.cast import ALICE, GUEST, PASSWORD
from tests.chromium import complaints, inaccessible, log_in
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.refusals import check_refusal, faults, wait_until

BROWSER = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeComfyThread]:
    """One that comes and goes."""
    with FakeComfyThread(tmp_path_factory.mktemp("comfy"), seed=True) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    with serving(tmp_path_factory.mktemp("gateway"), comfy.url, (ALICE, GUEST)) as server:
        server.run(CLOSED)
        yield server
        assert faults(server.log(), [PASSWORD]) == []


# Guests may not even look.
CLOSED = """
from accounts.models import Role
Role.objects.get(slug="guest").permissions.clear()
result = None
"""


@pytest.fixture
def alice(gateway: Gateway) -> Client:
    return Client(gateway.url, session(gateway, ALICE), gateway.namespaces["alice"])


@pytest.fixture
def guest(gateway: Gateway) -> Client:
    return Client(gateway.url, session(gateway, GUEST))


@pytest.fixture
def away(comfy: FakeComfyThread) -> Iterator[FakeComfyThread]:
    comfy.stop_listening()
    yield comfy
    if not is_there(comfy):
        comfy.come_back()


def is_there(comfy: FakeComfyThread) -> bool:
    try:
        return requests.get(comfy.url, timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


def check_page(answer: requests.Response, status: int, code: str, *texts: str) -> None:
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        status,
        "text/html; charset=utf-8",
    )
    for text in (code, *texts):
        assert text in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert {"script-src 'self'", "default-src 'none'"} < set(policy.split("; "))
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/view?filename=x.png", "/assets/x.js"])
def test_person_whose_role_may_not_look_is_told_so(guest: Client, path: str) -> None:
    page = guest.get(path, headers=BROWSER)
    check_page(page, 403, "PERMISSION_DENIED", "Your role does not allow this", 'href="/logout"')
    check_refusal(guest.get(path), 403, "PERMISSION_DENIED", permission="can_access_api")
    for api in ("/api/queue", "/api/view?filename=x.png"):
        answer = guest.get(api, headers=BROWSER)
        check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_access_api")


def test_person_opens_a_picture_that_is_not_theirs_and_is_told_so(alice: Client) -> None:
    path = "/view?filename=nothing.png&type=output"
    check_page(alice.get(path, headers=BROWSER), 404, "NOT_FOUND", "There is nothing here")
    check_refusal(alice.get(path), 404, "NOT_FOUND")


def test_person_who_may_not_download_is_told_so_by_a_page(gateway: Gateway) -> None:
    cookies = {"jwt_token": session(gateway, ALICE)}
    answer = requests.get(
        f"{gateway.url}/account/downloads", headers=BROWSER, cookies=cookies, timeout=10
    )
    check_page(answer, 403, "PERMISSION_DENIED", "Your role does not allow this")


def test_person_types_an_address_that_is_none_and_is_told_so(alice: Client) -> None:
    answer = alice.get("/view/%2e%2e%2fx", headers=BROWSER)
    check_page(answer, 400, "BAD_PATH", "This was refused", "The address is not valid.")


def test_stranger_is_still_led_to_the_login(gateway: Gateway) -> None:
    answer = Client(gateway.url).get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")


def test_host_that_is_not_ours_is_told_so(gateway: Gateway) -> None:
    answer = Client(gateway.url).get("/", headers={**BROWSER, "Host": "evil.example"})
    check_page(answer, 400, "BAD_REQUEST", "This host name is not configured")
    assert "evil" not in answer.text


def test_client_of_a_comfyui_that_is_away_gets_json_and_a_person_a_page_that_tries_again(
    alice: Client, away: FakeComfyThread
) -> None:
    check_refusal(alice.get("/"), 502, "UPSTREAM_UNREACHABLE")
    page = alice.get("/", headers=BROWSER)
    check_page(page, 502, "UPSTREAM_UNREACHABLE", "ComfyUI does not answer", "tries again")
    assert int(page.headers["Retry-After"]) > 0
    head = alice.head("/", headers=BROWSER)
    assert (head.status_code, head.content) == (502, b"")


@pytest.mark.parametrize("accepted", ["de-CH,de;q=0.9", "xx", "", "\xff\x00;;q=", "a" * 5000])
def test_any_language_may_be_asked_for(alice: Client, accepted: str) -> None:
    headers = {**BROWSER, "Accept-Language": accepted.encode("latin-1").replace(b"\0", b"")}
    answer = alice.get("/view?filename=nothing.png", headers=headers)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    german = accepted.startswith("de")
    assert (f'<html lang="{"de" if german else "en"}">' in answer.text) is True
    cookies = {"mss_language": "fr"}
    chosen = alice.get("/view?filename=nothing.png", headers=headers, cookies=cookies)
    assert '<html lang="fr">' in chosen.text


def test_page_of_a_comfyui_that_was_away_loads_it_when_it_comes(
    gateway: Gateway, away: FakeComfyThread, chromium_browser: Browser
) -> None:
    with chromium_browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        said = complaints(page)
        log_in(page, gateway.url, session(gateway, ALICE))
        page.goto(gateway.url)
        expect(page.get_by_role("heading")).to_have_text("ComfyUI does not answer")
        assert inaccessible(page) == []
        # The browser says that the page itself is a 502; nothing else.
        assert [text for text in said if "502" not in text] == []
        away.come_back()
        wait_until(lambda: is_there(away), 10)
        expect(page.get_by_text("ComfyUI does not answer")).to_have_count(0)
