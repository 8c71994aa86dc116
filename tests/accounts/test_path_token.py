"""/t/<token>/… over the wire: it opens what the token opens, and it is told to nobody."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.accounts.acting import app, mint, secrets_in, session
from tests.browser import NAVIGATION
from tests.cast import Person
from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, Refused
from tests.prompts import save
from tests.rawconnection import exchange
from tests.refusals import check_refusal

ME = "/mss-login/api/me"
ALL = (ME, "/api/mss-login/api/me", "/queue", "/api/queue", "/extensions", "/api/extensions")
BAD = "mss_" + "x" * 43
_numbers = count(1)


@pytest.fixture(scope="module")
def server(fresh: Gateway) -> Iterator[Gateway]:
    """The gateway that logs all it can; nothing of what these tests send may be in there."""
    before = len(fresh.log())
    yield fresh
    log = fresh.log()[before:]
    assert "DEBUG" in log and secrets_in(log) == [] and BAD not in log and "path_token" not in log


def somebody(server: Gateway, role: str = "user") -> Person:
    person = Person(f"path-{next(_numbers)}", role)
    server.run(
        "from accounts import models; models.User(username=name, role_id=role).save()",
        name=person.username,
        role=role,
    )
    return person


@pytest.fixture(scope="module")
def person(server: Gateway) -> Person:
    return somebody(server)


@pytest.fixture(scope="module")
def token(server: Gateway, person: Person) -> str:
    return mint(server, person, in_path=True)


@pytest.fixture(scope="module")
def jwt(server: Gateway, person: Person) -> str:
    return session(server, person)


def code(server: Gateway, path: str, **headers: str) -> str:
    """OK, or the code of the refusal."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Client(server.url).get(path, headers=named)
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    if answer.status_code == 200:
        return "OK"
    check_refusal(answer, 401, answer.json()["code"])
    return str(answer.json()["code"])


# --- what it opens --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL)
def test_app_with_nothing_but_a_base_url_gets_in(
    server: Gateway, person: Person, token: str, path: str
) -> None:
    answer = Client(f"{server.url}/t/{token}").get(path)
    assert (answer.status_code, answer.headers["Referrer-Policy"]) == (200, "no-referrer")
    if path.endswith("/me"):
        assert answer.json()["username"] == person.username
        assert answer.json()["auth"] == "api_token"


def test_app_runs_a_prompt_and_follows_it(server: Gateway, person: Person, token: str) -> None:
    phone = Client(f"{server.url}/t/{token}")
    with Listener(phone, headers={}) as socket:
        sent = phone.post("/prompt", json={"prompt": save(), "client_id": socket.sid})
        assert sent.status_code == 200, sent.text
        prompt_id = sent.json()["prompt_id"]
        socket.until_end(prompt_id)
    (picture,) = phone.get(f"/history/{prompt_id}").json()[prompt_id]["outputs"]["2"]["images"]
    assert phone.get("/view", params=picture).headers["Content-Type"] == "image/png"
    # It is the same account whichever way the token comes.
    assert prompt_id in Client(server.url, token).get("/history").json()


def test_app_in_a_web_view_posts_like_a_bearer(server: Gateway, token: str) -> None:
    """No cookie is believed, so there is nothing that another site's page could borrow."""
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://app.example"}, {}):
        answer = Client(f"{server.url}/t/{token}").post("/queue", json={}, headers=headers)
        assert answer.status_code == 200
    headers = {"Origin": "https://app.example"}
    Listener(Client(f"{server.url}/t/{token}"), headers=headers).close()


def test_socket_ends_when_the_token_does(server: Gateway, person: Person) -> None:
    phone = Client(f"{server.url}/t/{mint(server, person, in_path=True, label='short')}")
    socket = Listener(phone, headers={})
    server.run(
        "from accounts import models; models.ApiToken.objects.filter(label='short').delete()"
    )
    assert socket.close_code(seconds=10) == 4401


# --- what it does not -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL)
def test_only_a_token_that_was_made_for_it_counts(
    server: Gateway, person: Person, token: str, jwt: str, path: str
) -> None:
    plain = mint(server, person)
    for bad in (plain, jwt, BAD, "x", "t", "a.b.c"):
        assert code(server, f"/t/{bad}{path}") == "TOKEN_INVALID"
        # Nor does it fall through to what else is sent.
        assert code(server, f"/t/{bad}{path}", Cookie=f"jwt_token={jwt}") == "TOKEN_INVALID"
        assert code(server, f"/t/{bad}{path}?token={token}") == "TOKEN_INVALID"
    assert Client(server.url, plain).get(path).status_code == 200


