"""/ws: who may open a socket, how it is refused, and the first words on it."""

import json
import uuid
from http.cookies import SimpleCookie
from typing import Any

import pytest
import requests

from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, Refused, data_of, kind, kinds
from tests.prompts import received_one, save, submit
from tests.refusals import asked

pytestmark = pytest.mark.usefixtures("clean_log")

PATHS = ("/ws", "/api/ws")


def refusal(client: Client, path: str, **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        Listener(client, path=path, **options)
    return caught.value


def check_refused(refused: Refused, status: int, code: str, **fields: object) -> None:
    """HTTP before the upgrade, JSON, and never a redirect."""
    assert refused.status == status
    assert refused.headers["Content-Type"].startswith("application/json")
    assert refused.headers["Cache-Control"] == "no-store"
    assert "Location" not in refused.headers
    assert (refused.headers.get("WWW-Authenticate") == "Bearer") is (status == 401)
    sentence = refused.body.pop("error")
    assert isinstance(sentence, str)
    assert refused.body == {"code": code, **fields}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AUTH_REQUIRED"),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}, "AUTH_REQUIRED"),
        ({"Authorization": "Bearer nonsense"}, "TOKEN_INVALID"),
        ({"Authorization": "Bearer mss_nonsense"}, "TOKEN_INVALID"),
        ({"Cookie": "jwt_token=nonsense", "Sec-Fetch-Site": "same-origin"}, "TOKEN_INVALID"),
    ],
    ids=str,
)
def test_nobody_unknown_opens_a_socket(
    path: str, headers: dict[str, str], code: str, anonymous: Client, forwarded: FakeComfyThread
) -> None:
    check_refused(refusal(anonymous, path, headers=headers), 401, code)
    assert asked(forwarded) == []


@pytest.mark.parametrize("path", PATHS)
def test_bad_token_in_the_query_is_no_fall_through_to_the_cookie(path: str, alice: Client) -> None:
    headers = {"Cookie": f"jwt_token={alice.token}", "Sec-Fetch-Site": "same-origin"}
    refused = refusal(alice, path, client_id="x&token=nonsense", headers=headers)
    check_refused(refused, 401, "TOKEN_INVALID")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
    ids=str,
)
def test_another_sites_page_opens_no_socket_with_the_cookie(
    headers: dict[str, str], alice: Client, forwarded: FakeComfyThread
) -> None:
    headers = {**headers, "Cookie": f"jwt_token={alice.token}"}
    check_refused(refusal(alice, "/ws", headers=headers), 403, "CROSS_ORIGIN")
    assert asked(forwarded) == []


def test_own_page_opens_one_with_the_cookie(alice: Client, gateway: Gateway) -> None:
    cookie = {"Cookie": f"jwt_token={alice.token}"}
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": gateway.url}):
        with Listener(alice, "tab", headers={**cookie, **headers}) as socket:
            assert socket.sid == "tab"


def test_token_opens_one_from_anywhere(alice: Client, guest: Client) -> None:
    for client in (alice, guest):
        for name in ("token", "access_token"):
            query = f"tab&{name}={client.token}"
            headers = {"Origin": "https://elsewhere.example"}
            with Listener(client, query, headers=headers) as socket:
                assert socket.sid == "tab"


def test_role_without_the_capability_opens_none(gateway: Gateway, forwarded: Any) -> None:
    code = """
from accounts import models, services
role = models.Role.objects.create(slug="nothing", title="Nothing", rank=10)
services.create_user(username="norah", password=password, role="nothing", actor=None)
"""
    gateway.run(code, password=PASSWORD)
    answer = Client(gateway.url).post("/login", json={"username": "norah", "password": PASSWORD})
    norah = Client(gateway.url, answer.json()["jwt_token"])
    refused = refusal(norah, "/ws")
    check_refused(refused, 403, "PERMISSION_DENIED", permission="can_access_api")
    assert asked(forwarded) == []


@pytest.mark.parametrize("path", ["/ws/", "/WS", "//ws", "/api/api/ws", "/queue", "/x"])
def test_no_other_path_is_a_socket(path: str, power: Client, forwarded: FakeComfyThread) -> None:
    refused = refusal(power, path, client_id=None)
    assert (refused.status, refused.body["code"]) in ((404, "NOT_FOUND"), (400, "BAD_PATH"))
    assert [record for record in forwarded.requests if record.kind == "ws_open"] == []


