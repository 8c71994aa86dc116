"""A deleted user's prompts and files: the owner's from now on, or written down as to be cleared."""

import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts import deletion, errors, handover, services
from accounts.models import User
from comfyproxy import ownership, tasks, tombstones
from comfyproxy.files import FileRef
from comfyproxy.filters.queue import Ownership
from comfyproxy.models import FileOwner, FileRecord, FormerNamespace, PromptRecord

pytestmark = pytest.mark.django_db

State = PromptRecord.State
# Alice's and Bob's things have the same names.
ALICES, BOBS = "u-alice00000", "u-bob0000000"


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How the worker was told, in place of a broker."""
    calls: list[dict[str, Any]] = []

    def send_task(name: str, **how: Any) -> None:
        calls.append({"task": name, **how})

    monkeypatch.setattr(handover.current_app, "send_task", send_task)
    return calls


def make(username: str, role: str = "user", namespace: str = "") -> User:
    chosen = {"namespace": namespace} if namespace else {}
    return User.objects.create(username=username, role_id=role, **chosen)


@pytest.fixture
def olga() -> User:
    return make("olga", "owner")


@pytest.fixture
def alice() -> User:
    return make("alice", namespace=ALICES)


@pytest.fixture
def bob() -> User:
    return make("bob", namespace=BOBS)


def prompt(user: User, state: str, *, listed: bool = True) -> str:
    row = PromptRecord.objects.create(user=user, number=0, state=state, listed=listed)
    return str(row.pk)


def own(user: User, ref: FileRef, prompt_id: str | None = None) -> None:
    record, _ = FileRecord.objects.get_or_create(
        key=FileRecord.key_of(ref),
        defaults={"type": ref.type, "subfolder": ref.subfolder, "filename": ref.filename},
    )
    FileOwner.objects.create(file=record, user=user, prompt_id=prompt_id)


def owners() -> dict[str, list[str]]:
    """File → whose it is, and `gone` where it went with a deleted user."""
    return {
        str(record): [row.user.username for row in record.owners.order_by("user__username")]
        + (["gone"] if record.former_id else [])
        for record in FileRecord.objects.all()
    }


TEMP, SHARED = FileRef("temp", "", "mine.png"), FileRef("temp", "", "shared.png")


def inside(namespace: str) -> FileRef:
    return FileRef("output", namespace, "x.png")


@pytest.fixture
def past(alice: User, bob: User) -> dict[str, str]:
    """What Alice and Bob did: her prompts by their state, and everybody's files."""
    ids = {state.value: prompt(alice, state) for state in State}
    ids["unlisted"] = prompt(alice, State.SUCCESS, listed=False)
    ids["bobs"] = prompt(bob, State.ACCEPTED)
    for ref in (inside(ALICES), TEMP, SHARED):
        own(alice, ref, ids["success"])
    for ref in (inside(BOBS), SHARED):
        own(bob, ref, ids["bobs"])
    upload = FileRef("input", ALICES, "up.png")
    own(alice, upload)
    return ids


def test_kept_things_are_the_owners_and_only_unfinished_prompts_are_to_be_stopped(
    olga: User, alice: User, bob: User, past: dict[str, str]
) -> None:
    services.delete_user(alice, actor=olga, keep_files=True)
    assert PromptRecord.objects.filter(user=olga).count() == len(past) - 1
    assert [str(row.pk) for row in PromptRecord.objects.filter(user=bob)] == [past["bobs"]]
    assert owners() == {
        f"{ALICES}/x.png [output]": ["olga"],
        f"{ALICES}/up.png": ["olga"],
        f"{BOBS}/x.png [output]": ["bob"],
        "mine.png [temp]": ["olga"],
        "shared.png [temp]": ["bob", "olga"],
    }
    (row,) = FormerNamespace.objects.all()
    assert (row.namespace, row.username, row.keep_files) == (ALICES, "alice", True)
    assert set(row.prompt_ids) == {past["submitting"], past["accepted"]}
    assert row.done_at is None


def test_deleted_things_go_and_what_comfyui_may_hold_is_to_be_cleared(
    olga: User, alice: User, bob: User, past: dict[str, str]
) -> None:
    services.delete_user(alice, actor=olga, keep_files=False)
    assert [str(row.pk) for row in PromptRecord.objects.all()] == [past["bobs"]]
    # Of the folder nothing need be remembered; a file elsewhere is, until it is deleted.
    assert owners() == {
        f"{BOBS}/x.png [output]": ["bob"],
        "mine.png [temp]": ["gone"],
        "shared.png [temp]": ["bob"],
    }
    (row,) = FormerNamespace.objects.all()
    assert (row.namespace, row.username, row.keep_files) == (ALICES, "alice", False)
    assert set(row.prompt_ids) == {past[state.value] for state in State}
    assert [record.filename for record in row.files.all()] == ["mine.png"]