@pytest.mark.parametrize("path", ALL)
def test_it_stands_above_query_and_cookie_and_beside_no_header(
    server: Gateway, token: str, jwt: str, path: str
) -> None:
    address = f"/t/{token}{path}"
    assert code(server, address, Cookie=f"jwt_token={BAD}") == "OK"
    assert code(server, f"{address}?token={BAD}&access_token={BAD}") == "OK"
    for value in (f"Bearer {token}", f"Bearer {jwt}", "Bearer", "", "Basic x"):
        assert code(server, address, Authorization=value) == "TOKEN_INVALID"


def test_revoked_expired_and_limited_tokens_say_so(server: Gateway) -> None:
    person = somebody(server)
    expired, away = (mint(server, person, in_path=True) for _ in range(2))
    server.run(
        """
from datetime import timedelta
from django.utils import timezone
from accounts import models, tokens
rows = {models.ApiToken.objects.get(token_hash=tokens.token_hash(t)): c for t, c in changes}
for row, change in rows.items():
    if change == "expired":
        row.expires_at = timezone.now()
    else:
        row.networks = ["192.0.2.0/24"]
    row.save()
""",
        changes=[[expired, "expired"], [away, "away"]],
    )
    check_refusal(Client(server.url).get(f"/t/{expired}/queue"), 401, "TOKEN_EXPIRED")
    check_refusal(Client(server.url).get(f"/t/{away}/queue"), 403, "IP_BLOCKED")
    server.run(
        "from accounts import models, services;"
        "user = models.User.objects.get(username=name);"
        "services.set_active(user, False, actor=None)",
        name=person.username,
    )
    other = mint(server, somebody(server), in_path=True, scopes=[])
    check_refusal(
        Client(server.url).get(f"/t/{other}/queue"),
        403,
        "PERMISSION_DENIED",
        permission="can_access_api",
    )


TRICKS = (
    "/%74/{}/queue",
    "/T/{}/queue",
    "/t%2F{}/queue",
    "/t%2f{}%2fqueue",
    "/t/{}%2Fqueue",
    "/t/%6dss_{}/queue",
    "//t/{}/queue",
    "/t//{}/queue",
    "/./t/{}/queue",
    "/x/../t/{}/queue",
    "/t/{}/../queue",
    "/t/./{}/queue",
    "/api/t/{}/queue",
    "/%61pi/t/{}/queue",
    "/api/%54/{}/queue",
    "/t/x/t/{}/queue",
    "/t/{}/t/{}/queue",
    "/t/{}/%74/{}/queue",
    "/t/{}/T/{}/queue",
    "/t/{}/api/t/{}/queue",
    "/t/{};v=1/queue",
    "/t/{}\\queue",
    "/t\\{}\\queue",
    "/t/{}%00/queue",
)
# Nothing that begins with /t: addresses that ComfyUI does not have.
OTHERS = ("/t;v=1/{}/queue", "/%2574/{}/queue", "/tt/{}/queue", "/x/t/{}/queue")


@pytest.mark.parametrize("trick", TRICKS)
def test_another_spelling_opens_nothing_and_reaches_nobody(
    server: Gateway, token: str, trick: str, forwarded: FakeComfyThread
) -> None:
    target = trick.replace("{}", token)
    # Somebody who may call anything of ComfyUI's, and mistyped the address.
    allowed = session(server, somebody(server, "power"))
    for headers in ({}, NAVIGATION, {"Cookie": f"jwt_token={allowed}"}):
        answer = raw_request(server.url, "GET", target, headers)
        assert answer.status in (302, 400, 401, 404), (target, answer.status)
        assert token not in str(answer.headers) + answer.body.decode()
    try:
        address = server.ws_url + target.replace("/queue", "/ws").replace("\\", "%5C")
        connect(address, proxy=None).close()
    except InvalidStatus as refused:
        assert refused.response.status_code in (400, 401, 403, 404)
        assert token.encode() not in (refused.response.body or b"")
    else:
        pytest.fail("the socket opened")
    assert not any(token in record.path for record in forwarded.requests)


@pytest.mark.parametrize("address", OTHERS)
def test_another_address_is_not_taken_for_it(server: Gateway, token: str, address: str) -> None:
    answer = raw_request(server.url, "GET", address.replace("{}", token))
    check_refusal(answer, 401, "AUTH_REQUIRED")


@pytest.mark.parametrize(
    "line",
    [
        "mss:path_token: {}",
        "mss:path_token:{}",
        "MSS:Path_Token: {}",
        "mss: path_token: {}",
        "mss :path_token: {}",
        "mss-path-token: {}",
        "mss_path_token: {}",
        ":path_token: {}",
    ],
)
def test_no_header_of_a_client_passes_for_the_path(server: Gateway, token: str, line: str) -> None:
    for path in (ME, "/queue"):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        answer = exchange(server.url, f"{head}{line.format(token)}\r\n\r\n".encode())
        assert answer.split()[1] in (b"400", b"401")


