"""Whose files are whose: each user their own, shared workflows for all, ComfyUI's own to read."""

import pytest

from tests.accounts.acting import session
from tests.browser import Browser
from tests.cast import GUEST
from tests.client import Client
from tests.gateway import Gateway
from tests.granted import Given
from tests.refusals import check_refusal
from tests.userdata import COMFYUIS, address, move, names, read, save, saved, share, shown

pytestmark = pytest.mark.usefixtures("clean_log")

NOT_THEIRS = [
    "workflows/private.json",
    "private.json",
]


@pytest.fixture
def ann(given: Given) -> Client:
    return given()


@pytest.fixture
def ben(given: Given) -> Client:
    return given()


def username(client: Client) -> str:
    return str(client.get("/mss-login/api/me").json()["username"])


@pytest.mark.parametrize("path", NOT_THEIRS)
def test_two_users_of_the_same_names_never_meet(ann: Client, ben: Client, path: str) -> None:
    saved(ann, path, b"ann's")
    for answer in (read(ben, path), ben.delete(address(path)), move(ben, path, "x.json")):
        check_refusal(answer, 404, "NOT_FOUND")
    assert path not in names(ben, ".")
    saved(ben, path, b"ben's")
    assert read(ann, path).content == b"ann's"
    ben.delete(address(path))
    assert read(ann, path).content == b"ann's"
    assert path in names(ann, ".")


def test_not_even_the_owner_reads_a_users_files_by_these_routes(ann: Client, owner: Client) -> None:
    saved(ann, "workflows/secret plan.json", b"1")
    check_refusal(read(owner, "workflows/secret plan.json"), 404, "NOT_FOUND")
    assert "secret plan.json" not in names(owner)


def test_shared_workflow_is_seen_by_all_and_hidden_by_ones_own(
    ann: Client, ben: Client, admin: Client
) -> None:
    name = f"shared by {username(ann)}.json"
    saved(ann, f"workflows/{name}", b"all's")
    share(admin, username(ann), name)
    assert name in names(ben)
    assert read(ben, f"workflows/{name}").content == b"all's"
    assert [e["name"] for e in ben.get("/v2/userdata?path=workflows").json()].count(name) == 1
    # It exists for Ben, too; but saving makes one of his own.
    answer = save(ben, f"workflows/{name}", b"ben's", overwrite="false")
    check_refusal(answer, 409, "FILE_EXISTS")
    saved(ben, f"workflows/{name}", b"ben's")
    assert read(ben, f"workflows/{name}").content == b"ben's"
    assert names(ben).count(name) == 1
    infos = {info["path"]: info for info in names(ben, full_info="true")}
    assert infos[name]["size"] == 5
    # Without it the shared one is back.
    assert ben.delete(address(f"workflows/{name}")).status_code == 204
    assert read(ben, f"workflows/{name}").content == b"all's"
    # Ann's own is hers to change, and stays hers.
    saved(ann, f"workflows/{name}", b"changed")
    assert read(ben, f"workflows/{name}").content == b"all's"


def test_only_administrators_change_what_is_shared(
    ann: Client, ben: Client, admin: Client, guest: Client
) -> None:
    name = f"fixed {username(ann)}.json"
    saved(ann, f"workflows/{name}", b"all's")
    share(admin, username(ann), name)
    path = f"workflows/{name}"
    for answer in (ben.delete(address(path)), move(ben, path, "workflows/mine.json")):
        check_refusal(answer, 403, "PERMISSION_DENIED")
    check_refusal(
        guest.delete(address(path)), 403, "PERMISSION_DENIED", permission="can_modify_workflows"
    )
    check_refusal(move(admin, path, "elsewhere.json"), 400, "BAD_REQUEST")
    moved = f"workflows/moved {username(ann)}.json"
    assert move(admin, path, moved).json() == moved
    assert read(ben, moved).content == b"all's"
    check_refusal(read(ben, path), 404, "NOT_FOUND")
    assert admin.delete(address(moved)).status_code == 204
    check_refusal(read(ben, moved), 404, "NOT_FOUND")


def test_comfyuis_own_workflows_are_there_to_read(ann: Client, admin: Client) -> None:
    path = f"workflows/{COMFYUIS}"
    assert COMFYUIS in shown(ann)
    assert read(ann, path).json()["nodes"] is not None
    answer = ann.get(address(path), headers={"If-None-Match": read(ann, path).headers["ETag"]})
    assert answer.status_code == 304
    for client in (ann, admin):
        for answer in (client.delete(address(path)), move(client, path, "workflows/x.json")):
            check_refusal(answer, 403, "PERMISSION_DENIED")
    check_refusal(save(ann, path, overwrite="false"), 409, "FILE_EXISTS")
    saved(ann, path, b"mine")
    assert read(ann, path).content == b"mine"
    assert shown(ann).count(COMFYUIS) == 1
    ann.delete(address(path))
    assert read(ann, path).json()["nodes"] is not None


def test_nothing_else_of_comfyuis_own_is_shown(ann: Client) -> None:
    for path in ("comfy.settings.json", "workflows/.index.json"):
        check_refusal(read(ann, path), 404, "NOT_FOUND")
    assert [name for name in names(ann, ".") if not name.startswith("workflows/")] == []


@pytest.mark.parametrize("path", ["workflows/a.json", "workflows/sub/a.json", "workflows/x"])
def test_guest_changes_no_workflows(guest: Client, path: str) -> None:
    for answer in (
        save(guest, path),
        guest.delete(address(path)),
        move(guest, path, "x.json"),
        move(guest, "x.json", path),
        guest.post(f"/userdata/{path}", data=b"1"),
        guest.post(f"/userdata/{path}/move/x.json"),
    ):
        check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_modify_workflows")
    assert names(guest) == [name for name in names(guest) if name != path]


def test_guest_with_an_account_keeps_other_files(guest: Client) -> None:
    saved(guest, "comfy.templates.json", b"[]")
    assert read(guest, "comfy.templates.json").content == b"[]"
    assert guest.delete(address("comfy.templates.json")).status_code == 204


def test_nobody_reads_without_a_token(gateway: Gateway, anonymous: Client) -> None:
    for answer in (
        anonymous.get("/api/userdata?dir=workflows"),
        anonymous.post(address("a.json"), data=b"1"),
        anonymous.get("/api/settings"),
        anonymous.get("/cpe/workflow/list"),
    ):
        check_refusal(answer, 401, "AUTH_REQUIRED")


def test_other_sites_page_saves_nothing(gateway: Gateway) -> None:
    browser = Browser(gateway.url, session(gateway, GUEST))
    for site in ("cross-site", "same-site"):
        answer = browser.post(
            address("a.json"),
            data=b"1",
            headers={"Sec-Fetch-Site": site, "Origin": "https://evil.example"},
        )
        check_refusal(answer, 403, "CROSS_ORIGIN")
