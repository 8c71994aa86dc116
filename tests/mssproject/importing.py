"""`manage.py import_mss_login`, run in the test's own process and database."""

import io
from pathlib import Path

from django.apps import apps
from django.core.management import CommandError, call_command

from accounts import ranks
from accounts.models import Role, User
from tests import formerinstallation as former
from tests.passwords import hashed

TOTP = "MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK"


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    out = io.StringIO()
    try:
        call_command("import_mss_login", str(folder), *arguments, stdout=out)
    except CommandError as error:
        return 1, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def imported(folder: Path, *arguments: str) -> str:
    code, words = run(folder, *arguments)
    assert code == 0, words
    return words


def refused(folder: Path, *arguments: str) -> str:
    before = everything()
    code, words = run(folder, *arguments)
    assert (code, everything()) == (1, before), words
    return words


def everything() -> dict[str, int]:
    """How many rows there are of what."""
    return {model._meta.label: model._base_manager.count() for model in apps.get_models()}


def roles() -> dict[str, str]:
    return dict(User.objects.values_list("username", "role_id"))


def there(username: str, role: str = "user") -> User:
    """An account that was here before."""
    return User.objects.create(username=username, role_id=role, password=hashed(None))


def held(slug: str) -> set[str]:
    return set(map(str, ranks.capabilities_of_role(Role.objects.get(slug=slug))))


def installation(folder: Path) -> Path:
    """One with something of everything."""
    former.mss_login(
        folder,
        groups={"user": former.USER_ROLE, "artists": {"can_run": True, "can_upload": False}},
        users=[
            former.user("frida", groups=["owner", "admin"]),
            former.user("ida", groups=["artists"], sfw_check=0),
            former.user("mia", mfa_enabled=1, totp_secret_encrypted=former.encrypted(TOTP)),
        ],
        api_tokens=[former.token("ida", "a" * 43)],
        shared_items=[former.shared("ida", "loras", "detail.safetensors")],
        ip_whitelist=[{"entry": "10.0.0.0/8"}],
        ip_blacklist=[
            {"ip": "203.0.113.7", "expires_at": None},
            {"ip": "203.0.113.8", "expires_at": 5},
        ],
    )
    former.workflow(folder, "ida", "one.json")
    return folder
