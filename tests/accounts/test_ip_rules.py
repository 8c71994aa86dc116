"""IP rules: who may come in at all, who changes that, and that nobody shuts themselves out."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from accounts import addresses
from accounts.iprules import Entry, Rules
from tests.accounts.acting import session
from tests.browser import Browser
from tests.cast import ADMIN, ALICE
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.refusals import check_refusal

LISTS = "/mss-login/api/ip-lists"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOME, AWAY = "203.0.113.7", "198.51.100.9"


CLEAR = """
import io
from django.core.management import call_command
call_command("owner", "clear-ip-rules", stdout=io.StringIO())
"""


def rules(allow: str = "", deny: str = "") -> Rules:
    return Rules(
        tuple(Entry(addresses.network(text)) for text in allow.split()),
        tuple(Entry(addresses.network(text)) for text in deny.split()),
    )


@pytest.mark.parametrize(
    ("allow", "deny", "address", "admitted"),
    [
        ("", "", "anything", True),
        ("", "10.0.0.0/8", "10.1.2.3", False),
        ("", "10.0.0.0/8", "11.1.2.3", True),
        ("", "10.0.0.0/8", "::ffff:10.1.2.3", False),
        ("", "::ffff:10.0.0.0/104", "10.1.2.3", False),
        ("10.0.0.0/8", "", "10.1.2.3", True),
        ("10.0.0.0/8", "", "11.1.2.3", False),
        ("10.0.0.0/8", "10.1.2.3", "10.1.2.3", False),
        ("10.0.0.0/8", "", "::1", False),
        ("2001:db8::/32", "", "2001:db8::5", True),
        ("10.0.0.0/8", "", "not an address", False),
        ("", "10.0.0.0/8", "", False),
    ],
)
def test_rules_admit_what_they_say(allow: str, deny: str, address: str, admitted: bool) -> None:
    assert rules(allow, deny).admit(address, NOW) is admitted


def test_expired_rules_count_no_more() -> None:
    past = Entry(addresses.network("10.0.0.0/8"), NOW - timedelta(seconds=1))
    assert Rules(allow=(past,)).admit("11.0.0.1", NOW)
    assert Rules(deny=(past,)).admit("10.0.0.1", NOW)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway whose clients come from where a trusted proxy says."""
    data = tmp_path_factory.mktemp("guarded")
    with serving(data, comfy.url, (ADMIN, ALICE), MSS_TRUSTED_PROXIES="127.0.0.1") as server:
        yield server


def coming(gateway: Gateway, address: str, token: str | None = None) -> Client:
    client = Client(gateway.url, token)
    client.headers["X-Forwarded-For"] = address
    return client


@pytest.fixture
def admin(guarded: Gateway) -> Iterator[Client]:
    client = coming(guarded, HOME, session(guarded, ADMIN))
    yield client
    assert client.put(LISTS, json={"whitelist": [], "blacklist": []}).status_code == 200


def test_blocked_address_reaches_nothing_and_others_everything(
    guarded: Gateway, admin: Client
) -> None:
    token = session(guarded, ALICE)
    blocked, free = coming(guarded, AWAY, token), coming(guarded, HOME, token)
    assert blocked.get("/queue").status_code == 200
    assert admin.put(LISTS, json={"blacklist": ["198.51.100.0/24"]}).status_code == 200
    for path in ("/", "/queue", "/login", "/mss-login/api/me", "/mss-login/static/mss/pages.css"):
        check_refusal(blocked.get(path), 403, "IP_BLOCKED")
    check_refusal(blocked.post("/login", json={}), 403, "IP_BLOCKED")
    check_refusal(blocked.options("/queue"), 403, "IP_BLOCKED")
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{guarded.ws_url}/ws?token={token}", additional_headers={"X-Forwarded-For": AWAY})
    assert refused.value.response.status_code == 403
    assert free.get("/queue").status_code == 200
    assert admin.put(LISTS, json={"blacklist": []}).status_code == 200
    assert blocked.get("/queue").status_code == 200


def test_admin_reads_back_what_was_set(admin: Client) -> None:
    later = "2031-01-02T03:04:05Z"
    body = {
        "whitelist": [HOME, "10.1.2.3/8", {"network": "2001:db8::/32", "note": "the office"}],
        "blacklist": [{"network": AWAY, "expires_at": later}],
    }
    answer = admin.put(LISTS, json=body)
    assert answer.status_code == 200
    assert answer.json() == admin.get(LISTS).json()
    assert answer.json() == {
        "whitelist": [
            "10.0.0.0/8",
            {"network": "2001:db8::/32", "expires_at": None, "note": "the office"},
            f"{HOME}/32",
        ],
        "blacklist": [{"network": f"{AWAY}/32", "expires_at": later, "note": ""}],
    }
    # A list that is not named stays.
    kept = admin.put(LISTS, json={"blacklist": []}).json()
    assert (kept["whitelist"], kept["blacklist"]) == (answer.json()["whitelist"], [])


@pytest.mark.parametrize(
    "body", [{"whitelist": [AWAY]}, {"blacklist": [HOME]}, {"blacklist": ["0.0.0.0/0"]}], ids=str
)
def test_admin_does_not_shut_themselves_out_without_saying_so(
    guarded: Gateway, admin: Client, body: dict[str, list[str]]
) -> None:
    before = admin.get(LISTS).json()
    check_refusal(admin.put(LISTS, json=body), 409, "WOULD_LOCK_OUT")
    assert admin.get(LISTS).json() == before
    assert admin.put(LISTS, json={**body, "confirm": True}).status_code == 200
    check_refusal(admin.get(LISTS), 403, "IP_BLOCKED")
    guarded.run(CLEAR)
    # Another process's change is noticed within 5 s; a restart is quicker.
    guarded.stop()
    guarded.start()


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"whitelist": "10.0.0.0/8"},
        {"whitelist": ["nowhere"]},
        {"whitelist": ["10.0.0.0/99"]},
        {"blacklist": [7]},
        {"blacklist": [{"note": "x"}]},
        {"blacklist": [{"network": AWAY, "expires_at": "soon"}]},
        {"blacklist": [], "confirm": "yes"},
    ],
    ids=str,
)
def test_malformed_lists_change_nothing(admin: Client, body: object) -> None:
    before = admin.get(LISTS).json()
    answer = admin.put(LISTS, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert admin.get(LISTS).json() == before


def test_admin_page_warns_before_it_shuts_its_user_out(guarded: Gateway, admin: Client) -> None:
    page = Browser(guarded.url, session(guarded, ADMIN))
    page.headers["X-Forwarded-For"] = HOME
    add = "/admin/accounts/iprule/add/"
    fields = {"kind": "deny", "network": HOME, "expires_at_0": "", "expires_at_1": "", "note": ""}
    refused = page.submit(add, **fields)
    assert (refused.status_code, refused.headers["Location"]) == (302, add)
    assert admin.get(LISTS).json()["blacklist"] == []
    fine = page.submit(add, **{**fields, "network": "192.0.2.0/24"})
    assert fine.status_code == 302
    assert admin.get(LISTS).json()["blacklist"] == ["192.0.2.0/24"]
