"""Who reaches which route, role by role; and what a rule of the admin changes about that."""

from collections.abc import Iterator

import pytest
import requests

from tests.accounts.acting import browser
from tests.browser import Browser
from tests.cast import ADMIN, CAST, POWER
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

EVERYBODY = ["admin", "guest", "owner", "power", "user"]
RUNNERS = ["admin", "owner", "power", "user"]
POWERFUL = ["admin", "owner", "power"]
MANAGERS = ["admin", "owner"]

# Method, path, who may, the permission that the others lack.
ROUTES = [
    ("GET", "/", EVERYBODY, None),
    ("GET", "/api/", EVERYBODY, None),
    ("GET", "/index.html", EVERYBODY, None),
    ("GET", "/assets/index.js", EVERYBODY, None),
    ("GET", "/extensions/core/x.js", EVERYBODY, None),
    ("GET", "/templates/a.webp", EVERYBODY, None),
    ("GET", "/docs/KSampler/en.md", EVERYBODY, None),
    ("GET", "/fonts/a.woff2", EVERYBODY, None),
    ("GET", "/scripts/app.js", EVERYBODY, None),
    ("GET", "/lib/x.js", EVERYBODY, None),
    ("GET", "/extensions", EVERYBODY, None),
    ("GET", "/api/i18n", EVERYBODY, None),
    ("GET", "/workflow_templates", EVERYBODY, None),
    ("GET", "/api/system_stats", EVERYBODY, None),
    ("GET", "/features", EVERYBODY, None),
    ("GET", "/api/jobs", EVERYBODY, None),
    ("POST", "/upload/image", RUNNERS, "can_upload"),
    ("POST", "/api/upload/mask", RUNNERS, "can_upload"),
    ("GET", "/my_node/list", POWERFUL, "can_access_extensions"),
    ("POST", "/api/my_node/run", POWERFUL, "can_access_extensions"),
    ("PUT", "/my_node", POWERFUL, "can_access_extensions"),
    ("PATCH", "/my_node", POWERFUL, "can_access_extensions"),
    ("DELETE", "/my_node", POWERFUL, "can_access_extensions"),
    ("GET", "/manager/version", POWERFUL, "can_access_manager"),
    ("GET", "/api/manager/queue/status", POWERFUL, "can_access_manager"),
    ("POST", "/v2/manager/queue/task", POWERFUL, "can_access_manager"),
    ("GET", "/customnode/getlist", POWERFUL, "can_access_manager"),
    ("GET", "/externalmodel/getlist", POWERFUL, "can_access_manager"),
    ("GET", "/snapshot/getlist", POWERFUL, "can_access_manager"),
    ("GET", "/comfyui_manager/x", POWERFUL, "can_access_manager"),
    ("GET", "/internal/logs", MANAGERS, "can_manage_backend"),
    ("GET", "/internal/logs/raw", MANAGERS, "can_manage_backend"),
    ("GET", "/internal/folder_paths", MANAGERS, "can_manage_backend"),
    ("GET", "/internal/anything", MANAGERS, "can_manage_backend"),
    ("POST", "/internal/anything", MANAGERS, "can_manage_backend"),
    ("POST", "/users", MANAGERS, "can_manage_backend"),
    ("POST", "/api/credentials", MANAGERS, "can_manage_backend"),
    ("GET", "/api/tasks", MANAGERS, "can_manage_backend"),
    ("POST", "/api/tasks/1/cancel", MANAGERS, "can_manage_backend"),
]


def one_of_each_role(people: People) -> dict[str, Client]:
    return {person.role: people.client(person) for person in CAST}


def ask(client: Client, method: str, path: str) -> requests.Response:
    if path == "/users":
        return client.request(method, path, data=b'{"username": "roles"}')
    if "/upload/" not in path:
        return client.request(method, path, data=b"{}")
    original = {"original_ref": '{"filename": "example.png", "type": "input"}'}
    return client.post(path, data=original, files={"image": ("roles.png", b"x")})


@pytest.mark.parametrize(("method", "path", "allowed", "permission"), ROUTES)
def test_each_role_reaches_exactly_what_is_its_own(
    people: People,
    forwarded: FakeComfyThread,
    method: str,
    path: str,
    allowed: list[str],
    permission: str | None,
) -> None:
    reached = []
    for role, client in one_of_each_role(people).items():
        forwarded.clear_requests()
        # With a query the page's files are not taken out of the gateway's memory.
        answer = ask(client, method, f"{path}?role={role}" if method == "GET" else path)
        if role in allowed:
            assert answer.status_code != 403
        else:
            check_refusal(answer, 403, "PERMISSION_DENIED", permission=permission)
        if any(record.kind == "http" for record in forwarded.requests):
            reached.append(role)
    assert sorted(reached) == allowed


def test_free_and_log_subscription_are_for_managers(
    people: People, forwarded: FakeComfyThread
) -> None:
    for role, client in one_of_each_role(people).items():
        free = client.post("/api/free", json={"free_memory": True})
        logs = client.patch("/internal/logs/subscribe", json={"clientId": "c", "enabled": False})
        if role in MANAGERS:
            assert (free.status_code, logs.status_code) == (200, 200)
        else:
            check_refusal(free, 403, "PERMISSION_DENIED", permission="can_manage_backend")
            check_refusal(logs, 403, "PERMISSION_DENIED", permission="can_manage_backend")
    asked = [record.path for record in forwarded.requests if record.method in ("POST", "PATCH")]
    assert sorted(asked) == ["/free"] * 2 + ["/internal/logs/subscribe"] * 2


