"""Logins: with a password, a link, a second factor; and the tokens that apps use."""

from typing import Final

from accounts.api.mfa import DisableSerializer
from accounts.api.serializers import (
    ProofSerializer,
    RegisterSerializer,
    TokenPrefixSerializer,
    TokenRequestSerializer,
)
from accounts.link_pages import ForgotSerializer, JoinSerializer, ResetSerializer
from mssproject.openapi.operation import (
    FORM,
    HTML,
    JSON,
    Answer,
    Operation,
    Operations,
    Query,
    moved,
    ok,
    page,
)
from mssproject.openapi.refusals import SHARED
from mssproject.openapi.shapes import (
    BOOLEAN,
    NUMBER,
    TEXT,
    TIME,
    Shape,
    always,
    array,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "Login and tokens"
BOTH: Final = (JSON, FORM)

SCHEMAS: Final[dict[str, Shape]] = {
    "Message": obj(message=said("A sentence for a person.", TEXT)),
    "LoggedIn": said(
        "The session's JWT; browsers get it as a cookie, too.",
        obj(message=TEXT, jwt_token=TEXT, redirect_url=TEXT),
    ),
    "SecondFactorNeeded": said(
        "The password was right; go on at `/mss-login/api/mfa/verify` with this token.",
        obj(
            message=TEXT,
            mfa_required=always(True),
            mfa_temp_token=TEXT,
            methods=array(one_of("totp", "passkey", "backup_code")),
        ),
    ),
    "SetupNeeded": said(
        "The account must have a second factor first: `/mss-login/api/mfa/setup` and "
        "`…/verify-setup` with this token.",
        obj(message=TEXT, mfa_setup_required=always(True), mfa_temp_token=TEXT),
    ),
    "FirstFactor": {
        "oneOf": [ref("LoggedIn"), ref("SecondFactorNeeded"), ref("SetupNeeded")],
    },
    "ApiToken": obj(
        token_hash_prefix=said("Names the token; it says nothing of it.", TEXT),
        label=TEXT,
        scopes=said("null: all that its owner may.", nullable(array(TEXT))),
        networks=said("Where it may be used from; empty: anywhere.", array(TEXT)),
        in_path=said("Whether it may stand in `/t/<token>/…`.", BOOLEAN),
        created_at=TIME,
        last_used_at=nullable(TIME),
        last_used_ip=nullable(TEXT),
        expires_at=said("null: never.", nullable(TIME)),
    ),
    "NewApiToken": {
        "allOf": [
            ref("ApiToken"),
            obj(
                message=TEXT,
                token=said("Shown this once.", TEXT),
                jwt_token=said("The same, under the name that older clients read.", TEXT),
                expires_in_hours=nullable(NUMBER),
            ),
        ]
    },
}

_TOKEN: Final = Operation(
    "Make an API token",
    ok(
        {"oneOf": [ref("NewApiToken"), ref("SecondFactorNeeded"), ref("SetupNeeded")]},
        "The token, or what is needed before.",
    ),
    "With `username` and `password`, or with a session. Needs `can_have_api_tokens`. With a second "
    "factor the first answer is `mfa_required`: send the same again with `mfa_temp_token` and "
    "`code` or `backup_code`. `expire_hours`: 720 if not said, 0 is never (needs "
    "`can_have_non_expiring_jwt`), anything else is clamped to what the server allows. `scopes`: "
    "some of one's own capabilities. An API token cannot make another (403).",
    TokenRequestSerializer,
    BOTH,
    needs_body=False,
    refused={
        400: ("INVALID_SCOPE", "INVALID_CODE"),
        401: ("INVALID_CREDENTIALS", *SHARED[401]),
        429: ("LOCKED_OUT", "QUOTA_EXCEEDED"),
    },
)
_TO_TOKENS: Final = Operation("Where tokens are made", moved("To the account page."))
_WRONG: Final = {401: ("INVALID_CREDENTIALS",), 429: ("LOCKED_OUT",)}
_BAD_LINK: Final = {401: ("TOKEN_INVALID",)}
_PROOF: Final = {
    400: ("INVALID_CODE", "NO_SETUP"),
    401: (
        "AUTH_REQUIRED",
        "TOKEN_INVALID",
        "TOKEN_EXPIRED",
        "TOKEN_REVOKED",
        "INVALID_CREDENTIALS",
    ),
    429: ("LOCKED_OUT",),
}
_AGAIN: Final = {
    **_PROOF,
    400: ("INVALID_CODE", "PROOF_REQUIRED", "MFA_OFF"),
}
METHODS: Final = {"methods": said("Of `PROOF_REQUIRED`: what may be sent.", array(TEXT))}
_FIRST: Final = {
    200: Answer("What is next.", {JSON: ref("FirstFactor")}),
    302: Answer("To a browser that sent a form: where it goes next."),
}


def _token_link(name: str) -> dict[str, Query]:
    return {name: Query("What the link holds.")}


OPERATIONS: Final[Operations] = {
    "GET /login": Operation(
        "The login page",
        page("A form."),
        query={"next": Query("A path of the gateway's, where to go afterwards.")},
    ),
    "POST /login": Operation(
        "Log in",
        _FIRST,
        "A wrong name and a wrong password get the same answer in the same time. "
        "`{guest_login: true}` logs a guest in where the administrator allows that (else 403).",
        obj(
            {
                "username": {**TEXT, "maxLength": 150},
                "password": {**TEXT, "maxLength": 1024},
                "next": TEXT,
                "guest_login": BOOLEAN,
            }
        ),
        BOTH,
        refused=_WRONG,
    ),
    **{
        f"{method} /logout": Operation(
            "Log out",
            {
                200: Answer("Also where there was no session.", {JSON: ref("Message")}),
                302: Answer("To a browser: the login page."),
            },
            "Ends the session behind the token, and takes the browser's cookie.",
            login="any",
        )
        for method in ("GET", "POST")
    },
    "GET /register": Operation(
        "Where the owner registers",
        page("A form."),
        "404 as soon as there is an owner.",
        query={"setup_token": Query("What the server printed when it started.")},
        refused={404: ("NOT_FOUND",)},
    ),
    "POST /register": Operation(
        "Make the owner",
        _FIRST,
        "The fields may also be called `new_user_username` and `new_user_password`. 404 as soon as "
        "there is an owner.",
        RegisterSerializer,
        BOTH,
        refused={404: ("NOT_FOUND",), **_BAD_LINK, 409: ("OWNER_EXISTS",)},
    ),
    "GET /join": Operation(
        "Where somebody invited joins",
        page("A form."),
        query=_token_link("invite_token"),
        refused=_BAD_LINK,
    ),
    "POST /join": Operation(
        "Accept an invitation",
        _FIRST,
        "Makes the account, and logs it in.",
        JoinSerializer,
        BOTH,
        refused={**_BAD_LINK, 409: ("USERNAME_TAKEN",)},
    ),
    "GET /reset": Operation(
        "Where a new password is set",
        page("A form."),
        query=_token_link("reset_token"),
        refused=_BAD_LINK,
    ),
    "POST /reset": Operation(
        "Set a new password with a link",
        {
            200: Answer("Set; nobody is logged in.", {JSON: ref("Message")}),
            302: Answer("To a browser that sent a form: the login page."),
        },
        "API tokens go with the old password, unless `keep_tokens` is true.",
        ResetSerializer,
        BOTH,
        refused=_BAD_LINK,
    ),
    "GET /forgot": Operation(
        "Where a password link is asked for",
        page("A form."),
        "404 where the server sends no mail.",
        refused={404: ("NOT_FOUND",)},
    ),
    "POST /forgot": Operation(
        "Have a password link mailed",
        {200: Answer("The same whoever is named.", {JSON: ref("Message"), HTML: TEXT})},
        "`username` is a user name or an e-mail address. 404 where the server sends no mail.",
        ForgotSerializer,
        BOTH,
        refused={404: ("NOT_FOUND",)},
    ),
    "GET /generate_token": _TO_TOKENS,
    "POST /generate_token": _TOKEN,
    "GET /mss-login/generate_token": _TO_TOKENS,
    "POST /mss-login/generate_token": _TOKEN,
    "GET /mss-login/api/tokens": Operation(
        "One's own API tokens",
        ok(obj(tokens=array(ref("ApiToken"))), "Those that still hold."),
        "A token with scopes may not.",
    ),
    "DELETE /mss-login/api/tokens": Operation(
        "Revoke an API token",
        ok(ref("Message")),
        "The prefix may stand in the address, for clients that send no body with a DELETE.",
        TokenPrefixSerializer,
        needs_body=False,
        query={"token_hash_prefix": Query("At least 8 characters.")},
        refused={404: ("NOT_FOUND",)},
    ),
    "POST /mss-login/api/mfa/setup": Operation(
        "Begin setting up a second factor",
        ok(
            obj(
                provisioning_uri=TEXT,
                qr_svg=TEXT,
                secret=TEXT,
                backup_codes=array(TEXT),
                backup_code=said("The first of them.", TEXT),
            ),
            "For an authenticator app; in force once its first code is sent.",
        ),
        "With a session (and a proof, if there is a factor already), or with the `mfa_temp_token` "
        "of a login that must set one up.",
        ProofSerializer,
        BOTH,
        needs_body=False,
        refused={**_AGAIN, 409: ("MFA_ENABLED",)},
        refusal_fields=METHODS,
    ),
    "POST /mss-login/api/mfa/verify-setup": Operation(
        "Put it in force",
        ok(
            {"oneOf": [obj(message=TEXT, mfa_enabled=always(True)), ref("LoggedIn")]},
            "With a temp token: logged in.",
        ),
        body=ProofSerializer,
        kinds=BOTH,
        refused=_PROOF,
    ),
    "POST /mss-login/api/mfa/verify": Operation(
        "Finish a login with the second factor",
        ok(ref("LoggedIn")),
        "A wrong code may be tried again up to 5 times, then the temp token is void (401). Each "
        "code works once.",
        ProofSerializer,
        BOTH,
        refused={400: _PROOF[400], 401: ("TOKEN_INVALID", "TOKEN_EXPIRED"), 429: ("LOCKED_OUT",)},
    ),
    "POST /mss-login/api/mfa/disable": Operation(
        "Turn the second factor off",
        ok(obj(message=TEXT, mfa_enabled=always(False))),
        "Refused where the role requires one.",
        DisableSerializer,
        BOTH,
        refused=_AGAIN,
        refusal_fields=METHODS,
    ),
    "POST /mss-login/api/mfa/backup-codes": Operation(
        "Get fresh backup codes",
        ok(obj(backup_codes=array(TEXT), backup_code=TEXT), "The old ones are void."),
        body=ProofSerializer,
        kinds=BOTH,
        needs_body=False,
        refused=_AGAIN,
        refusal_fields=METHODS,
    ),
}
