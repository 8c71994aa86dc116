"""Second factors: set them up, check them, take them away.

An account has one authenticator app at most, any number of passkeys, and backup codes for the
day when these are lost. A wrong code counts like a wrong password (`accounts.lockout`).
"""

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, sha256
from typing import Any, Final
from urllib.parse import quote, urlencode

import segno
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django_otp_webauthn.models import WebAuthnCredential

from accounts import challenges, crypto, errors, lockout
from accounts.audit import audit
from accounts.mfa_models import DIGITS
from accounts.models import BackupCode, Challenge, TotpDevice, User
from accounts.proofs import end_sessions
from accounts.ranks import may_manage
from accounts.sentences import english
from accounts.services import end_access

ISSUER: Final = "MSS-Login"
SECRET_BYTES: Final = 20
BACKUP_CODES: Final = 10
# Without letters that are mistaken for digits. 31^10 codes of 20,000 rounds each: going through
# them takes 1.6e19 hashes per user, so a stolen table gives none away.
CODE_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
CODE_CHARS: Final = 10
CODE_HASH_ROUNDS: Final = 20_000
IMPORTED: Final = "imported "


@dataclass(frozen=True, slots=True)
class Setup:
    """What a person needs to enrol. The backup codes cannot be shown again."""

    provisioning_uri: str
    qr_svg: str
    secret: str
    backup_codes: tuple[str, ...]


def has_app(user: User) -> bool:
    """Whether an authenticator app is in force."""
    return TotpDevice.objects.filter(user=user, confirmed=True).exists()


def has_passkey(user: User) -> bool:
    return bool(WebAuthnCredential.objects.filter(user=user, confirmed=True).exists())


def is_enrolled(user: User) -> bool:
    """Whether the account has a second factor in force."""
    return has_app(user) or has_passkey(user)


def enrolled() -> Q:
    """Of users: those with a second factor in force."""
    apps = TotpDevice.objects.filter(confirmed=True, user=OuterRef("pk"))
    passkeys = WebAuthnCredential.objects.filter(confirmed=True, user=OuterRef("pk"))
    return Q(Exists(apps)) | Q(Exists(passkeys))


def enrolled_ids() -> set[int]:
    """Users with a second factor in force: for lists."""
    apps = TotpDevice.objects.filter(confirmed=True).values_list("user_id", flat=True)
    passkeys = WebAuthnCredential.objects.filter(confirmed=True).values_list("user_id", flat=True)
    return {*apps, *passkeys}


def is_required(user: User) -> bool:
    """Whether the account must have one: its own setting, else its role's."""
    return user.role.mfa_required if user.mfa_required is None else user.mfa_required


def methods(user: User) -> list[str]:
    """What can be asked of this user, in the order of an API's field names."""
    found = ["totp"] if has_app(user) else []
    if has_passkey(user):
        found.append("passkey")
    if backup_codes_left(user):
        found.append("backup_code")
    return found


def due(user: User) -> Challenge.Purpose | None:
    """What a login needs after the password: a second factor, one set up, or nothing."""
    if is_enrolled(user):
        return Challenge.Purpose.LOGIN
    return Challenge.Purpose.SETUP if is_required(user) else None


def require_unenrolled(challenge: Challenge) -> None:
    """A temp token for setting up the first factor is void once there is one.

    Raises:
        TokenInvalid
    """
    if challenge.purpose == Challenge.Purpose.SETUP:
        assert challenge.user is not None
        if is_enrolled(challenge.user):
            raise errors.TokenInvalid(challenges.VOID)


# --- the authenticator app -----------------------------------------------------------------


@transaction.atomic
def begin_setup(user: User) -> Setup:
    """A fresh secret and backup codes; not in force until a code confirms them.

    Raises:
        Conflict MFA_ENABLED
    """
    if has_app(user):
        raise errors.Conflict(
            english("An authenticator app is set up already. Turn it off first."),
            code="MFA_ENABLED",
        )
    TotpDevice.objects.filter(user=user).delete()
    key = secrets.token_bytes(SECRET_BYTES)
    TotpDevice.objects.create(
        user=user, name="Authenticator app", confirmed=False, secret=crypto.encrypt(key.hex())
    )
    return _setup(user, key, _replace_codes(user))


def begun_setup(user: User) -> Setup | None:
    """A setup that waits for its first code, without its backup codes."""
    device = TotpDevice.objects.filter(user=user, confirmed=False).first()
    return None if device is None else _setup(user, device.key, ())


