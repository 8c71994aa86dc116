"""`manage.py import_mss_login`: people go on as before, seen by clients of a running gateway."""

import base64
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests import formerinstallation as former
from tests.accounts.factors import App
from tests.client import Client
from tests.gateway import Gateway
from tests.userdata import names, read

IMPORT = """
import io
from django.core.management import CommandError, call_command
out = io.StringIO()
try:
    call_command("import_mss_login", *arguments, stdout=out)
    result = [0, out.getvalue()]
except CommandError as error:
    result = [1, f"{out.getvalue()}{error}"]
"""
STORED = """
from accounts.models import User
result = User.objects.get(username=username).password.partition("$")[0]
"""
AUDITED = """
from accounts.models import AuditEntry
result = list(AuditEntry.objects.filter(event=event, subject_name=username).values_list(
    "details", flat=True))
"""
SITE_KEY = """
from accounts.models import User
from downloads.services import key_of
result = key_of(User.objects.get(username=username).pk, "civitai")
"""

# As the products make them: 32 random bytes, URL-safe.
TOKEN = "Zq3v-0aB_cD4eF5gH6iJ7kL8mN9oP0qR1sT2uV3wX4y"
DISABLED = "Aq3v-0aB_cD4eF5gH6iJ7kL8mN9oP0qR1sT2uV3wX4z"
TOTP = base64.b32encode(b"twenty bytes of key.").decode()
BACKUP = "AB12-CD34-EF56-7890"
CHECKPOINT = "sd15.safetensors"
SITE_SECRET = "civitai-key-of-ida"


