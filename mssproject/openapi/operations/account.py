"""Who one is, one's sessions, one's place in the queue."""

from typing import Final

from accounts.api.sessions import RevokeSerializer
from accounts.capabilities import Capability
from mssproject.openapi.operation import FORM, JSON, Answer, Operation, Operations, ok
from mssproject.openapi.shapes import (
    BOOLEAN,
    FREE,
    INTEGER,
    TEXT,
    TIME,
    Shape,
    array,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "Account"

SCHEMAS: Final[dict[str, Shape]] = {
    "Permissions": obj(**{str(capability): BOOLEAN for capability in Capability}),
    "Me": obj(
        username=TEXT,
        role=TEXT,
        groups=said("Teams.", array(TEXT)),
        is_admin=BOOLEAN,
        mfa_enabled=BOOLEAN,
        sfw_enforced=said("Whether explicit pictures are kept from this account.", BOOLEAN),
        permissions=ref("Permissions"),
        auth=one_of("session", "api_token"),
        scopes=said("Of a limited API token; else null.", nullable(array(TEXT))),
        quotas=obj(max_waiting_prompts=nullable(INTEGER), max_prompt_bytes=nullable(INTEGER)),
        nsfw=obj(classifier=TEXT, unknown=one_of("block", "show")),
    ),
    "Session": obj(
        jti=TEXT,
        created_at_iso=TIME,
        exp_at_iso=TIME,
        last_used_at_iso=nullable(TIME),
        ip=nullable(TEXT),
        user_agent=TEXT,
        is_current=BOOLEAN,
    ),
}

OPERATIONS: Final[Operations] = {
    "GET /mss-login/api/me": Operation("Who one is, and what one may do", ok(ref("Me"))),
    "GET /mss-login/api/is-https": Operation(
        "Whether this request came over HTTPS", ok(obj(is_https=BOOLEAN))
    ),
    "GET /mss-login/me/sessions": Operation(
        "One's open sessions", ok(obj(sessions=array(ref("Session"))), "Newest first.")
    ),
    "POST /mss-login/me/sessions/revoke": Operation(
        "End sessions",
        ok(obj(message=TEXT, revoked=INTEGER)),
        "One by its `jti`, or `{all_others: true}`; never both.",
        RevokeSerializer,
        (JSON, FORM),
        refused={404: ("NOT_FOUND",)},
    ),
    "GET /mss-login/api/queue": Operation(
        "One's place in the queue",
        ok(
            obj(
                running=INTEGER,
                pending=INTEGER,
                position=said("Of one's next prompt; 1 is next.", nullable(INTEGER)),
                ahead=said("Prompts of anybody that come before it.", INTEGER),
            )
        ),
        refused={502: ("UPSTREAM_UNREACHABLE",), 504: ("UPSTREAM_TIMEOUT",)},
    ),
    "GET /mss-login/api/schema": Operation(
        "This document",
        {
            200: Answer(
                "JSON, or YAML where `Accept` prefers it.",
                {JSON: FREE, "application/yaml": TEXT},
            ),
            304: Answer("The client has it (`If-None-Match`)."),
        },
        "The same for everybody, until the server starts again.",
    ),
    "GET /mss-login/api/docs": Operation(
        "This document as a page", {200: Answer("A page.", {"text/html": TEXT})}
    ),
}