def _setup(user: User, key: bytes, codes: tuple[str, ...]) -> Setup:
    secret = base64.b32encode(key).decode().rstrip("=")
    # https://github.com/google/google-authenticator/wiki/Key-Uri-Format
    label = quote(f"{ISSUER}:{user.username}")
    query = urlencode({"secret": secret, "issuer": ISSUER, "digits": 6, "period": 30})
    uri = f"otpauth://totp/{label}?{query}"
    # Drawn here: no other service learns the secret. White around it, for dark pages.
    picture = segno.make(uri, error="m").svg_inline(
        scale=4, border=4, light="#fff", title="QR code for an authenticator app"
    )
    return Setup(uri, picture, secret, codes)


@transaction.atomic
def confirm_setup(user: User, *, keep_session: str | None, ip: str | None) -> None:
    """Put the app in force, its first code having been right. Other sessions end: they never
    proved it."""
    TotpDevice.objects.filter(user=user, confirmed=False).update(confirmed=True)
    Challenge.objects.filter(user=user).delete()
    end_sessions(user, keep=keep_session)
    audit("mfa.enabled", actor=user, subject=user, ip=ip, by="authenticator app")


# --- passkeys ------------------------------------------------------------------------------


@transaction.atomic
def passkey_added(
    user: User, passkey: WebAuthnCredential, *, keep_session: str | None, ip: str | None
) -> tuple[str, ...]:
    """A passkey was registered. Backup codes come with the first second factor."""
    first = not has_app(user) and WebAuthnCredential.objects.filter(user=user).count() == 1
    if first:
        end_sessions(user, keep=keep_session)
    # Whoever got a temp token by the password alone, or began to set an app up in a session they
    # stole, must not end up with a factor of theirs.
    Challenge.objects.filter(user=user).delete()
    TotpDevice.objects.filter(user=user, confirmed=False).delete()
    audit("mfa.enabled", actor=user, subject=user, ip=ip, by="passkey", name=passkey.name)
    return _replace_codes(user) if first or not backup_codes_left(user) else ()


@transaction.atomic
def remove_passkey(user: User, passkey: WebAuthnCredential, *, ip: str | None) -> None:
    """Take one passkey away.

    Raises:
        PermissionDenied: it is the last second factor of somebody who must have one
    """
    others = WebAuthnCredential.objects.filter(user=user).exclude(pk=passkey.pk).exists()
    if is_required(user) and not others and not has_app(user):
        raise errors.PermissionDenied(
            english(
                "Your account needs a second factor. Set up another before you remove this one."
            )
        )
    name = passkey.name
    passkey.delete()
    if not is_enrolled(user):
        BackupCode.objects.filter(user=user).delete()
    audit("mfa.disabled", actor=user, subject=user, ip=ip, by="passkey", name=name)


# --- backup codes --------------------------------------------------------------------------


@transaction.atomic
def new_backup_codes(user: User, *, ip: str | None) -> tuple[str, ...]:
    """A fresh set; the old ones are void."""
    codes = _replace_codes(user)
    audit("mfa.backup_codes", actor=user, subject=user, ip=ip)
    return codes


def backup_codes_left(user: User) -> int:
    return BackupCode.objects.filter(user=user, used_at=None).count()


def _replace_codes(user: User) -> tuple[str, ...]:
    codes = [
        "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_CHARS))
        for _ in range(BACKUP_CODES)
    ]
    BackupCode.objects.filter(user=user).delete()
    BackupCode.objects.bulk_create(
        BackupCode(user=user, code_hash=_code_hash(user, code)) for code in codes
    )
    half = CODE_CHARS // 2
    return tuple(f"{code[:half]}-{code[half:]}" for code in codes)


def _code_hash(user: User, code: str, kind: str = "") -> str:
    """The namespace is the salt: one hash per try, whichever code it may be. Another `kind` has
    another, so that an imported code's digest is no code by itself."""
    salt = f"{kind}backup code of {user.namespace}".encode()
    return pbkdf2_hmac("sha256", code.encode(), salt, CODE_HASH_ROUNDS).hex()


def import_backup_code(user: User, digest: str) -> None:
    """Let a code work once of which a former installation kept the SHA-256 (in hex, of its
    capitals without dashes: MSS-Login's utils/encryption.py `hash_backup_code`)."""
    BackupCode.objects.create(user=user, code_hash=_code_hash(user, digest, IMPORTED))


def _use_backup_code(user: User, code: str) -> bool:
    plain = re.sub(r"[\s-]", "", code).lower()
    imported = sha256(plain.upper().encode()).hexdigest()
    hashes = [_code_hash(user, plain), _code_hash(user, imported, IMPORTED)]
    # One statement: of two requests with one code only one gets the row.
    used = BackupCode.objects.filter(user=user, code_hash__in=hashes, used_at=None).update(
        used_at=timezone.now()
    )
    if used:
        audit("mfa.backup_code_used", actor=user, subject=user, left=backup_codes_left(user))
    return used == 1


