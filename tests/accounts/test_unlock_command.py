"""`manage.py unlock` and `owner unlock`: who was locked out tries again at once."""

import io

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts import errors, lockout
from accounts.models import AuditEntry, User

pytestmark = pytest.mark.django_db

HERE, THERE = "192.0.2.7", "2001:db8::7"


@pytest.fixture(autouse=True)
def strict(settings: Settings) -> None:
    settings.MSS_LOCKOUT_NAME_FAILURES = 2
    settings.MSS_LOCKOUT_ADDRESS_FAILURES = 3


@pytest.fixture(autouse=True)
def people() -> None:
    for name, role in (("Olga", "owner"), ("uwe", "user"), ("10.0.0.9", "user")):
        User.objects.create(username=name, role_id=role)


def fail(username: str, ip: str, times: int) -> None:
    for _ in range(times):
        lockout.failed(username, ip)


def locked(username: str, ip: str) -> bool:
    try:
        lockout.require_open(username, ip)
    except errors.LockedOut:
        return True
    return False


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def trail() -> list[tuple[str, dict[str, object]]]:
    rows = AuditEntry.objects.filter(event="unlocked").order_by("id")
    return [(row.subject_name, row.details) for row in rows]


@pytest.mark.parametrize("spelling", ["uwe", "UWE"])
def test_a_name_is_unlocked_and_no_other(spelling: str) -> None:
    fail("uwe", HERE, 2)
    fail("olga", THERE, 2)
    assert locked("uwe", "198.51.100.1") and locked("olga", "198.51.100.1")
    assert run("unlock", spelling) == f"{spelling} may try to log in again."
    assert not locked("uwe", "198.51.100.1") and locked("olga", "198.51.100.1")
    assert trail() == [("uwe", {"username": spelling})]


def test_an_address_is_unlocked_in_any_spelling() -> None:
    for number in range(3):
        fail(f"guess{number}", THERE, 1)
        fail(f"guess{number}", HERE, 1)
    assert locked("uwe", THERE) and locked("uwe", HERE)
    run("unlock", "2001:0DB8:0:0::7")
    assert not locked("uwe", THERE) and locked("uwe", HERE)
    run("unlock", f"::ffff:{HERE}")
    assert not locked("uwe", HERE)


def test_a_name_that_looks_like_an_address_is_both() -> None:
    fail("10.0.0.9", HERE, 2)
    fail("guess", "10.0.0.9", 3)
    run("unlock", "10.0.0.9")
    assert not locked("10.0.0.9", HERE) and not locked("uwe", "10.0.0.9")
    assert trail() == [("10.0.0.9", {"username": "10.0.0.9", "address": "10.0.0.9"})]


def test_a_name_nobody_has_is_unlocked_if_it_was_tried_and_else_a_mistake() -> None:
    fail("ghost", HERE, 2)
    run("unlock", "ghost")
    assert not locked("ghost", HERE)
    with pytest.raises(CommandError, match="There is no account ghost"):
        run("unlock", "ghost")
    assert len(trail()) == 1
    # Who has an account and no failures, or an address without any, is no mistake.
    assert run("unlock", "uwe") and run("unlock", "203.0.113.1")


def test_the_owner_gets_in_again_from_wherever_they_are() -> None:
    fail("olga", HERE, 2)
    fail("guess", THERE, 3)
    assert locked("Olga", HERE) and locked("Olga", THERE)
    assert run("owner", "unlock") == "Olga, and everybody else, may try to log in again."
    assert not locked("Olga", HERE) and not locked("Olga", THERE)
    assert trail() == [("", {"everybody": True})]


def test_without_an_owner_the_command_says_so() -> None:
    User.objects.filter(role="owner").delete()
    with pytest.raises(CommandError, match="There is no owner yet"):
        run("owner", "unlock")
