"""The admin's list of users, the tabs of one of them, and what is done with several."""

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import granting, links, proofs
from accounts.capabilities import Capability
from accounts.errors import UpstreamUnreachable
from accounts.granting import Item
from accounts.models import AccountLink, ApiToken, AuditEntry, Role, Session, TotpDevice, User
from comfyproxy import admin_people, storage
from comfyproxy.files import FileRef
from comfyproxy.models import FileOwner, FileRecord, PromptRecord, StorageUse
from downloads.models import DownloadJob, SourceKey
from mssproject.admin import PeopleAdmin
from tests.comfyproxy.adminpages import data_rows, page, post, request_of

pytestmark = pytest.mark.django_db

TABS = [tab.slug for tab in PeopleAdmin.tabs]


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def alice() -> User:
    return User.objects.create(username="alice", role_id="user", email="alice@example.org")


@pytest.fixture
def helper() -> User:
    """Staff who may look at users, and nothing else."""
    role = Role.objects.create(slug="helper", title="Helper", rank=50, is_staff=True)
    role.permissions.add(Permission.objects.get(codename="view_user"))
    return User.objects.create(username="helper", role=role)


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """ComfyUI's models, as the catalog has them."""
    found = {"checkpoints": ["sd15.safetensors", "sdxl.safetensors"], "loras": ["a.pt"], "vae": []}

    class Known:
        class models:
            folders = found

    async def to_show() -> Any:
        return Known

    monkeypatch.setattr(admin_people.catalog, "to_show", to_show)
    return found


def used(user: User, ago: timedelta, **fields: Any) -> Session:
    now = timezone.now()
    return Session.objects.create(
        user=user, expires_at=now + timedelta(days=1), last_used_at=now - ago, **fields
    )


def token(user: User, **fields: Any) -> ApiToken:
    row, _ = proofs.create_api_token(user, label="phone", scopes=None, expires_at=None, actor=user)
    ApiToken.objects.filter(pk=row.pk).update(**fields)
    return row


def cells(html: str, name: str) -> dict[str, str]:
    """User name → what the list says in the column of that name."""
    found = {}
    for row in data_rows(html):
        text = {
            field: " ".join(re.sub("<[^>]+>", " ", content).split())
            for field, content in re.findall(r"(?s)field-(\w+)[^>]*>(.*?)</t[dh]>", row)
        }
        found[text["username"]] = text[name]
    return found


def tab(user: User, of: User, slug: str, *capabilities: Capability) -> str:
    request = request_of(user, *capabilities)
    return PeopleAdmin(User, admin.site).tab_view(request, str(of.pk), slug).content.decode()


# --- the list ------------------------------------------------------------------------------


def busy(number: int) -> User:
    user = User.objects.create(username=f"user-{number:02}", role_id="user")
    used(user, timedelta(minutes=number))
    token(user)
    TotpDevice.objects.create(user=user, secret="x", confirmed=True)
    PromptRecord.objects.create(user=user, number=1)
    StorageUse.objects.create(
        user=user, saved_bytes=1, total_bytes=2048, measured_at=timezone.now()
    )
    return user


def test_list_of_thirty_costs_as_many_queries_as_a_list_of_one(adam: User) -> None:
    busy(0)
    page(User, request_of(adam))
    _, one = page(User, request_of(adam, query="q=user-"))
    for number in range(1, 30):
        busy(number)
    html, thirty = page(User, request_of(adam, query="q=user-"))
    assert (len(data_rows(html)), thirty) == (30, one)


