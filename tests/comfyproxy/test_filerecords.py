"""comfyproxy.filerecords: what a prompt made is on record once, and is its maker's."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from accounts.models import User
from comfyproxy import filerecords
from comfyproxy.files import FileRef
from comfyproxy.models import FileOwner, FileRecord, PromptRecord

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
PICTURE = FileRef("temp", "", "ComfyUI_temp_abcde_00001_.png")
OTHER = FileRef("temp", "", "values.json")


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filerecords, "later", lambda *args: None)


def prompt_of(name: str) -> PromptRecord:
    user = User.objects.create(username=name, role_id="user")
    return PromptRecord.objects.create(user=user, number=0)


def add(prompt: PromptRecord, moment: datetime, files: dict[FileRef, str]) -> None:
    filerecords._add(files, prompt.user_id, str(prompt.pk), moment)


def test_two_people_who_made_the_same_names_both_own_them_and_each_is_on_record_once() -> None:
    alices, bobs = prompt_of("alice"), prompt_of("bob")
    add(alices, NOON, {PICTURE: "1", OTHER: ""})
    add(bobs, LATER, {OTHER: "", PICTURE: "2"})
    rows = FileRecord.objects.order_by("filename")
    assert [(row.ref, row.created_at) for row in rows] == [(PICTURE, NOON), (OTHER, NOON)]
    owned = FileOwner.objects.order_by("user__username", "file__filename")
    assert [(row.user_id, row.prompt_id, row.file.ref, row.version) for row in owned] == [
        (alices.user_id, alices.pk, PICTURE, "1"),
        (alices.user_id, alices.pk, OTHER, ""),
        (bobs.user_id, bobs.pk, PICTURE, "2"),
        (bobs.user_id, bobs.pk, OTHER, ""),
    ]


def test_picture_that_is_written_again_is_looked_at_again_and_stays_where_it_is() -> None:
    alices = prompt_of("alice")
    add(alices, NOON, {PICTURE: "1"})
    FileRecord.objects.update(unscored_since=None, quarantined_at=NOON)
    add(alices, LATER, {PICTURE: "2", OTHER: ""})
    picture, other = FileRecord.objects.order_by("filename")
    assert (picture.unscored_since, picture.quarantined_at) == (LATER, NOON)
    assert other.unscored_since is None
    assert FileOwner.objects.get(file=picture).version == "2"


def test_database_that_tells_no_ids_is_asked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    features = type(connection.features)
    monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", False)
    alices = prompt_of("alice")
    add(alices, NOON, {PICTURE: "1", OTHER: ""})
    assert {row.file.ref for row in FileOwner.objects.all()} == {PICTURE, OTHER}


def test_one_path_told_in_two_ways_is_one_file() -> None:
    alices = prompt_of("alice")
    add(
        alices, NOON, {FileRef("output", "a", "b/c.png"): "", FileRef("output", "a/b", "c.png"): ""}
    )
    assert FileRecord.objects.count() == FileOwner.objects.count() == 1