def test_without_an_owner_kept_files_are_nobodys_and_not_to_be_deleted(
    alice: User, bob: User, past: dict[str, str]
) -> None:
    services.delete_user(alice, actor=None, keep_files=True)
    assert [str(row.pk) for row in PromptRecord.objects.all()] == [past["bobs"]]
    assert owners() == {f"{BOBS}/x.png [output]": ["bob"], "shared.png [temp]": ["bob"]}
    (row,) = FormerNamespace.objects.all()
    assert (row.keep_files, row.files.count()) == (True, 0)


def test_file_that_was_the_owners_too_is_theirs_once(olga: User, alice: User) -> None:
    own(alice, TEMP)
    own(olga, TEMP)
    services.delete_user(alice, actor=olga, keep_files=True)
    assert owners() == {"mine.png [temp]": ["olga"]}


def test_worker_is_told_and_the_memory_forgets_once_it_is_certain(
    olga: User,
    alice: User,
    past: dict[str, str],
    told: list[dict[str, Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    known = {past["success"]: alice, past["unlisted"]: alice, past["bobs"]: olga}
    for prompt_id, user in known.items():
        ownership._remember(prompt_id, Ownership(user.pk, None, 0))
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_user(alice, actor=olga, keep_files=True)
        assert (told, ownership.remembered(past["success"]) is None) == ([], False)
    assert told == [{"task": tasks.clear_former.name, "retry": False}]
    assert [ownership.remembered(prompt_id) is None for prompt_id in known] == [True, True, False]
    ownership.forget([past["bobs"]])


def test_broker_that_fails_does_not_make_the_deletion_fail(
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def refuse(name: str, **how: object) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(handover.current_app, "send_task", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_user(alice, actor=None, keep_files=False)
    assert not User.objects.filter(username="alice").exists()
    assert FormerNamespace.objects.filter(done_at=None).count() == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_deletion_that_is_undone_leaves_prompts_files_and_no_tombstone(
    alice: User, bob: User, past: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = owners()

    def refuse(user: User, *, keep_files: bool, actor: User | None) -> None:
        raise errors.Conflict("Not now.")

    monkeypatch.setattr(deletion, "_hooks", [*deletion._hooks, refuse])
    with pytest.raises(errors.Conflict):
        services.delete_user(alice, actor=None, keep_files=False)
    assert (owners(), FormerNamespace.objects.count()) == (before, 0)
    assert PromptRecord.objects.filter(user=alice).count() == len(past) - 1


def test_hidden_is_what_was_to_be_deleted_as_long_as_comfyui_may_hold_it() -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    rows = [("u-kept000000", True, None), ("u-gone000000", False, None)]
    for (namespace, keep, done), prompt_id in zip(rows, ids, strict=False):
        FormerNamespace.objects.create(
            namespace=namespace, keep_files=keep, done_at=done, prompt_ids=[prompt_id]
        )
    gone = tombstones._read()
    assert (gone.namespaces, gone.prompt_ids) == ({"u-gone000000"}, {ids[1]})
    FormerNamespace.objects.update(done_at=FormerNamespace.objects.all()[0].deleted_at)
    gone = tombstones._read()
    assert (gone.namespaces, gone.prompt_ids) == ({"u-gone000000"}, set())


async def test_look_up_costs_one_query_in_five_seconds_and_sees_a_deletion_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone, reads = set[str](), []

    def read() -> tombstones._Gone:
        reads.append(None)
        return tombstones._Gone(frozenset(gone))

    monkeypatch.setattr(tombstones, "_read", read)
    await sync_to_async(tombstones.changed)()
    for _ in range(5):
        assert not await tombstones.covers_namespace(ALICES)
    gone.add(ALICES)
    assert (await tombstones.covers_namespace(ALICES), len(reads)) == (False, 1)
    await sync_to_async(tombstones.changed)()
    assert (await tombstones.covers_namespace(ALICES), len(reads)) == (True, 2)
    assert not await tombstones.covers_namespace(BOBS)
    await sync_to_async(tombstones.changed)()
