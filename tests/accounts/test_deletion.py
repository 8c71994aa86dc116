"""Deleting an account: who keeps something of it is asked, inside the one transaction."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from accounts import deletion, errors, services
from accounts.models import AuditEntry, User
from tests.accounts.acting import Newcomer, session
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

USERS = "/mss-login/api/users"
HIDDEN = (
    "Set COMFYUI_OUTPUT_DIR, COMFYUI_INPUT_DIR, COMFYUI_TEMP_DIR to have the files themselves "
    "deleted; until then they are hidden."
)
STATE = """
from accounts.models import AuditEntry, User
rows = AuditEntry.objects.filter(subject_name=username, event="user.deleted")
result = [User.objects.filter(username=username).exists(), [row.details for row in rows]]
"""


# --- the registry --------------------------------------------------------------------------


class Asked:
    """A hook that notes what it is told, and that the row is still there."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool, str | None]] = []
        self.fails = False

    def __call__(self, user: User, *, keep_files: bool, actor: User | None) -> None:
        assert User.objects.filter(pk=user.pk).exists()
        self.calls.append((user.username, keep_files, actor and actor.username))
        if self.fails:
            raise errors.Conflict("Not now.")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    hook = Asked()
    monkeypatch.setattr(deletion, "_hooks", [])
    deletion.register(hook)
    deletion.register(hook)  # registered twice is registered
    yield hook


def make(username: str, role: str = "user") -> User:
    return User.objects.create(username=username, role_id=role)


@pytest.mark.django_db
@pytest.mark.parametrize("keep", [True, False])
def test_hook_is_told_who_goes_whether_files_stay_and_who_does_it(asked: Asked, keep: bool) -> None:
    admin, user, _other = make("adam", "admin"), make("uwe"), make("olaf")
    services.delete_user(user, actor=admin, keep_files=keep)
    assert asked.calls == [("uwe", keep, "adam")]
    assert list(User.objects.values_list("username", flat=True)) == ["adam", "olaf"]
    (row,) = AuditEntry.objects.filter(event="user.deleted")
    assert row.details == {"role": "user", "files": "keep" if keep else "delete"}


@pytest.mark.django_db
def test_hook_that_fails_leaves_everything_as_it_was(asked: Asked) -> None:
    user = make("uwe")
    asked.fails = True
    with pytest.raises(errors.Conflict):
        services.delete_user(user, actor=None, keep_files=False)
    assert User.objects.filter(username="uwe").exists()
    assert not AuditEntry.objects.filter(event="user.deleted").exists()


@pytest.mark.django_db
def test_nobody_is_asked_about_whom_may_not_be_deleted_or_is_gone(asked: Asked) -> None:
    helper, admin, user = make("helga", "power"), make("adam", "admin"), make("uwe")
    owner = make("olga", "owner")
    for subject, actor in ((admin, helper), (owner, admin), (owner, None)):
        with pytest.raises(errors.PermissionDenied):
            services.delete_user(subject, actor=actor, keep_files=False)
    User.objects.filter(pk=user.pk).delete()
    with pytest.raises(errors.NotFound):
        services.delete_user(user, actor=admin, keep_files=False)
    assert asked.calls == []


def test_folders_that_are_not_on_this_machine_are_named(settings: Settings) -> None:
    here = Path("/tmp")
    settings.COMFYUI_FOLDERS = {"output": here, "input": None, "temp": None}
    assert deletion.hidden_only().startswith("Set COMFYUI_INPUT_DIR, COMFYUI_TEMP_DIR to have")
    settings.COMFYUI_FOLDERS = dict.fromkeys(("output", "input", "temp"), here)
    assert deletion.hidden_only() == ""


# --- DELETE /mss-login/api/users/{username} ---------------------------------------------------


@pytest.fixture(scope="module")
def chief(gateway: Gateway, newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture
def admin(gateway: Gateway, chief: Person) -> Client:
    return Client(gateway.url, session(gateway, chief))


@pytest.mark.parametrize(
    ("request_", "files"),
    [
        ({}, "keep"),
        ({"params": {"files": "keep"}}, "keep"),
        ({"params": {"files": "delete"}}, "delete"),
        ({"json": {}}, "keep"),
        ({"json": {"files": "keep"}}, "keep"),
        ({"json": {"files": "delete"}}, "delete"),
        ({"data": {"files": "delete"}}, "delete"),
        ({"files": {"files": (None, "delete")}}, "delete"),
        ({"json": {"files": "delete"}, "params": {"files": "delete"}}, "delete"),
    ],
    ids=str,
)
def test_api_keeps_files_unless_told_to_delete_them(
    gateway: Gateway,
    newcomer: Newcomer,
    admin: Client,
    request_: dict[str, dict[str, str]],
    files: str,
) -> None:
    person = newcomer()
    answer = admin.delete(f"{USERS}/{person.username}", **request_)  # type: ignore[arg-type]
    assert answer.status_code == 200
    said = "The account is deleted."
    assert answer.json() == {"message": said if files == "keep" else f"{said} {HIDDEN}"}
    assert gateway.run(STATE, username=person.username) == [
        False,
        [{"role": "user", "files": files}],
    ]


@pytest.mark.parametrize(
    "request_",
    [
        {"params": {"files": ""}},
        {"params": {"files": "Delete"}},
        {"params": {"files": ["keep", "delete"]}},
        {"json": {"files": None}},
        {"json": {"files": True}},
        {"json": {"files": ["delete"]}},
        {"json": {"files": {"delete": 1}}},
        {"json": {"files": "keep"}, "params": {"files": "delete"}},
        {"data": {"files": ["delete", "keep"]}},
        {"data": {"files": "x"}},
        {"files": {"files": ("delete.txt", "delete")}},
    ],
    ids=str,
)
def test_api_takes_nothing_else_for_an_answer(
    gateway: Gateway, newcomer: Newcomer, admin: Client, request_: dict[str, dict[str, str]]
) -> None:
    person = newcomer()
    answer = admin.delete(f"{USERS}/{person.username}", **request_)  # type: ignore[arg-type]
    check_refusal(answer, 400, "BAD_REQUEST", field="files")
    assert gateway.run(STATE, username=person.username) == [True, []]


@pytest.mark.parametrize("body", ["[]", '"delete"', "null", "1", "{"])
def test_api_refuses_a_body_that_is_no_object(
    gateway: Gateway, newcomer: Newcomer, admin: Client, body: str
) -> None:
    person = newcomer()
    headers = {"Content-Type": "application/json"}
    answer = admin.delete(f"{USERS}/{person.username}", data=body, headers=headers)
    check_refusal(answer, 400, "INVALID_JSON" if body == "{" else "BAD_REQUEST")
    assert gateway.run(STATE, username=person.username) == [True, []]