# --- nobody learns it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "location"),
    [
        ("/", "/login"),
        ("", "/login"),
        ("/view?filename=a.png", "/login?next=%2Fview%3Ffilename%3Da.png"),
        (f"/view?a=1&token={BAD}", "/login?next=%2Fview%3Fa%3D1"),
        (f"/t/{BAD}/view", "/login"),
        ("%2Fview", "/login"),
    ],
)
def test_browser_with_a_bad_address_is_sent_to_the_login_without_it(
    server: Gateway, rest: str, location: str
) -> None:
    answer = Client(server.url).get(f"/t/{BAD}{rest}", headers=NAVIGATION)
    assert (answer.status_code, answer.headers["Location"]) == (302, location)
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_pages_and_the_admin_do_not_open_by_it(server: Gateway) -> None:
    admin = somebody(server, "admin")
    base = f"/t/{mint(server, admin, in_path=True)}"
    cookie = f"jwt_token={session(server, admin)}"
    for headers in (NAVIGATION, NAVIGATION | {"Cookie": cookie}):
        client = Client(server.url)
        client.headers.update(headers)
        form = client.get(f"{base}/login")
        assert form.status_code == 200 and 'name="password"' in form.text
        assert base not in form.text and admin.username not in form.text
        away = client.get(f"{base}/admin/")
        assert away.status_code == 302 and base not in away.headers["Location"]
        assert away.headers["Location"] == "/admin/login/?next=/admin/"
    assert Client(server.url).get("/admin/", headers={"Cookie": cookie}).status_code == 200
    # An API token is no session that could be ended.
    assert Client(server.url).post(f"{base}/logout").status_code == 200
    assert Client(server.url).get(f"{base}{ME}").status_code == 200


def test_token_in_the_path_mints_no_other(server: Gateway, token: str) -> None:
    answer = Client(server.url).post(f"/t/{token}/mss-login/generate_token", json={})
    check_refusal(answer, 403, "PERMISSION_DENIED")


def test_our_assets_are_public_there_too(server: Gateway) -> None:
    answer = Client(server.url).get(f"/t/{BAD}/mss-login/static/mss/pages.css")
    assert answer.status_code == 200
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_comfyui_never_sees_it(
    server: Gateway, person: Person, token: str, forwarded: FakeComfyThread
) -> None:
    phone = Client(f"{server.url}/t/{token}")
    page = {"Referer": f"{server.url}/t/{token}/", "Origin": server.url}
    for path in ("/extensions", "/api/extensions?a=1", "/system_stats", "/object_info"):
        assert phone.get(path, headers=page).status_code == 200
    picture = {"image": ("a.png", b"\x89PNG\r\n\x1a\n", "image/png")}
    assert phone.post("/upload/image", files=picture, headers=page).status_code == 200
    assert phone.post("/prompt", json={"prompt": save()}, headers=page).status_code == 200
    Listener(phone, headers=page).close()
    # The same from a page that was opened by it, with another way to say who asks.
    assert Client(server.url, token).get("/extensions", headers=page).status_code == 200
    seen = "".join(f"{r.path} {r.headers} {r.text}" for r in forwarded.requests)
    assert forwarded.requests and token not in seen
    assert "/t/" not in seen and "path_token" not in seen and "referer" not in seen.lower()


def test_refusal_repeats_nothing_of_it(server: Gateway, token: str) -> None:
    for answer in (
        Client(server.url).get(f"/t/{token}/nothing/here"),
        Client(server.url).post(f"/t/{token}/mss-login/none"),
        Client(server.url).get(f"/t/{token}//x"),
        Client(server.url).get(f"/t/{token}/%ff"),
        Client(server.url).put(f"/t/{token}/queue"),
    ):
        assert 400 <= answer.status_code < 500
        assert token not in answer.text + str(answer.headers)
    assert app(server, somebody(server)).get("/queue").status_code == 200


def test_options_below_it_grants_nothing(server: Gateway, token: str) -> None:
    answer = raw_request(
        server.url, "OPTIONS", f"/t/{token}/prompt", {"Origin": "https://e.example"}
    )
    assert answer.status == 204
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


def test_handshake_is_refused_in_json(server: Gateway, jwt: str) -> None:
    def refusal(bad: str, **headers: str) -> Any:
        with pytest.raises(Refused) as refused:
            Listener(Client(f"{server.url}/t/{bad}"), headers=headers)
        return refused.value.status, refused.value.body["code"]

    cookie = {"Cookie": f"jwt_token={jwt}", "Sec-Fetch-Site": "same-origin"}
    for bad in (BAD, jwt, "x/t/y"):
        assert refusal(bad) == refusal(bad, **cookie) == (401, "TOKEN_INVALID")