@pytest.fixture(scope="module")
def said(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the import of one installation printed."""
    folder = former.mss_login(
        tmp_path_factory.mktemp("former") / "data-dir",
        users=[
            former.user("frida", groups=["owner", "admin"]),
            former.user("ida"),
            former.user("raw", password_hash=former.bcrypt_of(former.PASSWORD)),
            former.user("dora", disabled=1),
            former.user(
                "mia",
                mfa_enabled=1,
                totp_secret_encrypted=former.encrypted(TOTP),
                backup_code_hash=sha256(BACKUP.replace("-", "").encode()).hexdigest(),
            ),
        ],
        api_tokens=[former.token("ida", TOKEN), former.token("dora", DISABLED)],
        shared_items=[former.shared("ida", "checkpoints", CHECKPOINT, by="frida")],
        user_model_source_api_keys=[
            {
                "user_id": former.user_id("ida"),
                "source": "civitai",
                "api_key_encrypted": former.encrypted(SITE_SECRET),
                "created_at": 0.0,
            }
        ],
    )
    former.workflow(folder, "ida", "portraits/First try.json", b'{"nodes": []}')
    former.workflow(folder, "ida", "notes.txt")
    code, words = gateway.run(IMPORT, arguments=[str(folder)])
    assert code == 0, words
    return str(words)


def login(gateway: Gateway, username: str, password: str = former.PASSWORD) -> Any:
    body = {"username": username, "password": password}
    return Client(gateway.url).post("/login", json=body)


@pytest.fixture(scope="module")
def ida(gateway: Gateway, said: str) -> Client:
    """Her client with the token that she had."""
    return Client(gateway.url, TOKEN)


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("username", ["frida", "raw"])
def test_imported_user_logs_in_with_the_old_password_and_is_rehashed(
    gateway: Gateway, username: str
) -> None:
    assert gateway.run(STORED, username=username) == "mss_bcrypt"
    assert login(gateway, username, "wrong-Word1!").status_code == 401
    answer = login(gateway, username)
    assert answer.status_code == 200, answer.text
    assert gateway.run(STORED, username=username) == "argon2"
    assert login(gateway, username).status_code == 200


def test_app_goes_on_with_its_former_token_in_every_channel(gateway: Gateway, ida: Client) -> None:
    me = ida.get("/mss-login/api/me").json()
    assert (me["username"], me["role"], me["auth"]) == ("ida", "user", "api_token")
    plain = Client(gateway.url)
    basic = base64.b64encode(f"anything:{TOKEN}".encode()).decode()
    for answer in (
        ida.get("/queue"),
        plain.get("/queue", params={"token": TOKEN}),
        plain.get("/queue", headers={"Authorization": f"Basic {basic}"}),
        plain.get("/api/object_info", headers={"Cookie": f"jwt_token={TOKEN}"}),
    ):
        assert answer.status_code == 200, answer.text
    assert Client(gateway.url, TOKEN[:-1] + "z").get("/queue").status_code == 401
    (listed,) = ida.get("/mss-login/api/tokens").json()["tokens"]
    assert (listed["label"], listed["expires_at"]) == ("phone", None)
    assert listed["created_at"].startswith("2026-01-02T03:04:05")
    assert sha256(TOKEN.encode()).hexdigest().startswith(listed["token_hash_prefix"])


def test_user_sees_the_model_they_were_given_and_no_other(ida: Client, admin: Client) -> None:
    assert ida.get("/models/checkpoints").json() == [CHECKPOINT]
    (given,) = admin.get("/mss-login/api/users/ida/shared-items").json()["items"]
    assert (given["folder"], given["item_name"]) == ("checkpoints", CHECKPOINT)
    assert given["granted_by"] == "frida"
    assert given["created_at"].startswith("2026-01-02T03:04:05")


@pytest.mark.usefixtures("said")
def test_disabled_user_is_refused_with_password_and_token(gateway: Gateway) -> None:
    answer = login(gateway, "dora")
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")
    assert Client(gateway.url, DISABLED).get("/queue").status_code == 401


@pytest.mark.usefixtures("said")
def test_second_factor_and_backup_code_are_asked_for_as_before(gateway: Gateway) -> None:
    for proof in ({"code": App(TOTP).code()}, {"backup_code": BACKUP}):
        waiting = login(gateway, "mia").json()
        assert (waiting["mfa_required"], "jwt_token" in waiting) == (True, False)
        body = {"mfa_temp_token": waiting["mfa_temp_token"], **proof}
        answer = Client(gateway.url).post("/mss-login/api/mfa/verify", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["jwt_token"]


def test_user_finds_their_workflows(ida: Client, said: str) -> None:
    assert names(ida) == ["portraits/First try.json"]
    assert read(ida, "workflows/portraits/First try.json").content == b'{"nodes": []}'
    assert "workflow notes.txt of ida: Only workflows are taken over." in said


@pytest.mark.usefixtures("said")
def test_downloads_use_the_users_former_key(gateway: Gateway) -> None:
    assert gateway.run(SITE_KEY, username="ida") == SITE_SECRET


def test_former_owner_is_an_admin_beside_the_owner_who_is_there(
    gateway: Gateway, said: str
) -> None:
    (details,) = gateway.run(AUDITED, event="user.imported", username="frida")
    assert details["role"] == "admin"
    assert "There is an owner already: the former one becomes an admin." in said


def test_summary_counts_and_names_no_secret(gateway: Gateway, said: str) -> None:
    assert (
        "Altogether: 5 users, 0 roles, 0 ip rules, 2 tokens, 1 models, 1 second factors, "
        "1 site keys, 1 workflows" in said
    )
    secrets = (TOKEN, sha256(TOKEN.encode()).hexdigest(), TOTP, SITE_SECRET, former.SECRET_KEY)
    assert not [secret for secret in (*secrets, "$2b$") if secret in said]
    dump = gateway.run(
        "from accounts.models import AuditEntry\n"
        "result = ' '.join(map(str, AuditEntry.objects.values_list('details', flat=True)))"
    )
    assert not [secret for secret in (*secrets, "$2b$") if secret in dump]


def test_second_import_changes_nothing(gateway: Gateway, said: str, tmp_path: Path) -> None:
    # Somebody new joined there in the meantime.
    folder = former.mss_login(tmp_path / "again", users=[former.user("ida"), former.user("nina")])
    count = "from accounts.models import User; result = User.objects.count()"
    before = gateway.run(count)
    code, words = gateway.run(IMPORT, arguments=[str(folder)])
    assert (code, gateway.run(count)) == (0, before + 1)
    assert "user ida: There is an account of this name, which stays as it is." in words
    code, words = gateway.run(IMPORT, arguments=[str(folder)])
    assert (code, words.endswith("Nothing was new.\n")) == (0, True)
    assert gateway.run(count) == before + 1