def test_plain_request_is_told_what_the_address_is(alice: Client) -> None:
    answer = alice.get("/ws")
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("path", PATHS)
def test_first_frame_tells_the_clients_own_id_and_count(
    path: str, bob: Client, forwarded: FakeComfyThread
) -> None:
    unique = uuid.uuid4().hex
    with Listener(bob, f"my%20tab%2F%C3%A9{unique}", path=path) as socket:
        assert socket.frames == [
            {
                "type": "status",
                "data": {
                    "status": {"exec_info": {"queue_remaining": 0}},
                    "sid": f"my tab/é{unique}",
                },
            }
        ]
    (opened,) = (record for record in forwarded.requests if record.kind == "ws_open")
    assert opened.sid is not None
    assert unique not in opened.sid
    # Neither the token nor where the client comes from goes on.
    assert bob.token not in opened.path


@pytest.mark.parametrize("path", ["/ws", "/ws?clientId=", "/api/ws?clientid=x"])
def test_socket_without_an_id_gets_one_that_it_may_use_again(
    path: str, alice: Client, forwarded: FakeComfyThread
) -> None:
    with Listener(alice, None, path=path) as first, Listener(alice, None, path=path) as other:
        assert len({first.sid, other.sid, "", None}) == 4
        prompt_id = submit(alice, save(), client_id=first.sid)
        first.until_end(prompt_id)
        assert kinds(other.rest(0.2), "status") == []
    with Listener(alice, first.sid) as again:
        assert again.sid == first.sid
        again.until_end(submit(alice, save(), client_id=again.sid))
    sids = {record.sid for record in forwarded.requests if record.kind == "ws_open"}
    assert received_one(forwarded, prompt_id)["client_id"] in sids


def test_overlong_id_is_refused(alice: Client, forwarded: FakeComfyThread) -> None:
    refused = refusal(alice, "/ws", client_id="x" * 257)
    check_refused(refused, 400, "BAD_REQUEST", field="clientId")
    with Listener(alice, "y" * 256) as socket:
        assert socket.sid == "y" * 256


def test_flags_are_answered_as_comfyui_answers(alice: Client, comfy: FakeComfyThread) -> None:
    features = requests.get(f"{comfy.url}/features", timeout=5).json()
    with Listener(alice) as socket:
        for flags in ({"supports_preview_metadata": True}, {}, None):
            socket.socket.send(json.dumps({"type": "feature_flags", "data": flags}))
            answer = socket.until(lambda frame: kind(frame) == "feature_flags")[-1]
            assert data_of(answer) == features


def test_gateways_own_flags_reach_comfyui_first_and_the_clients_never(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    with Listener(alice) as socket:
        flags = {"type": "feature_flags", "data": {"supports_preview_metadata": False}}
        socket.socket.send(json.dumps(flags))
        socket.until(lambda frame: kind(frame) == "feature_flags")
        socket.socket.send('{"type": "marker"}')
        socket.until_end(submit(alice, save(), client_id=socket.sid))
    sent = [record.text for record in forwarded.requests if record.kind == "ws_frame"]
    assert [json.loads(text) for text in sent] == [
        {"type": "feature_flags", "data": {"supports_preview_metadata": True}},
        {"type": "marker"},
    ]


def test_login_cookie_is_the_one_that_the_page_uses(gateway: Gateway) -> None:
    answer = requests.post(
        f"{gateway.url}/login",
        json={"username": ALICE.username, "password": PASSWORD},
        timeout=10,
    )
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["jwt_token"].value
    headers = {"Cookie": f"jwt_token={cookie}", "Origin": gateway.url}
    with Listener(Client(gateway.url), "tab", headers=headers) as socket:
        assert socket.sid == "tab"


def test_no_token_shows_in_the_log(alice: Client, gateway: Gateway) -> None:
    before = len(gateway.log())
    with Listener(alice, f"tab&token={alice.token}", headers={}):
        pass
    with pytest.raises(Refused):
        Listener(alice, "tab&token=mss_secret-nonsense", headers={})
    log = gateway.log()[before:]
    assert alice.token is not None
    assert alice.token not in log
    assert "secret-nonsense" not in log
