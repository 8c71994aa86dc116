"""No spelling of an address reaches ComfyUI behind the policy's back: sent raw, byte for byte."""

import json

import pytest

from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")


def spellings(path: str) -> list[str]:
    """Ways to write `/first/rest…` that some server, somewhere, takes for it."""
    first, _, rest = path[1:].partition("/")
    tail = f"/{rest}" if rest else ""
    odd_first = f"%{ord(first[0]):02x}{first[1:]}"
    upper_hex = f"%{ord(first[0]):02X}{first[1:]}"
    return [
        path,
        f"/{odd_first}{tail}",
        f"/{upper_hex}{tail}",
        f"/{first[:-1]}%{ord(first[-1]):02x}{tail}",
        f"/{first.upper()}{tail}",
        f"/{first.title()}{tail}",
        f"//{first}{tail}",
        f"///{first}{tail}",
        f"{path}/",
        f"{path}//",
        f"/.{path}",
        f"/./{first}{tail}",
        f"/%2e/{first}{tail}",
        f"/..{path}",
        f"/x/..{path}",
        f"/x/%2e%2e{path}",
        f"/x/.%2E{path}",
        f"/assets/..{path}",
        f"/assets/..%2f{first}{tail}",
        f"/assets/%2e%2e%2f{first}{tail}",
        f"/assets/..%5c{first}{tail}",
        f"/assets/..%252f{first}{tail}",
        f"/extensions/x/../..{path}",
        f"/mss-login/..{path}",
        f"/login/..{path}",
        f"/login%2f..{path}",
        f"/mss-login/static/..%2f..%2f{first}{tail}",
        f"/queue/..{path}",
        f"/queue%2f..{path}",
        f"/%2f{first}{tail}",
        f"/{first}{tail.replace('/', '//')}" if tail else f"//{first}//",
        f"/{first}{tail.replace('/', '%2f')}" if tail else f"/{first}%2f",
        f"/{first}{tail.replace('/', '%5c')}" if tail else f"/{first}%5c",
        f"/{first}{tail.replace('/', '/./')}" if tail else f"/{first}/.",
        f"{path}/.",
        f"{path}/x/..",
        f"{path}%00",
        f"{path}%00.js",
        f"{path}%0a",
        f"{path}%0d%0aX-A:1",
        f"{path}%20",
        f"{path}+",
        f"{path}.",
        f"{path};x=1",
        f"/{first};x=1{tail}",
        f"{path}.js",
        f"{path}%2ejs",
        f"{path}%3f.js",
        f"{path}?.js",
        f"{path}%23.js",
        f"{path}#.js",
        f"{path}?token",
        f"/api{path}",
        f"/api/{odd_first}{tail}",
        f"/%61pi{path}",
        f"/API{path}",
        f"/Api{path}",
        f"/api/api{path}",
        f"/api//{first}{tail}",
        f"/api/.{path}",
        f"/api/..{path}",
        f"/api%2f{first}{tail}",
        f"/%2fapi{path}",
        f"/x/../api{path}",
        f"http://127.0.0.1{path}",
        f"http://upstream.example{path}",
        f"http://user@upstream.example/api{path}",
        f"/{first}%c0%af{rest}",
        f"/{first}%e2%88%95{rest}",
        f"/{first}%ef%bc%8f{rest}",
        f"/%ff{first}{tail}",
        f"/%{path}",
        f"/%zz{path}",
        f"/{first}%u002f{rest}",
        "/" + "a/" * 5000 + "../" * 5000 + path[1:],
    ]


FORBIDDEN = [
    ("GET", "/internal/logs"),
    ("GET", "/internal/folder_paths"),
    ("POST", "/free"),
    ("POST", "/users"),
    ("POST", "/credentials"),
    ("GET", "/manager/version"),
    ("POST", "/customnode/install/git_url"),
    ("GET", "/my_node/secrets"),
    ("POST", "/my_node/run"),
    ("DELETE", "/my_node"),
]


