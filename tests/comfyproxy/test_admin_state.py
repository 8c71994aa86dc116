"""What the admin says of ComfyUI, of deleted users, and which events may be for everybody."""

import re
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import User
from comfyproxy.models import BroadcastEvent, FormerNamespace
from tests.comfyproxy.adminpages import page, request_of, rows_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.mark.parametrize("event", ["status", "executed", "b_preview", "logs"])
def test_comfyuis_own_events_are_no_broadcasts(event: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BroadcastEvent(event_type=event).full_clean()
    assert caught.value.message_dict == {
        "event_type": ["This event is ComfyUI's own. Name one that a custom node sends."]
    }
    BroadcastEvent(event_type="crystools.monitor").full_clean()


def test_list_of_deleted_users_tells_what_is_still_to_be_cleared(
    adam: User, settings: Settings, tmp_path: Path
) -> None:
    settings.COMFYUI_FOLDERS = {"output": tmp_path, "input": None, "temp": None}
    rows = [
        ("done", False, [], timezone.now()),
        ("kept", True, ["p1", "p2"], None),
        ("gone", False, ["p1"], None),
        ("hidden", False, [], None),
    ]
    for number, (name, keep, ids, done) in enumerate(rows):
        FormerNamespace.objects.create(
            namespace=f"u-{number:010}",
            username=name,
            keep_files=keep,
            prompt_ids=ids,
            done_at=done,
        )
    html, _ = page(FormerNamespace, request_of(adam))
    names = re.findall(r"field-username[^>]*><a[^>]*>([^<]*)", rows_in(html))
    waits = re.findall(r"field-waits_for[^>]*>([^<]*)", rows_in(html))
    folders = (
        "the output folder; the input folder: set COMFYUI_INPUT_DIR; "
        "the temp folder: set COMFYUI_TEMP_DIR"
    )
    held = "prompts in ComfyUI&#x27;s queue or history"
    assert dict(zip(names, waits, strict=True)) == {
        "done": "",
        "kept": f"2 {held}",
        "gone": f"1 {held}; {folders}",
        "hidden": folders,
    }
