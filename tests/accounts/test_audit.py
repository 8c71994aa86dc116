"""The audit log: every event has its row, saying what was before and after; rows stay."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import admission, errors, lockout, login, proofs, services, tasks
from accounts.admin_audit import lines_of
from accounts.audit import audit, forget_old
from accounts.models import AppendOnlyError, AuditEntry, IpRule, Role, User

pytestmark = pytest.mark.django_db

PASSWORD = "correct-Horse-9-battery"
NEW_PASSWORD = "Another-77-secret"
IP = "192.0.2.7"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def make(username: str, role: str = "user") -> User:
    return services.create_user(username=username, password=PASSWORD, role=role, actor=None)


def request() -> HttpRequest:
    made = HttpRequest()
    made.META["REMOTE_ADDR"] = IP
    made.user = AnonymousUser()
    return made


# --- every event has its row -----------------------------------------------------------------


def _fail(admin: User, user: User) -> None:
    with pytest.raises(errors.InvalidCredentials):
        login.check_password(request(), "uwe", "wrong")


def _lock(admin: User, user: User) -> None:
    lockout.failed("uwe", IP)


def _token(admin: User, user: User) -> Any:
    row, _ = proofs.create_api_token(
        user, label="phone", scopes=None, expires_at=None, actor=user, ip=IP
    )
    return row


def _session(user: User) -> Any:
    return proofs.start_session(user, ip=IP, user_agent="")[0]


def _role(admin: User, user: User) -> None:
    role = Role.objects.create(slug="crew", title="Crew", max_waiting_prompts=1)
    changes = {"can_run": True, "can_upload": False, "max_waiting_prompts": 3, "sfw_enforced": True}
    services.change_role(role, changes, actor=admin, ip=IP)


def _ip_rules(admin: User, user: User) -> None:
    IpRule.objects.create(kind="deny", network="10.0.0.0/8")
    until = timezone.now().replace(2035, 1, 2, 3, 4)
    lists = {
        "deny": [IpRule(kind="deny", network="192.0.2.0/24", expires_at=until)],
        "allow": [IpRule(kind="allow", network="0.0.0.0/0")],
    }
    admission.replace_ip_rules(lists, confirm=True, actor=admin, ip=IP)


def _transfer(admin: User, user: User) -> None:
    owner = services.create_owner(username="olga", password=PASSWORD)
    services.transfer_ownership(owner, user, ip=IP)


def _change(**changes: Any) -> Callable[[User, User], None]:
    def act(admin: User, user: User) -> None:
        services.change_user(user, changes, actor=admin, ip=IP)

    return act


def _enable(admin: User, user: User) -> None:
    services.set_active(user, False, actor=None)
    services.set_active(user, True, actor=admin, ip=IP)


EVENTS: dict[str, tuple[Callable[[User, User], object], str, str, dict[str, Any]]] = {
    "login": (
        lambda admin, user: _session(user),
        "uwe",
        "uwe",
        {"jti": ..., "second_factor": False},
    ),
    "login.failed": (_fail, "", "uwe", {"username": "uwe"}),
    "lockout": (_lock, "", "uwe", {"username": "uwe", "by": "user name", "until": ...}),
    "token.created": (
        _token,
        "uwe",
        "uwe",
        {"token": ..., "label": "phone", "networks": [], "in_path": False},
    ),
    "token.revoked": (
        lambda admin, user: proofs.revoke_api_token(_token(admin, user), actor=admin, ip=IP),
        "adam",
        "uwe",
        {"token": ..., "label": "phone"},
    ),
    "session.ended": (
        lambda admin, user: proofs.end_session(_session(user), actor=admin, ip=IP),
        "adam",
        "uwe",
        {"jti": ...},
    ),
    "sessions.ended": (
        lambda admin, user: [_session(user), proofs.end_all_sessions(user, actor=admin, ip=IP)],
        "adam",
        "uwe",
        {"ended": 1},
    ),
    "user.created": (
        lambda admin, user: services.create_user(
            username="nadia", password=PASSWORD, role="guest", actor=admin, ip=IP
        ),
        "adam",
        "nadia",
        {"role": "guest"},
    ),
    "owner.created": (
        lambda admin, user: services.create_owner(username="olga", password=PASSWORD, ip=IP),
        "olga",
        "olga",
        {},
    ),
    "user.role": (_change(role="power"), "adam", "uwe", {"before": "user", "after": "power"}),
    "user.disabled": (_change(is_active=False), "adam", "uwe", {"tokens": 0}),
    "user.enabled": (_enable, "adam", "uwe", {}),
    "user.password": (_change(password=NEW_PASSWORD), "adam", "uwe", {"tokens": 0}),
    "user.overrides": (
        _change(sfw_enforced=True, mfa_required=None),
        "adam",
        "uwe",
        {"changes": {"sfw_enforced": {"before": None, "after": True}}},
    ),
    "user.deleted": (
        lambda admin, user: services.delete_user(user, actor=admin, keep_files=False, ip=IP),
        "adam",
        "uwe",
        {"role": "user", "files": "delete"},
    ),
    "role.changed": (
        _role,
        "adam",
        "",
        {
            "role": "crew",
            "changes": {
                "can_run": {"before": False, "after": True},
                "max_waiting_prompts": {"before": 1, "after": 3},
                "sfw_enforced": {"before": False, "after": True},
            },
        },
    ),
    "ip_rules.changed": (
        _ip_rules,
        "adam",
        "",
        {
            "changes": {
                "deny": {
                    "before": ["10.0.0.0/8"],
                    "after": ["192.0.2.0/24 until 2035-01-02 03:04"],
                },
                "allow": {"before": [], "after": ["0.0.0.0/0"]},
            }
        },
    ),
    "owner.transferred": (_transfer, "olga", "uwe", {}),
}


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_leaves_one_row_that_says_who_whom_from_where_and_what(
    settings: Settings, event: str
) -> None:
    settings.MSS_LOCKOUT_NAME_FAILURES = 1 if event == "lockout" else 100
    admin, user = make("adam", "admin"), make("uwe")
    act, actor, subject, details = EVENTS[event]
    earlier = AuditEntry.objects.count()
    act(admin, user)
    new = list(AuditEntry.objects.order_by("id")[earlier:])
    (row,) = [found for found in new if found.event == event]
    assert (row.actor_name, row.subject_name, row.ip) == (actor, subject, IP)
    assert row.details.keys() == details.keys()
    known = {name: value for name, value in details.items() if value is not ...}
    assert {name: row.details[name] for name in known} == known
    for secret in (PASSWORD, NEW_PASSWORD):
        assert secret not in str(row.details)


def test_a_change_that_changes_nothing_leaves_no_row() -> None:
    admin, user = make("adam", "admin"), make("uwe")
    earlier = AuditEntry.objects.count()
    same = {"role": "user", "is_active": True, "sfw_enforced": None, "mfa_required": None}
    services.change_user(user, same, actor=admin)
    services.change_role(user.role, {"can_run": True, "sfw_enforced": False}, actor=admin)
    assert AuditEntry.objects.count() == earlier


def test_a_change_that_is_undone_leaves_no_row() -> None:
    admin, user = make("adam", "admin"), make("uwe")
    earlier = AuditEntry.objects.count()
    with pytest.raises(errors.BadRequest):
        services.change_user(user, {"role": "power", "password": "weak"}, actor=admin)
    assert AuditEntry.objects.count() == earlier


def test_rows_are_shown_as_sentences_would_be() -> None:
    row = AuditEntry(
        details={
            "label": "",
            "ended": 2,
            "changes": {"sfw_enforced": {"before": None, "after": True}, "teams": {"after": ["a"]}},
        }
    )
    assert lines_of(row) == [
        "label: (none)",
        "ended: 2",
        "sfw enforced: (none) → yes",
        "teams: (none) → a",
    ]
    assert lines_of(AuditEntry(details={"before": "user", "after": "power"})) == ["user → power"]


# --- rows stay -------------------------------------------------------------------------------


@pytest.fixture
def row() -> AuditEntry:
    audit("login.failed", username="before")
    return AuditEntry.objects.get(event="login.failed")


def _save(row: AuditEntry) -> None:
    row.details = {"username": "after"}
    row.save()


ATTACKS: dict[str, Callable[[AuditEntry], object]] = {
    "save": _save,
    "save one field": lambda row: row.save(update_fields=["details"]),
    "take its place": lambda row: AuditEntry(pk=row.pk, event="login").save(),
    "delete": lambda row: row.delete(),
    "update": lambda row: AuditEntry.objects.update(event="login"),
    "update some": lambda row: AuditEntry.objects.filter(pk=row.pk).update(event="login"),
    "update or create": lambda row: AuditEntry.objects.update_or_create(
        pk=row.pk, defaults={"event": "login"}
    ),
    "bulk update": lambda row: AuditEntry.objects.bulk_update([row], ["event"]),
    "overwrite": lambda row: AuditEntry.objects.bulk_create(
        [AuditEntry(pk=row.pk, event="login")],
        update_conflicts=True,
        update_fields=["event"],
        unique_fields=["pk"],
    ),
    "delete all": lambda row: AuditEntry.objects.all().delete(),
    "delete some": lambda row: AuditEntry.objects.filter(pk=row.pk).delete(),
    "delete by relation": lambda row: AuditEntry.objects.filter(actor=None).delete(),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nobody_changes_or_removes_a_row(row: AuditEntry, attack: str) -> None:
    with pytest.raises((AppendOnlyError, IntegrityError)), transaction.atomic():
        ATTACKS[attack](row)
    (left,) = AuditEntry.objects.all()
    assert (left.event, left.details) == ("login.failed", {"username": "before"})


def test_rows_outlive_the_accounts_they_name() -> None:
    admin, user = make("adam", "admin"), make("uwe")
    audit("session.ended", actor=admin, subject=user)
    before = AuditEntry.objects.count()
    services.delete_user(user, actor=admin, keep_files=True)
    User.objects.all().delete()
    row = AuditEntry.objects.get(event="session.ended")
    assert (row.actor, row.subject) == (None, None)
    assert (row.actor_name, row.subject_name) == ("adam", "uwe")
    assert AuditEntry.objects.count() == before + 1


def test_only_old_rows_are_forgotten(settings: Settings) -> None:
    settings.MSS_AUDIT_DAYS = 30
    now = timezone.now()
    for days in (0, 29.9, 30.1, 400):
        AuditEntry.objects.create(event=f"{days}", at=now - timedelta(days=days))
    assert forget_old() == 2
    assert set(AuditEntry.objects.values_list("event", flat=True)) == {"0", "29.9"}
    AuditEntry.objects.create(event="old", at=now - timedelta(days=31))
    tasks.forget_old()
    assert AuditEntry.objects.filter(event="old").count() == 0