def test_manager_subscribes_only_their_own_socket_to_the_logs(
    admin: Client, forwarded: FakeComfyThread
) -> None:
    body = {"clientId": "victim", "enabled": True}
    assert admin.patch("/internal/logs/subscribe", json=body).status_code == 200
    asked = [record.text for record in forwarded.requests if record.method == "PATCH"]
    assert len(asked) == 1
    assert "victim" not in asked[0]
    for bad in ({}, {"clientId": 1, "enabled": True}, {"clientId": "c", "enabled": "yes"}):
        answer = admin.patch("/internal/logs/subscribe", json=bad)
        field = "enabled" if isinstance(bad.get("clientId"), str) else "clientId"
        check_refusal(answer, 400, "BAD_REQUEST", field=field)


# --- rules of the admin ----------------------------------------------------------------------

RULES = "/admin/comfyproxy/routerule"
PATTERNS = "from comfyproxy.models import RouteRule; result = list("
PATTERNS += "RouteRule.objects.order_by('pattern').values_list('pattern', flat=True))"


@pytest.fixture
def office(gateway: Gateway) -> Iterator[Browser]:
    """The admin's browser; every rule is gone afterwards."""
    visitor = browser(gateway, ADMIN)
    yield visitor
    gateway.run("from comfyproxy.models import RouteRule; RouteRule.objects.all().delete()")
    # The server remembers rules for some seconds; a change of its own makes it look again.
    add(visitor, "/zz_last")
    remove(visitor, gateway, "/zz_last")


def add(
    office: Browser, pattern: str, capability: str = "can_access_api", methods: str = "GET"
) -> requests.Response:
    return office.submit(f"{RULES}/add/", pattern=pattern, methods=methods, capability=capability)


def remove(office: Browser, gateway: Gateway, pattern: str) -> None:
    key = gateway.run(
        "from comfyproxy.models import RouteRule; result = RouteRule.objects.get(pattern=p).pk",
        p=pattern,
    )
    assert office.submit(f"{RULES}/{key}/delete/").status_code == 302


def test_rule_opens_a_path_for_its_capability_at_once_and_closes_it_again(
    gateway: Gateway,
    office: Browser,
    guest: Client,
    alice: Client,
    forwarded: FakeComfyThread,
) -> None:
    check_refusal(
        guest.get("/wire/a"), 403, "PERMISSION_DENIED", permission="can_access_extensions"
    )
    assert add(office, "/wire/{name}").status_code == 302
    assert add(office, "/wire/{name}/edit", "can_run", "POST PUT").status_code == 302
    forwarded.clear_requests()
    assert guest.get("/wire/a").status_code == 404
    assert guest.get("/api/wire/b").status_code == 404
    check_refusal(guest.post("/wire/a/edit"), 403, "PERMISSION_DENIED", permission="can_run")
    check_refusal(
        guest.get("/wire/a/b"), 403, "PERMISSION_DENIED", permission="can_access_extensions"
    )
    assert alice.post("/wire/a/edit", data=b"x").status_code == 405
    seen = [(record.method, record.path) for record in forwarded.requests]
    assert seen == [("GET", "/wire/a"), ("GET", "/api/wire/b"), ("POST", "/wire/a/edit")]
    remove(office, gateway, "/wire/{name}")
    check_refusal(
        guest.get("/wire/a"), 403, "PERMISSION_DENIED", permission="can_access_extensions"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "/queue",
        "/QUEUE",
        "/internal/{rest*}",
        "/internal/logs",
        "/{rest*}",
        "/{anything}",
        "/{first}/{second}",
        "/users",
        "/manager/{rest*}",
        "/userdata/{rest*}",
        "/{a}/logs",
        "no_slash",
        "/a//b",
        "/a/{b",
        "/{rest*}/x",
        "/a/{x:nonsense}",
    ],
)
def test_rule_that_covers_a_named_path_or_is_malformed_is_not_made(
    gateway: Gateway, office: Browser, guest: Client, forwarded: FakeComfyThread, pattern: str
) -> None:
    answer = add(office, pattern)
    assert answer.status_code == 200
    assert "errorlist" in answer.text
    assert gateway.run(PATTERNS) == []
    assert guest.get("/internal/logs").status_code == 403
    assert guest.post("/free", json={}).status_code == 403
    assert [record.path for record in forwarded.requests if record.kind == "http"] == []


def test_rule_written_past_the_admin_spoils_nothing(
    gateway: Gateway, office: Browser, guest: Client, power: Client, forwarded: FakeComfyThread
) -> None:
    """Rows that no form would let through: they open no named path, and others still hold."""
    gateway.run(
        """
from comfyproxy.models import RouteRule
for pattern, methods, capability in (
    ("no slash", "GET", "can_run"), ("/wire/x", "FETCH", "can_run"), ("/wire/y", "GET", "can_fly"),
    ("/internal/{rest*}", "GET POST", "can_access_api"), ("/free", "POST", "can_access_api"),
    ("/wire/one", "GET", "can_access_api"), ("/wire/one", "GET POST", "can_access_api"),
):
    RouteRule.objects.create(pattern=pattern, methods=methods, capability=capability)
"""
    )
    add(office, "/wire/two")
    forwarded.clear_requests()
    assert guest.get("/wire/two").status_code == 404
    assert guest.get("/wire/one").status_code == 404
    assert guest.get("/internal/logs").status_code == 403
    assert guest.post("/free", json={}).status_code == 403
    assert guest.get("/wire/y").status_code == 403
    assert power.get("/wire/x").status_code == 404
    seen = [record.path for record in forwarded.requests if record.kind == "http"]
    assert seen == ["/wire/two", "/wire/one", "/wire/x"]


def test_power_user_cannot_make_rules(gateway: Gateway) -> None:
    answer = browser(gateway, POWER).get(f"{RULES}/add/")
    assert answer.status_code in (302, 403)
    assert gateway.run(PATTERNS) == []
