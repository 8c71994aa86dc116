"""Passkeys (WebAuthn level 3), by django-otp-webauthn: add one, use one.

What the browser signs is bound to the host name and origin of the request, so a passkey made
under one name of this server does not work under another. Browsers want a host name
(`localhost` will do), and HTTPS everywhere but there.
"""

from ipaddress import ip_address
from typing import Any, cast

from django.db import DatabaseError, transaction
from django.http import HttpRequest
from django_otp_webauthn.exceptions import OTPWebAuthnApiError
from django_otp_webauthn.helpers import WebAuthnHelper
from django_otp_webauthn.models import WebAuthnCredential
from webauthn.helpers.exceptions import WebAuthnException

from accounts import errors
from accounts.models import User
from accounts.sentences import english

MAX_NAME_CHARS = 64  # django-otp's column
MAX_PASSKEYS = 20


def relying_party(request: HttpRequest) -> str:
    """OTP_WEBAUTHN_RP_ID_CALLABLE: this request's host name; the entry checked it.

    Raises:
        BadRequest NO_HOST_NAME: it is an address, for which browsers make no passkeys
    """
    host = request.get_host()
    name = host if host.endswith("]") else host.partition(":")[0]
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return name
    raise errors.BadRequest(
        english(
            "Passkeys need a host name. Open this server by its name (on this machine: localhost)."
        ),
        code="NO_HOST_NAME",
    )


class Helper(WebAuthnHelper):
    """The library's ceremonies, for this request's own origin only."""

    def get_allowed_origins(self) -> list[str]:
        return [f"{self.request.scheme}://{self.request.get_host()}"]


def begin_registration(request: HttpRequest, user: User) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options for `navigator.credentials.create`, and the state to keep until then."""
    if passkeys_of(user).count() >= MAX_PASSKEYS:
        raise errors.Conflict(
            english("You have as many passkeys as there may be."), code="TOO_MANY"
        )
    return cast("tuple[dict[str, Any], dict[str, Any]]", Helper(request).register_begin(user))


def finish_registration(
    request: HttpRequest, user: User, state: dict[str, Any], answer: Any, name: str
) -> WebAuthnCredential:
    """Store what the browser made.

    Raises:
        BadRequest PASSKEY_REFUSED
    """
    try:
        with transaction.atomic():
            passkey = Helper(request).register_complete(user, state, answer)
    except _REFUSALS:
        raise errors.BadRequest(
            english("The passkey could not be added. Try again."), code="PASSKEY_REFUSED"
        ) from None
    passkey.name = name[:MAX_NAME_CHARS]
    passkey.save(update_fields=["name"])
    return passkey


def begin_use(request: HttpRequest, user: User | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options for `navigator.credentials.get`, and the state to keep until then.

    Without a user any passkey of this server will do, and the authenticator must check who
    holds it (fingerprint, PIN): it stands for the password too.
    """
    helper = Helper(request)
    begun = helper.authenticate_begin(user=user, require_user_verification=user is None)
    return cast("tuple[dict[str, Any], dict[str, Any]]", begun)


def finish_use(request: HttpRequest, user: User | None, state: dict[str, Any], answer: Any) -> User:
    """Whose passkey answered. With `user`, it must be theirs.

    Raises:
        InvalidCode
    """
    try:
        with transaction.atomic():
            passkey = Helper(request).authenticate_complete(user, state, answer)
    except _REFUSALS:
        raise errors.InvalidCode(english("This passkey was not accepted.")) from None
    found = User.objects.select_related("role").get(pk=passkey.user_id)
    if not passkey.confirmed or not found.is_active:
        raise errors.InvalidCode(english("This passkey was not accepted."))
    return found


# What the libraries raise for an answer that is malformed, forged, of another origin, replayed
# or by an unknown key; they read it without checking its types. DatabaseError: a credential
# that is registered already, a counter that no column holds.
_REFUSALS = (
    OTPWebAuthnApiError,
    WebAuthnException,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    DatabaseError,
)


def passkeys_of(user: User) -> Any:
    """A user's passkeys, newest first."""
    return WebAuthnCredential.objects.filter(user=user).order_by("-created_at")
