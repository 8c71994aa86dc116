"""The admin's first page: what it shows to whom, what it warns of, what it counts."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.test import override_settings
from django.utils import timezone

from accounts import granting, proofs
from accounts.audit import audit
from accounts.capabilities import Capability
from accounts.granting import Item
from accounts.models import ApiToken, Role, Session, User
from comfyproxy import dashboard as comfyui
from comfyproxy.dashboard import Memory, Now
from comfyproxy.models import Backend, PromptRecord
from downloads.models import DownloadJob
from mssproject import dashboard
from tests.comfyproxy.adminpages import request_of

pytestmark = pytest.mark.django_db

NOW = Now(answers=True, memory=[Memory("RAM", 1, 2)])


@pytest.fixture(autouse=True)
def comfyui_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Now]:
    """ComfyUI as it is found to be; a test changes it."""
    found = Now(answers=True, memory=[Memory("RAM", 1, 2)])

    async def look_now() -> Now:
        return found

    monkeypatch.setattr(comfyui, "look_now", look_now)
    Backend.objects.create(name="comfyui", checked_at=timezone.now())
    cache.clear()
    yield found
    cache.clear()


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin", mfa_required=True)


def shown(user: User) -> str:
    return str(admin.site.index(request_of(user)).render().content.decode())


def warnings(user: User) -> list[str]:
    return [notice.text for notice in dashboard.page(request_of(user)).get("notices", [])]


def prompt(user: User, at: datetime, seconds: float | None = 1.0) -> PromptRecord:
    return PromptRecord.objects.create(
        user=user, number=0, created_at=at, execution_seconds=seconds
    )


def test_admin_without_worries_sees_no_warning(adam: User) -> None:
    assert warnings(adam) == []


def test_admin_sees_who_may_run_but_has_no_model_until_one_is_given(adam: User) -> None:
    for number in range(5):
        User.objects.create(username=f"new-{number}", role_id="user")
    User.objects.create(username="off", role_id="user", is_active=False)
    User.objects.create(username="sees-all", role_id="power")
    User.objects.create(username="never-runs", role_id="guest")
    (text,) = warnings(adam)
    assert text == (
        "5 people may run prompts and see no model yet: new-0, new-1, new-2 and 2 more."
    )
    team = Group.objects.create(name="crew")
    User.objects.get(username="new-1").groups.add(team)
    granting.grant(User.objects.get(username="new-0"), [Item("loras", "a")], actor=adam)
    granting.grant(team, [Item("loras", "a")], actor=adam)
    single = Permission.objects.get(codename=Capability.VIEW_ALL_COMFYUI_ITEMS)
    User.objects.get(username="new-2").user_permissions.add(single)
    (text,) = warnings(adam)
    assert text == "2 people may run prompts and see no model yet: new-3, new-4."
    granting.grant(Role.objects.get(slug="user"), [Item("loras", "a")], actor=adam)
    assert warnings(adam) == []


def test_grant_for_another_comfyui_is_no_model_here(adam: User) -> None:
    alice = User.objects.create(username="alice", role_id="user")
    granting.grant(alice, [Item("loras", "a", "http://elsewhere:8188")], actor=adam)
    assert warnings(adam) == ["1 person may run prompts and see no model yet: alice."]


def test_admin_is_told_of_staff_without_a_second_factor(adam: User) -> None:
    User.objects.create(username="lax", role_id="admin")
    assert warnings(adam) == ["1 person may open this administration without a second factor."]
    Role.objects.filter(slug="admin").update(mfa_required=True)
    assert warnings(adam) == []
    User.objects.filter(username="lax").update(mfa_required=False)
    assert len(warnings(adam)) == 1


def test_admin_is_told_that_comfyui_does_not_answer_and_of_its_fault(
    adam: User, comfyui_answers: Now
) -> None:
    since = timezone.now().replace(year=2026, month=3, day=4, hour=5, minute=6)
    Backend.objects.update(fault="ComfyUI's worker is dead.", fault_since=since)
    assert warnings(adam) == ["ComfyUI's worker is dead. Since 4 March 2026, 05:06 UTC."]
    comfyui_answers.answers = False
    assert warnings(adam) == ["ComfyUI does not answer."]
    assert "It does not answer. Start it" in shown(adam)


@pytest.mark.parametrize("looked", [None, timedelta(minutes=3)])
def test_admin_is_told_that_the_worker_does_not_run(adam: User, looked: timedelta | None) -> None:
    Backend.objects.update(checked_at=None if looked is None else timezone.now() - looked)
    assert warnings(adam) == [comfyui.NO_WORKER]


@pytest.mark.parametrize(
    ("free", "total", "told"),
    [
        (1, 100, True),
        (4, 1000, True),
        (6, 1000, False),  # enough, if a small part
        (6, 100, False),
        (1, 10, False),  # a small disk, but a tenth is free
    ],
)
def test_admin_is_told_of_a_full_disk(
    adam: User, monkeypatch: pytest.MonkeyPatch, free: int, total: int, told: bool
) -> None:
    unit = 1024**3
    disk = dashboard.Disk("models", (total - free) * unit, total * unit, free * unit)
    monkeypatch.setattr(dashboard, "disks", lambda: [disk])
    expected = [f"The disk of models is nearly full: {free}.0 GB are left."] if told else []
    assert warnings(adam) == expected


def test_admin_is_told_of_a_pending_update_of_the_database(
    adam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db.migrations.recorder import MigrationRecorder

    MigrationRecorder.Migration.objects.filter(app="downloads").delete()
    assert "an update of its schema is pending" in warnings(adam)[0]


@pytest.mark.parametrize(
    "key", ["django-insecure-" + "x7Q!" * 12, "a" * 50, "please-change-me-" + "x7Q!" * 12]
)
def test_admin_is_told_of_a_secret_that_is_none(adam: User, key: str) -> None:
    with override_settings(SECRET_KEY=key):
        assert "SECRET_KEY looks like an example" in warnings(adam)[0]


def test_each_disk_is_there_once_with_what_lies_on_it(tmp_path: Any) -> None:
    folders = {"output": tmp_path / "out", "input": tmp_path / "gone", "temp": None}
    (tmp_path / "out").mkdir()
    with override_settings(MSS_DATA_DIR=tmp_path, COMFYUI_MODELS_DIR=None, COMFYUI_FOLDERS=folders):
        (disk,) = dashboard.disks()
    assert disk.name == "the gateway, outputs"
    assert disk.used + disk.free == disk.total > 0


def test_who_was_here_in_the_last_minutes_is_on(adam: User) -> None:
    now = timezone.now()
    alice = User.objects.create(username="alice", role_id="user")
    bob = User.objects.create(username="bob", role_id="user")
    for user, ago, revoked in (
        (alice, 1, False),
        (alice, 2, False),
        (bob, 6, False),
        (adam, 1, True),
    ):
        Session.objects.create(
            user=user,
            expires_at=now + timedelta(hours=1),
            last_used_at=now - timedelta(minutes=ago),
            revoked_at=now if revoked else None,
        )
    token, _ = proofs.create_api_token(bob, label="phone", scopes=None, expires_at=None, actor=bob)
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    found = [
        (here.user.username, here.browsers, here.apps) for here in dashboard.people.who_is_on(now)
    ]
    assert found == [("bob", 0, 1), ("alice", 2, 0)]


def test_failed_logins_of_a_day_are_counted(adam: User) -> None:
    audit("login.failed", ip="127.0.0.1")
    audit("mfa.failed", subject=adam)
    audit("login", subject=adam)
    assert dashboard.people.failed_logins() == 2
    assert dashboard.people.failed_logins(timedelta(0)) == 0


def test_use_is_counted_by_user_and_day_with_the_rest_together() -> None:
    users = [User.objects.create(username=f"u{n}", role_id="user") for n in range(4)]
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=1), today]
    prompt(users[0], days[0] - timedelta(seconds=1))  # before all of it
    prompt(users[0], days[0], 2.0)
    prompt(users[0], today - timedelta(microseconds=1), 3.5)
    prompt(users[0], today, None)
    prompt(users[1], today, 4.0)
    prompt(users[1], today + timedelta(hours=3), 4.0)
    prompt(users[2], today, 5.0)
    prompt(users[3], days[0], 7.0)
    first, second, rest = comfyui.use_by_day(days, 2)
    assert (first.name, first.prompts, first.seconds) == ("u0", (2, 1), (5.5, 0.0))
    assert (second.name, second.prompts, second.seconds) == ("u1", (0, 2), (0.0, 8.0))
    assert (rest.name, rest.prompts, rest.seconds) == ("2 others", (1, 1), (7.0, 5.0))
    assert (rest.total_prompts, rest.total_seconds) == (2, 12.0)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (None, []),
        ({"system": 1, "devices": 2}, []),
        ({"system": {"ram_total": 10, "ram_free": 4}}, [Memory("RAM", 6, 10)]),
        ({"system": {"ram_total": 10, "ram_free": 11}}, []),
        ({"system": {"ram_total": "10", "ram_free": None}}, []),
        ({"devices": [{"name": "cpu", "type": "cpu", "vram_total": 8, "vram_free": 1}]}, []),
        (
            {"devices": [{"name": "RTX", "type": "cuda", "vram_total": 8, "vram_free": 2}, None]},
            [Memory("RTX", 6, 8)],
        ),
    ],
)
def test_memory_is_read_from_what_comfyui_tells(stats: Any, expected: list[Memory]) -> None:
    assert comfyui.memory_in(stats) == expected
    assert all(0 <= memory.percent <= 100 for memory in expected)


def test_page_shows_what_runs_with_whose_and_downloads(adam: User, comfyui_answers: Now) -> None:
    alice = User.objects.create(username="alice", role_id="power")
    comfyui_answers.running = [prompt(alice, timezone.now())]
    comfyui_answers.total_running, comfyui_answers.total_waiting = 1, 7
    DownloadJob.objects.create(
        user=alice,
        target=alice,
        source="civitai",
        filename="x.safetensors",
        status="running",
        bytes_done=25,
        total_bytes=100,
    )
    html = shown(adam)
    for text in ("Running: 1.", "Waiting: 7.", ">alice</a> <span>runs", "x.safetensors", "25.0 %"):
        assert text in html, text
    assert "u0" not in html and "Prompts a day" in html


@pytest.mark.parametrize(
    ("permission", "card"),
    [
        ("view_promptrecord", "Latest prompts"),
        ("view_session", "On now"),
        ("view_downloadjob", "Downloads</h2>"),
    ],
)
def test_staff_sees_only_the_parts_of_what_they_may_see(permission: str, card: str) -> None:
    role = Role.objects.create(slug="helper", title="Helper", rank=50, is_staff=True)
    helper = User.objects.create(username="helper", role=role)
    User.objects.create(username="no-models", role_id="user")
    assert card not in shown(helper)
    role.permissions.add(Permission.objects.get(codename=permission))
    html = shown(User.objects.get(pk=helper.pk))
    assert card in html and "see no model yet" not in html
