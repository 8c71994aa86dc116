"""Passkeys: one's own, and logins with them."""

from typing import Any, Final

from accounts.api.passkeys import (
    BeginPasskeySerializer,
    NewPasskeySerializer,
    RemovePasskeySerializer,
)
from accounts.api.serializers import ProofSerializer
from mssproject.openapi.operation import JSON, Answer, Operation, Operations, ok
from mssproject.openapi.operations.login import METHODS
from mssproject.openapi.shapes import (
    FREE,
    INTEGER,
    TEXT,
    TIME,
    Shape,
    array,
    nullable,
    obj,
    ref,
    said,
)

TAG: Final = "Passkeys"

_OPTIONS: Final[Shape] = obj(
    mfa_temp_token=TEXT,
    options=said("For the browser's `navigator.credentials` (WebAuthn, as JSON).", FREE),
)
_PASSKEY: Final[Shape] = obj(id=INTEGER, name=TEXT, created_at=TIME, last_used_at=nullable(TIME))
_LOGIN_401: Final = ("TOKEN_INVALID", "TOKEN_EXPIRED")
_ANY_401: Final = ("AUTH_REQUIRED", "TOKEN_REVOKED", "INVALID_CREDENTIALS", *_LOGIN_401)
_CODES: Final = ("INVALID_CODE", "NO_PASSKEY", "NO_HOST_NAME", "PROOF_REQUIRED", "PASSKEY_REFUSED")
_REFUSED: Final[dict[int, Any]] = {
    400: _CODES,
    401: _ANY_401,
    429: ("LOCKED_OUT",),
}

OPERATIONS: Final[Operations] = {
    "POST /mss-login/api/mfa/passkey-options": Operation(
        "Ask for a passkey as the second factor",
        ok(_OPTIONS),
        "For a login that waits (its `mfa_temp_token`), or to prove oneself again (a session).",
        ProofSerializer,
        needs_body=False,
        refused=_REFUSED,
    ),
    "POST /mss-login/api/passkeys/login-options": Operation(
        "Begin a login with a passkey alone",
        ok(_OPTIONS),
        body=obj({"next": TEXT}),
        needs_body=False,
        refused={400: ("NO_HOST_NAME",)},
    ),
    "POST /mss-login/api/passkeys/login": Operation(
        "Finish a login with a passkey alone",
        ok(ref("LoggedIn")),
        body=ProofSerializer,
        refused={**_REFUSED, 401: _LOGIN_401},
    ),
    "GET /mss-login/api/passkeys": Operation(
        "One's own passkeys", ok(obj(passkeys=array(_PASSKEY))), "Needs a session."
    ),
    "POST /mss-login/api/passkeys": Operation(
        "Add a passkey",
        {
            201: Answer(
                "Added; backup codes where it is the first second factor.",
                {JSON: obj(passkey=_PASSKEY, backup_codes=nullable(array(TEXT)))},
            )
        },
        body=NewPasskeySerializer,
        refused=_REFUSED,
    ),
    "DELETE /mss-login/api/passkeys": Operation(
        "Remove a passkey",
        ok(ref("Message")),
        body=RemovePasskeySerializer,
        refused={**_REFUSED, 404: ("NOT_FOUND",)},
        refusal_fields=METHODS,
    ),
    "POST /mss-login/api/passkeys/options": Operation(
        "Begin adding a passkey",
        ok(_OPTIONS),
        "With the second factor, or where there is none with the password.",
        BeginPasskeySerializer,
        needs_body=False,
        refused={**_REFUSED, 409: ("TOO_MANY",)},
        refusal_fields=METHODS,
    ),
}