def test_list_tells_when_seen_what_run_and_kept_and_how_they_log_in(
    adam: User, alice: User
) -> None:
    used(alice, timedelta(minutes=50))
    token(alice, last_used_at=timezone.now() - timedelta(minutes=3, seconds=5))
    token(alice, expires_at=timezone.now() - timedelta(days=1))
    for days in (0, 0, 2):
        PromptRecord.objects.create(
            user=alice, number=1, created_at=timezone.now() - timedelta(days=days)
        )
    StorageUse.objects.create(
        user=alice, saved_bytes=1, total_bytes=3 * 1024**2, measured_at=timezone.now()
    )
    bob = User.objects.create(username="bob", role_id="user", is_active=False)
    used(bob, timedelta(hours=2))
    html, _ = page(User, request_of(adam))
    assert cells(html, "last_seen") == {
        "adam": "never",
        "alice": "3 minutes ago",
        "bob": "2 hours ago",
    }
    assert cells(html, "prompts_today")["alice"] in ("2", "1")  # around midnight
    assert cells(html, "storage") == {"adam": "", "alice": "3.0 MB", "bob": ""}
    assert cells(html, "token_count") == {"adam": "0", "alice": "1", "bob": "0"}
    assert cells(html, "state") == {"adam": "active", "alice": "active", "bob": "disabled"}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("factor=yes", {"alice"}),
        ("factor=no", {"adam", "bob"}),
        ("team={team}", {"bob"}),
        ("team=x", {"adam", "alice", "bob"}),
        ("is_active__exact=0", {"bob"}),
        ("role__slug__exact=admin", {"adam"}),
        ("q=example.org", {"alice"}),
    ],
)
def test_users_are_found_by_what_they_have(
    adam: User, alice: User, query: str, names: set[str]
) -> None:
    TotpDevice.objects.create(user=alice, secret="x", confirmed=True)
    bob = User.objects.create(username="bob", role_id="user", is_active=False)
    TotpDevice.objects.create(user=bob, secret="x", confirmed=False)
    team = Group.objects.create(name="crew")
    bob.groups.add(team)
    html, _ = page(User, request_of(adam, query=query.format(team=team.pk)))
    assert set(cells(html, "role")) == names


@pytest.mark.parametrize("column", range(1, 10))
@pytest.mark.parametrize("sign", ["", "-"])
def test_list_is_sorted_by_each_column(adam: User, column: int, sign: str) -> None:
    for number in range(3):
        busy(number)
    html, _ = page(User, request_of(adam, query=f"o={sign}{column}"))
    assert len(data_rows(html)) == 4


