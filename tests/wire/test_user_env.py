"""`/mss-login/api/user-env`: administrators look after people's files."""

from typing import Any

import pytest

from tests.client import Client
from tests.gateway import Gateway
from tests.granted import Given
from tests.refusals import check_refusal
from tests.userdata import names, read, saved

pytestmark = pytest.mark.usefixtures("clean_log")

WHERE = "/mss-login/api/user-env"
TOLD = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(subject_name=username, event__startswith="files.").order_by("id")
result = [[row.event, row.actor_name, row.details] for row in rows]
"""


@pytest.fixture
def ann(given: Given) -> Client:
    client = given()
    for path in ("workflows/a.json", "workflows/sub/b.json", "user.css"):
        saved(client, path, path.encode())
    return client


def username(client: Client) -> str:
    return str(client.get("/mss-login/api/me").json()["username"])


def ask(admin: Client, action: str, ann: Client, **more: Any) -> dict[str, Any]:
    answer = admin.post(WHERE, json={"action": action, "user": username(ann), **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert (found.pop("status"), found.pop("user")) == ("ok", username(ann))
    return found


def test_administrator_is_told_what_there_is(ann: Client, admin: Client) -> None:
    saved(ann, "workflows/a.json", b"changed")
    assert ask(admin, "status", ann) == {
        "files": 3,
        "bytes": len("workflows/sub/b.json") + len("user.css") + len("changed"),
        "workflows": 2,
        "versions": 1,
        "version_bytes": len("workflows/a.json"),
        "limits": {"files": 5000, "bytes": 500 * 2**20, "file_bytes": 10 * 2**20},
    }
    files = ask(admin, "list", ann)["files"]
    assert [each["path"] for each in files] == [
        "user.css",
        "workflows/a.json",
        "workflows/sub/b.json",
    ]
    assert set(files[0]) == {"path", "size", "modified", "created"}
    workflows = ask(admin, "list_workflows", ann)["workflows"]
    assert [each["path"] for each in workflows] == ["a.json", "sub/b.json"]


def test_administrator_deletes_and_purges(ann: Client, admin: Client, gateway: Gateway) -> None:
    assert ask(admin, "delete_file", ann, file="user.css") == {"deleted": 1}
    assert ask(admin, "delete_workflow", ann, workflow="sub/b.json") == {"deleted": 1}
    check_refusal(read(ann, "user.css"), 404, "NOT_FOUND")
    assert "sub/b.json" not in names(ann)
    assert ask(admin, "purge", ann) == {"deleted": 1}
    assert ask(admin, "list", ann) == {"files": []}
    told = gateway.run(TOLD, username=username(ann))
    assert [(event, actor) for event, actor, _ in told] == [
        ("files.deleted", "adam"),
        ("files.deleted", "adam"),
        ("files.purged", "adam"),
    ]
    # What was deleted can be restored by its user.
    assert ask(admin, "status", ann)["versions"] == 3


def test_administrator_shares_a_workflow(ann: Client, admin: Client, bob: Client) -> None:
    name = f"from {username(ann)}.json"
    saved(ann, f"workflows/{name}", b"one")
    assert ask(admin, "promote_workflow", ann, workflow=name) == {"workflow": name}
    assert read(bob, f"workflows/{name}").content == b"one"
    assert read(ann, f"workflows/{name}").content == b"one"
    saved(ann, f"workflows/{name}", b"two")
    ask(admin, "promote_workflow", ann, workflow=f"workflows/{name}", delete_source=True)
    assert read(bob, f"workflows/{name}").content == b"two"
    assert ask(admin, "list_workflows", ann)["workflows"] != []
    assert name not in [each["path"] for each in ask(admin, "list_workflows", ann)["workflows"]]
    # Hers is gone, the shared one is there.
    assert read(ann, f"workflows/{name}").content == b"two"
    assert admin.delete(f"/userdata/workflows%2F{name}").status_code == 204


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "BAD_REQUEST", "action"),
        ({"action": "nope"}, 400, "BAD_REQUEST", "action"),
        ({"action": "list"}, 400, "BAD_REQUEST", "user"),
        ({"action": "list", "user": 1}, 400, "BAD_REQUEST", "user"),
        ({"action": "list", "user": "nobody"}, 404, "NOT_FOUND", None),
        ({"action": "delete_file", "user": "bob"}, 400, "BAD_REQUEST", "file"),
        ({"action": "delete_file", "user": "bob", "file": "nope"}, 404, "NOT_FOUND", None),
        ({"action": "delete_file", "user": "bob", "file": "../x"}, 400, "BAD_PATH", None),
        (
            {"action": "delete_workflow", "user": "bob", "workflow": ""},
            400,
            "BAD_REQUEST",
            "workflow",
        ),
        ({"action": "promote_workflow", "user": "bob", "workflow": "n"}, 404, "NOT_FOUND", None),
        (
            {"action": "promote_workflow", "user": "bob", "workflow": "n", "delete_source": 1},
            400,
            "BAD_REQUEST",
            "delete_source",
        ),
        ([], 400, "BAD_REQUEST", None),
    ],
)
def test_administrator_asks_for_nonsense_and_is_refused(
    admin: Client, body: Any, status: int, code: str, field: str | None
) -> None:
    fields = {} if field is None else {"field": field}
    check_refusal(admin.post(WHERE, json=body), status, code, **fields)


def test_only_administrators_may(ann: Client, bob: Client, power: Client, guest: Client) -> None:
    for client in (ann, bob, power, guest):
        for action in ("status", "list", "purge"):
            answer = client.post(WHERE, json={"action": action, "user": username(ann)})
            check_refusal(answer, 403, "PERMISSION_DENIED")
    assert "a.json" in names(ann)


def test_administrator_leaves_the_owners_files_alone(admin: Client, owner: Client) -> None:
    saved(owner, "workflows/mine.json")
    for action, more in (("purge", {}), ("delete_workflow", {"workflow": "mine.json"})):
        answer = admin.post(WHERE, json={"action": action, "user": "olga", **more})
        check_refusal(answer, 403, "PERMISSION_DENIED")
    assert read(owner, "workflows/mine.json").status_code == 200
    assert owner.delete("/userdata/workflows%2Fmine.json").status_code == 204


def test_user_who_is_deleted_leaves_no_files(ann: Client, admin: Client, gateway: Gateway) -> None:
    folder = gateway.data_dir / "userdata" / ann.namespace
    assert folder.is_dir()
    answer = admin.delete(f"/mss-login/api/users/{username(ann)}", json={"files": "delete"})
    assert answer.status_code == 200
    gateway.run("from comfyproxy.tasks import clear_former; clear_former()")
    assert not folder.exists()


def test_user_who_is_deleted_may_leave_files_to_administrators(
    ann: Client, admin: Client, gateway: Gateway
) -> None:
    folder = gateway.data_dir / "userdata" / ann.namespace
    answer = admin.delete(f"/mss-login/api/users/{username(ann)}", json={"files": "keep"})
    assert answer.status_code == 200
    gateway.run("from comfyproxy.tasks import clear_former; clear_former()")
    assert (folder / "files/workflows/a.json").read_bytes() == b"workflows/a.json"
