"""`manage.py rotate_secrets`: a changed SECRET_KEY costs nobody their authenticator app."""

import io

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts import crypto
from accounts.models import AuditEntry, TotpDevice, User

pytestmark = pytest.mark.django_db

OLD, NEW, LOST = ("o" * 40, "n" * 40, "l" * 40)


@pytest.fixture(autouse=True)
def keys(settings: Settings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]


def device(settings: Settings, username: str, key: str) -> TotpDevice:
    settings.SECRET_KEY, current = key, settings.SECRET_KEY
    user = User.objects.create(username=username, role_id="user")
    made = TotpDevice.objects.create(user=user, secret=crypto.encrypt(username.encode().hex()))
    settings.SECRET_KEY = current
    return made


def rotate() -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("rotate_secrets", stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def test_all_secrets_are_rotated_and_the_former_key_can_go(settings: Settings) -> None:
    made = [device(settings, "uwe", OLD), device(settings, "nadia", NEW)]
    assert rotate() == (0, "2 secrets are encrypted under the current SECRET_KEY.\n")
    settings.SECRET_KEY_FALLBACKS = []
    for row in made:
        row.refresh_from_db()
        assert row.key == row.user.username.encode()
    assert AuditEntry.objects.get(event="secrets.rotated").details == {"rotated": 2, "left": []}


def test_a_secret_of_an_unknown_key_is_named_and_left_and_the_others_are_rotated(
    settings: Settings,
) -> None:
    made = [device(settings, "uwe", OLD), device(settings, "lost", LOST)]
    broken = device(settings, "broken", NEW)
    TotpDevice.objects.filter(pk=broken.pk).update(secret="plain text")
    code, words = rotate()
    assert (code, words.partition("\n")[0]) == (
        1,
        "1 secrets are encrypted under the current SECRET_KEY.",
    )
    assert "left as they are: broken, lost." in words
    assert "plain text" not in words
    kept = made[1].secret
    made[1].refresh_from_db()
    assert made[1].secret == kept
    settings.SECRET_KEY_FALLBACKS = []
    made[0].refresh_from_db()
    assert made[0].key == b"uwe"
    # With the lost key found again, the rest follows.
    settings.SECRET_KEY_FALLBACKS = [LOST]
    TotpDevice.objects.filter(pk=broken.pk).delete()
    assert rotate()[0] == 0


def test_nothing_to_rotate_is_no_fault() -> None:
    assert rotate() == (0, "0 secrets are encrypted under the current SECRET_KEY.\n")