@pytest.mark.parametrize(("method", "path"), FORBIDDEN)
def test_alice_reaches_no_forbidden_route_by_any_spelling(
    gateway: Gateway, alice: Client, forwarded: FakeComfyThread, method: str, path: str
) -> None:
    for target in spellings(path):
        headers = {"Authorization": f"Bearer {alice.token}"}
        body = None if method == "GET" else b"{}"
        answer = raw_request(gateway.url, method, target, headers, body)
        assert 400 <= answer.status < 500, (target, answer.status)
        assert {"code", "error"} <= json.loads(answer.body).keys(), target
        # A static file of that name is Alice's to ask for; nothing else may come through.
        reached = [record.path for record in forwarded.requests if record.kind == "http"]
        assert [seen for seen in reached if not seen.startswith(("/assets/", "/extensions/"))] == []


def test_paula_reaches_each_route_by_the_one_spelling_that_was_judged(
    gateway: Gateway, power: Client, forwarded: FakeComfyThread
) -> None:
    """Of all spellings ComfyUI sees only the canonical ones, and those that are another name."""
    seen = set()
    for target in spellings("/my_node/list"):
        forwarded.clear_requests()
        raw_request(gateway.url, "GET", target, {"Authorization": f"Bearer {power.token}"})
        seen |= {record.path for record in forwarded.requests if record.kind == "http"}
    assert seen == {
        "/my_node/list",
        "/my_node/list?.js",
        "/my_node/list%20",
        "/my_node/list%2B",
        "/my_node/list.",
        "/my_node/list%3Bx%3D1",
        "/my_node%3Bx%3D1/list",
        "/my_node/list.js",
        "/my_node/list%3F.js",
        "/my_node/list%23.js",
        "/my_node%E2%88%95list",
        "/my_node%EF%BC%8Flist",
        "/MY_NODE/list",
        "/My_Node/list",
        "/api/my_node/list",
    }


@pytest.mark.parametrize(
    "target",
    [
        "/queue/../internal/logs",
        "/x%00",
        "/x%0a",
        "/x\\y",
        "/x%5cy",
        "/%2e%2e/y",
        "/x%252fy",
        "/%ff",
        "/x%",
        "/a%2fb",
    ],
)
def test_path_without_a_canonical_form_is_bad_path(alice: Client, target: str) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    check_refusal(raw_request(alice.base_url, "GET", target, headers), 400, "BAD_PATH")


@pytest.mark.parametrize(
    "target", ["/queue/", "//queue", "/queue//", "/QUEUE", "/Queue", "/api", "/api/api/queue"]
)
def test_variant_that_comfyui_does_not_know_is_404(
    power: Client, forwarded: FakeComfyThread, target: str
) -> None:
    headers = {"Authorization": f"Bearer {power.token}"}
    check_refusal(raw_request(power.base_url, "GET", target, headers), 404, "NOT_FOUND")
    assert [record.path for record in forwarded.requests if record.kind == "http"] == []


def test_method_that_a_named_route_lacks_is_405(power: Client, forwarded: FakeComfyThread) -> None:
    for method, target in (("DELETE", "/queue"), ("PUT", "/prompt"), ("POST", "/view")):
        answer = power.request(method, target)
        allowed = answer.json()["allow"]
        check_refusal(answer, 405, "METHOD_NOT_ALLOWED", allow=allowed)
        assert method not in allowed
    for method in ("TRACE", "PROPFIND", "PURGE"):
        check_refusal(power.request(method, "/my_node/x"), 405, "METHOD_NOT_ALLOWED")
    assert [record.path for record in forwarded.requests if record.kind == "http"] == []


def test_address_longer_than_comfyui_takes_is_refused_here(
    power: Client, forwarded: FakeComfyThread
) -> None:
    """ComfyUI's server would hang up on it, and that would look like its fault."""
    for target in ("/my_node/" + "(" * 8000, "/my_node/x?" + "y" * 20_000, "/i18n?" + "y" * 9000):
        headers = {"Authorization": f"Bearer {power.token}"}
        check_refusal(raw_request(power.base_url, "GET", target, headers), 400, "BAD_REQUEST")
    assert [record.path for record in forwarded.requests if record.kind == "http"] == []


@pytest.mark.parametrize("path", ["models", "object_info", "history", "internal/files"])
def test_name_that_is_far_too_long_is_no_fault_of_the_servers(alice: Client, path: str) -> None:
    for letter in ("x", "(", "%c3%bc"):
        target = f"/{path}/" + letter * (8000 // len(letter))
        headers = {"Authorization": f"Bearer {alice.token}"}
        answer = raw_request(alice.base_url, "GET", target, headers)
        assert answer.status in (200, 400, 404)
        json.loads(answer.body)