def test_export_holds_what_the_list_shows_and_runs_nothing(adam: User, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(username="=cmd", email="+x@example.org")
    User.objects.create(username="bob", role_id="guest")
    request = request_of(adam, query="role__slug__exact=user")
    answer = PeopleAdmin(User, admin.site).export_view(request)
    (line,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (line["username"], line["email"], line["role"]) == ("'=cmd", "'+x@example.org", "user")
    assert (line["prompts_today"], line["tokens"], line["second_factor"]) == ("0", "0", "no")
    assert "attachment" in answer["Content-Disposition"]
    assert AuditEntry.objects.get().event == "users.exported"


def test_staff_who_may_not_see_users_exports_none(helper: User) -> None:
    helper.role.permissions.clear()
    with pytest.raises(PermissionDenied):
        PeopleAdmin(User, admin.site).export_view(request_of(User.objects.get(pk=helper.pk)))


# --- tabs ----------------------------------------------------------------------------------


@pytest.fixture
def full(alice: User, adam: User) -> User:
    """A user with something in each tab."""
    used(alice, timedelta(minutes=1), user_agent="Firefox <b>")
    came = timezone.now() - timedelta(hours=3, minutes=1)
    token(alice, last_used_ip="192.0.2.7", last_used_at=came, networks=["192.0.2.0/24"])
    TotpDevice.objects.create(user=alice, secret="x", confirmed=True)
    granting.grant(alice, [Item("checkpoints", "sd15*")], actor=adam)
    granting.grant(alice.role, [Item("loras", "a.pt")], actor=adam)
    record = PromptRecord.objects.create(user=alice, number=1, state="success")
    row = FileRecord.of(FileRef("output", alice.namespace, "made.png"))
    row.save()
    FileOwner.objects.create(file=row, user=alice, prompt=record, type="output")
    DownloadJob.objects.create(user=alice, target=alice, source="civitai", filename="x.pt")
    SourceKey.objects.create(user=alice, source="civitai", value="v1:secret")
    return alice


EXPECTED: dict[str, tuple[str, ...]] = {
    "capabilities": ("Run prompts", "role User", "this user alone", "no (role User)"),
    "models": ("sd15*", "user alice", "role user", "a.pt"),
    "sees": ("sd15.safetensors", "1 of 2", "1 of 1"),
    "sessions": ("Firefox &lt;b&gt;",),
    "tokens": ("phone", "ago, 192.0.2.7", "192.0.2.0/24", "never"),
    "factors": ("since", "Backup codes left"),
    "prompts": ("made.png", "Finished"),
    "workflows": ("saved nothing yet",),
    "downloads": ("x.pt", "Keys for sites: civitai"),
    "audit": ("grant.added",),
}


@pytest.mark.parametrize("slug", TABS)
def test_admin_sees_everything_of_a_user_in_tabs(adam: User, full: User, slug: str) -> None:
    full.user_permissions.add(Permission.objects.get(codename="can_manage_backend"))
    html = tab(adam, full, slug, Capability.VIEW_ALL_HISTORY)
    for text in EXPECTED[slug]:
        assert text in html, text
    for secret in ("v1:secret", *ApiToken.objects.values_list("token_hash", flat=True)):
        assert secret not in html
    shown = re.findall(rf"/admin/accounts/user/{full.pk}/about/(\w+)/", html)
    assert shown == TABS


@pytest.mark.parametrize("slug", TABS)
def test_tabs_of_a_user_with_nothing_say_so(adam: User, alice: User, slug: str) -> None:
    assert "<h2" in tab(adam, alice, slug)


def test_staff_sees_only_tabs_of_what_they_may_see(helper: User, full: User) -> None:
    html = tab(helper, full, "capabilities")
    assert re.findall(r"/about/(\w+)/", html) == ["capabilities"]
    for slug in set(TABS) - {"capabilities"}:
        with pytest.raises(PermissionDenied):
            tab(helper, full, slug)
    helper.role.permissions.clear()
    with pytest.raises(PermissionDenied):
        tab(User.objects.get(pk=helper.pk), full, "capabilities")


@pytest.mark.parametrize(("key", "slug"), [("0", "models"), ("x", "models"), ("1", "nonsense")])
def test_a_tab_that_is_not_there_is_not_found(adam: User, key: str, slug: str) -> None:
    with pytest.raises(Http404):
        PeopleAdmin(User, admin.site).tab_view(request_of(adam), key, slug)


def test_staff_who_sees_only_their_own_files_is_shown_no_thumbnail(adam: User, full: User) -> None:
    assert "made.png" not in tab(adam, full, "prompts")
    assert "can_view_all_history" in tab(adam, full, "prompts")


def test_view_as_shows_nothing_that_was_not_given_and_all_to_who_sees_all(
    adam: User, alice: User
) -> None:
    html = tab(adam, alice, "sees")
    assert "sd15" not in html and "0 of 2" in html
    alice.user_permissions.add(Permission.objects.get(codename=Capability.VIEW_ALL_COMFYUI_ITEMS))
    html = tab(adam, alice, "sees")
    assert "sdxl.safetensors" in html and "2 of 2" in html


def test_view_as_tells_that_comfyui_is_away(
    adam: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise UpstreamUnreachable

    monkeypatch.setattr(admin_people.catalog, "to_show", away)
    assert "ComfyUI does not answer" in tab(adam, alice, "sees")


# --- several users -------------------------------------------------------------------------


def can_log_in(user: User) -> bool:
    return User.objects.get(pk=user.pk).check_password("Some-Secret-77")


ASKED: dict[str, Callable[[User], bool]] = {
    "disable": lambda user: User.objects.get(pk=user.pk).is_active,
    "log_out_everywhere": lambda user: user.sessions.filter(revoked_at=None).exists(),
    "reset_second_factor": lambda user: TotpDevice.objects.filter(user=user).exists(),
    "require_new_password": can_log_in,
    "change_role": lambda user: User.objects.get(pk=user.pk).role_id == "user",
}


@pytest.mark.parametrize("action", ASKED)
def test_what_takes_something_away_asks_first_and_says_what(
    adam: User, alice: User, action: str
) -> None:
    alice.set_password("Some-Secret-77")
    alice.save()
    used(alice, timedelta(minutes=1))
    TotpDevice.objects.create(user=alice, secret="x", confirmed=True)
    still_there = ASKED[action]
    chosen = {"action": action, "_selected_action": [alice.pk], "role": "guest"}
    asked, _ = post(User, adam, **chosen)
    assert "No, take me back" in asked and ">alice<" in asked and "mss-note warning" in asked
    assert still_there(alice)
    post(User, adam, **chosen, confirmed="yes")
    assert not still_there(alice)
    assert AuditEntry.objects.filter(subject=alice, actor=adam).exists()


@pytest.mark.parametrize("action", ASKED)
def test_nobody_does_it_to_who_ranks_above_them(helper: User, adam: User, action: str) -> None:
    helper.role.permissions.add(Permission.objects.get(codename="change_user"))
    helper = User.objects.get(pk=helper.pk)
    adam.set_password("Some-Secret-77")
    adam.save()
    used(adam, timedelta(minutes=1))
    TotpDevice.objects.create(user=adam, secret="x", confirmed=True)
    before = User.objects.filter(pk=adam.pk).values().get()
    post(User, helper, action=action, _selected_action=[adam.pk], role="guest", confirmed="yes")
    assert User.objects.filter(pk=adam.pk).values().get() == before
    assert TotpDevice.objects.filter(user=adam).exists()
    assert adam.sessions.filter(revoked_at=None).exists()


@pytest.mark.parametrize("role", ["owner", "nonsense", "", "admin"])
def test_nobody_gives_a_role_that_is_not_theirs_to_give(
    helper: User, alice: User, role: str
) -> None:
    helper.role.permissions.add(Permission.objects.get(codename="change_user"))
    helper = User.objects.get(pk=helper.pk)
    asked, _ = post(
        User,
        helper,
        action="change_role",
        _selected_action=[alice.pk],
        role=role,
        confirmed="yes",
    )
    assert "errorlist" in asked
    assert User.objects.get(pk=alice.pk).role_id == "user"


def test_required_password_is_set_by_the_link_that_is_shown_once(adam: User, alice: User) -> None:
    alice.set_password("Some-Secret-77")
    alice.save()
    kept = token(alice)
    html, _ = post(
        User, adam, action="require_new_password", _selected_action=[alice.pk], confirmed="yes"
    )
    found = re.search(r'value="http://testserver/reset\?reset_token=([^"]+)"', html)
    assert found is not None
    assert not can_log_in(alice) and ApiToken.objects.filter(pk=kept.pk).exists()
    links.set_forgotten_password(found[1], "Some-Secret-77", keep_tokens=True)
    assert can_log_in(alice)
    events = set(AuditEntry.objects.values_list("event", flat=True))
    assert {"user.password_voided", "password_link.created"} <= events


def test_too_many_passwords_at_once_are_left_as_they_are(adam: User) -> None:
    keys = [
        User.objects.create(username=f"u{number}", role_id="user", password="x").pk
        for number in range(51)
    ]
    html, said = post(
        User, adam, action="require_new_password", _selected_action=keys, confirmed="yes"
    )
    assert (html, said) == ("", ["At most 50 at a time: their links are shown on one page."])
    assert AccountLink.objects.count() == 0
    assert set(User.objects.filter(pk__in=keys).values_list("password", flat=True)) == {"x"}


def test_owner_and_oneself_stay_enabled_while_others_are_disabled(adam: User, alice: User) -> None:
    owner = User.objects.create(username="olga", role_id="owner")
    keys = [owner.pk, alice.pk]
    _, said = post(User, owner, action="disable", _selected_action=keys, confirmed="yes")
    assert said[-1] == "Disabled: 1." and "The owner cannot be disabled." in said[0]
    _, said = post(User, adam, action="enable", _selected_action=[alice.pk])
    assert said == ["Enabled: 1."]
    assert set(User.objects.filter(is_active=True)) == {owner, adam, alice}


def test_the_page_that_asks_names_some_and_counts_the_rest(adam: User) -> None:
    keys = [User.objects.create(username=f"u{n:02}", role_id="user").pk for n in range(25)]
    asked, _ = post(User, adam, action="disable", _selected_action=keys)
    assert asked.count('name="_selected_action"') == 25
    assert "and 5 more" in asked and "u19" in asked


# --- storage -------------------------------------------------------------------------------


def test_worker_measures_what_each_user_keeps(
    adam: User, alice: User, settings: Settings, tmp_path: Path
) -> None:
    settings.USERDATA_DIR = tmp_path / "userdata"
    folder = tmp_path / "output" / alice.namespace / "deep"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"x" * 1000)
    (folder.parent / "b.png").write_bytes(b"x" * 24)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder.parent)
    (tmp_path / "output" / adam.namespace).symlink_to(folder)
    settings.COMFYUI_FOLDERS = {"output": tmp_path / "output", "input": tmp_path / "none"}
    for _ in range(2):
        assert storage.measure() == 2
    rows = dict(StorageUse.objects.values_list("user__username", "made_bytes"))
    assert rows == {"adam": 0, "alice": 1024}
    settings.COMFYUI_FOLDERS = {"output": None}
    storage.measure()
    assert StorageUse.objects.get(user=alice).made_bytes is None
