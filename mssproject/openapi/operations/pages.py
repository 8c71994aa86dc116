"""Pages for people, and what their scripts and ComfyUI's page ask for."""

from typing import Final

from accounts.account_pages import LanguageSerializer
from accounts.api.account import PasswordSerializer
from accounts.api.serializers import ProofSerializer
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
from mssproject.openapi.operations.login import METHODS
from mssproject.openapi.shapes import (
    ANY,
    BOOLEAN,
    FREE,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    Shape,
    array,
    mapping,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "Pages and their scripts"

_TO_LOGIN: Final = moved("Nobody is logged in: to the login.")
_COMFYUI: Final = {502: ("UPSTREAM_UNREACHABLE",), 504: ("UPSTREAM_TIMEOUT",)}
_PROOF_401: Final = ("INVALID_CREDENTIALS", "TOKEN_INVALID", "TOKEN_EXPIRED")
_PART: Final = said("`ok`, or what is wrong.", TEXT)
_READY: Final[Shape] = obj(
    status=one_of("ok", "degraded", "unavailable"),
    database=_PART,
    comfyui=_PART,
    comfyui_worker=_PART,
    broker=_PART,
    worker=_PART,
    downloader=_PART,
)

OPERATIONS: Final[Operations] = {
    "GET /mfa": Operation(
        "Where the second factor is asked for",
        {**page("A form."), **moved("No login waits: to the login.")},
    ),
    "POST /mfa": Operation(
        "A form of that page",
        {**page("The form again, or what comes next."), **moved("On, or back to the login.")},
        body=obj({"begin": TEXT, "code": TEXT}),
        kinds=(FORM,),
        refused={
            400: ("INVALID_CODE", "NO_SETUP"),
            401: ("TOKEN_INVALID", "TOKEN_EXPIRED"),
            429: ("LOCKED_OUT",),
        },
    ),
    "POST /mfa/passkey": Operation(
        "That page's passkeys",
        ok({"oneOf": [obj(options=FREE), ref("LoggedIn")]}, "Without an answer: options."),
        "For the login that this browser's cookie `mss_mfa` stands for.",
        ProofSerializer,
        needs_body=False,
        refused={
            400: ("INVALID_CODE", "NO_PASSKEY", "NO_HOST_NAME"),
            401: ("TOKEN_INVALID", "TOKEN_EXPIRED"),
            429: ("LOCKED_OUT",),
        },
    ),
    "GET /account": Operation(
        "The account page", {**page("The page."), **_TO_LOGIN}, login="cookie"
    ),
    "POST /account/password": Operation(
        "Set a new password",
        ok(ref("LoggedIn"), "All sessions ended; this is a new one."),
        "Needs a session. API tokens go with the old password, unless `keep_tokens` is true.",
        PasswordSerializer,
        refused={
            400: ("INVALID_CODE", "PROOF_REQUIRED"),
            401: ("AUTH_REQUIRED", "TOKEN_REVOKED", *_PROOF_401),
            429: ("LOCKED_OUT",),
        },
        refusal_fields=METHODS,
    ),
    "POST /account/language": Operation(
        "Choose the language",
        {
            200: Answer("Chosen.", {JSON: obj(language=TEXT)}),
            302: Answer("To a browser that sent a form: the account page."),
        },
        "Needs a session. Empty: as the browser says.",
        LanguageSerializer,
        (JSON, FORM),
    ),
    "GET /account/here": Operation(
        "Whether this browser is logged in", ok(obj(logged_in=BOOLEAN)), "Never a refusal."
    ),
    "GET /account/frontend": Operation(
        "What the extension of ComfyUI's page has to know",
        ok(
            obj(
                username=TEXT,
                role_title=TEXT,
                is_staff=BOOLEAN,
                shared=BOOLEAN,
                permissions=ref("Permissions"),
                locked_settings=array(TEXT),
            )
        ),
        "Needs `can_access_api`.",
    ),
    "GET /account/prompts": Operation(
        "One's own prompts",
        ok(
            obj(
                prompts=array(
                    obj(
                        prompt_id=TEXT,
                        state=TEXT,
                        ahead=nullable(INTEGER),
                        created_at=TIME,
                        execution_seconds=nullable(NUMBER),
                        pictures=said("Addresses.", array(TEXT)),
                    )
                )
            ),
            "Those that wait or run first, then the latest that ended.",
        ),
        "Needs `can_access_api`.",
        refused=_COMFYUI,
    ),
    "GET /account/files": Operation(
        "Former versions of one's files",
        {
            200: Answer(
                "A page; to scripts the list; with `version` that version.",
                {
                    HTML: TEXT,
                    JSON: obj(
                        versions=array(
                            obj(
                                version=TEXT,
                                path=TEXT,
                                why=TEXT,
                                size=INTEGER,
                                saved_at=TIME,
                                kept_at=TIME,
                            )
                        )
                    ),
                    "*/*": ANY,
                },
            ),
            **_TO_LOGIN,
        },
        query={"version": Query("One version's id."), "q": Query("Words in the names.")},
        login="cookie",
        refused={403: ("NSFW_BLOCKED",), 404: ("NOT_FOUND",), **_COMFYUI},
        refusal_fields={"reason": TEXT},
    ),
    "POST /account/files": Operation(
        "Restore a former version",
        {200: Answer("As it was.", {JSON: obj(file=ref("File")), HTML: TEXT})},
        body=obj(version=TEXT),
        kinds=(JSON, FORM),
        login="cookie",
        refused={
            404: ("NOT_FOUND",),
            409: ("FILE_EXISTS", "NAME_TAKEN", "CONFLICT"),
            429: ("QUOTA_EXCEEDED",),
            503: ("BUSY",),
            507: ("STORAGE_FULL",),
        },
    ),
}

PLAIN: Final[Operations] = {
    "GET /readyz": Operation(
        "Whether people can work",
        {
            200: Answer("They can.", {JSON: _READY}),
            503: Answer("They cannot.", {JSON: _READY}),
        },
        "For monitors. 200 with `degraded` where something is missing that people can do without "
        "for a while.",
    ),
    "GET /healthz": Operation(
        "Whether this web process lives",
        {200: Answer("It does.", {JSON: obj(status=one_of("ok"))})},
        "For load balancers and whoever starts it again. It asks nobody else.",
    ),
    "GET /metrics": Operation(
        "Numbers for Prometheus",
        {200: Answer("In its text format.", {"text/plain": TEXT})},
        "With `MSS_METRICS_TOKEN` as bearer token; without one, only for the gateway's own "
        "machine.",
        refused={401: ("AUTH_REQUIRED", "TOKEN_INVALID"), 403: ("PERMISSION_DENIED",)},
    ),
    "GET /mss-login/texts.js": Operation(
        "The texts of the pages' scripts",
        {
            200: Answer("As a script.", {"text/javascript": TEXT}),
            304: Answer("The browser has them."),
        },
    ),
    "GET /mss-login/texts.json": Operation(
        "The same, for ComfyUI's page",
        {
            200: Answer(
                "As JSON.", {JSON: obj(catalog=mapping(ANY), formats=mapping(ANY), plural=ANY)}
            ),
            304: Answer("The browser has them."),
        },
    ),
}
