"""Backup codes that came with an import: known by their SHA-256 only."""

from hashlib import sha256

import pytest

from accounts import errors, mfa
from accounts.models import User

pytestmark = pytest.mark.django_db

# As MSS-Login shows it; it hashes the capitals without dashes.
CODE = "AB12-CD34-EF56-7890"
DIGEST = sha256(CODE.replace("-", "").encode()).hexdigest()


@pytest.fixture
def ida() -> User:
    user = User.objects.create(username="ida", role_id="user")
    mfa.import_backup_code(user, DIGEST)
    return user


def is_taken(user: User, code: str) -> bool:
    try:
        mfa.prove(user, mfa.Proof(backup_code=code), ip=None)
    except errors.InvalidCode:
        return False
    return True


@pytest.mark.parametrize("typed", [CODE, CODE.lower(), CODE.replace("-", " ")])
def test_user_logs_in_with_the_former_code_once(ida: User, typed: str) -> None:
    assert is_taken(ida, typed)
    assert not is_taken(ida, typed)
    assert mfa.backup_codes_left(ida) == 0


def test_thief_of_the_former_database_cannot_use_the_digest_as_a_code(ida: User) -> None:
    for forged in (DIGEST, DIGEST.upper(), f"sha256:{DIGEST}"):
        assert not is_taken(ida, forged)
    assert mfa.backup_codes_left(ida) == 1


def test_code_of_somebody_else_is_refused(ida: User) -> None:
    other = User.objects.create(username="otto", role_id="user")
    assert not is_taken(other, CODE)