def looks_like_app_code(code: str) -> bool:
    """Whether this is rather an app's code than a backup code: where one field takes both."""
    plain = re.sub(r"\s", "", code)
    return plain.isdigit() and len(plain) <= DIGITS


def _use_app(user: User, code: str, *, confirmed: bool) -> bool:
    device = TotpDevice.objects.filter(user=user, confirmed=confirmed).first()
    return device is not None and device.verify_token(re.sub(r"\s", "", code))


# --- all of it -----------------------------------------------------------------------------


@transaction.atomic
def disable(user: User, *, keep_session: str | None, ip: str | None) -> None:
    """The person themself turns second factors off; their other sessions end.

    Raises:
        PermissionDenied: the account must have one
    """
    require_dispensable(user)
    remove_all(user)
    end_sessions(user, keep=keep_session)
    audit("mfa.disabled", actor=user, subject=user, ip=ip)


@transaction.atomic
def reset(
    user: User, *, actor: User | None, keep_tokens: bool = False, ip: str | None = None
) -> None:
    """Somebody else takes the second factors away, for who lost them. Every session ends, and
    every API token unless they are to stay.

    Raises:
        PermissionDenied: `actor` may not manage this account
    """
    if actor is not None and not may_manage(actor, user):
        raise errors.PermissionDenied("You may not change this account.")
    if actor is not None and actor.pk == user.pk:
        # A stolen session of an administrator must not get around password and code.
        raise errors.PermissionDenied("Turn your own second factor off on your account page.")
    remove_all(user)
    removed = end_access(user, keep_tokens=keep_tokens)
    audit("mfa.reset", actor=actor, subject=user, ip=ip, tokens=removed)


def require_dispensable(user: User) -> None:
    """Raise PermissionDenied if the account must have a second factor."""
    if is_required(user):
        raise errors.PermissionDenied(
            english("Your account needs a second factor; it cannot be off.")
        )


def remove_all(user: User) -> None:
    """Take every second factor, backup code and begun login away."""
    TotpDevice.objects.filter(user=user).delete()
    WebAuthnCredential.objects.filter(user=user).delete()
    BackupCode.objects.filter(user=user).delete()
    Challenge.objects.filter(user=user).delete()


# --- proving oneself -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """What was sent to prove a second factor: exactly one of these."""

    code: str | None = None
    backup_code: str | None = None
    passkey: dict[str, Any] | None = None


def prove(
    user: User,
    proof: Proof,
    *,
    ip: str | None,
    challenge: Challenge | None = None,
    setup: bool = False,
    check_passkey: Callable[[dict[str, Any], dict[str, Any]], None] | None = None,
) -> None:
    """Use up what was sent. `setup`: the code confirms an app that is not in force yet.

    `check_passkey(state, answer)` judges a passkey's answer and raises InvalidCode; the state
    is the challenge's and works once.

    Raises:
        TokenInvalid: the temp token's tries are used up, or it is done
        LockedOut, InvalidCode, BadRequest
    """
    with transaction.atomic():
        # One try at a time per user: many at once would all see the count before any failed.
        if not User.objects.select_for_update().filter(pk=user.pk).exists():
            raise errors.TokenInvalid  # deleted this moment
        if challenge is not None:
            challenges.count_attempt(challenge)
            require_unenrolled(challenge)
        if proof.passkey is not None:
            right = _passkey_is_right(proof.passkey, challenge, check_passkey)
        else:
            lockout.require_open(user.username, ip)
            if proof.backup_code is not None:
                right = not setup and _use_backup_code(user, proof.backup_code)
            elif proof.code is not None:
                right = _use_app(user, proof.code, confirmed=not setup)
            else:
                raise errors.BadRequest("Send code or backup_code.", field="code")
            if not right:
                lockout.failed(user.username, ip)
        if not right:
            audit("mfa.failed", subject=user, ip=ip)
    # Outside, or the refusal would undo its being counted.
    if not right:
        raise errors.InvalidCode


def _passkey_is_right(
    answer: dict[str, Any],
    challenge: Challenge | None,
    check: Callable[[dict[str, Any], dict[str, Any]], None] | None,
) -> bool:
    state = challenge.data.get("passkey") if challenge is not None else None
    if challenge is None or state is None or check is None:
        raise errors.BadRequest("Ask for passkey options first.", field="passkey")
    challenges.keep(challenge, passkey=None)
    try:
        with transaction.atomic():
            check(state, answer)
    except errors.InvalidCode:
        return False
    return True
