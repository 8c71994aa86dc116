"""Users, roles, addresses, people's files: for administrators."""

from typing import Final

from accounts.api.administration import (
    ChangeUserSerializer,
    NewUserSerializer,
)
from accounts.capabilities import Capability
from mssproject.openapi.operation import FORM, JSON, Answer, Operation, Operations, Query, ok
from mssproject.openapi.shapes import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    Shape,
    always,
    array,
    mapping,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "Administration"

_SETTINGS: Final[dict[str, Shape]] = {
    **{str(capability): BOOLEAN for capability in Capability},
    "mfa_required": BOOLEAN,
    "sfw_enforced": BOOLEAN,
    "blocked_node_classes": array({**TEXT, "maxLength": 200}, maxItems=2000),
    "max_waiting_prompts": nullable({**INTEGER, "minimum": 0, "maximum": 1_000_000}),
    "max_prompt_bytes": nullable({**INTEGER, "minimum": 1, "maximum": 10 * 1024 * 1024}),
}
_NETWORK: Final[Shape] = said("An address or a network.", TEXT)
SCHEMAS: Final[dict[str, Shape]] = {
    "User": obj(
        username=TEXT,
        role=TEXT,
        is_active=BOOLEAN,
        sfw_enforced=said("null: as the role.", nullable(BOOLEAN)),
        mfa_required=said("null: as the role.", nullable(BOOLEAN)),
        mfa_enabled=BOOLEAN,
        date_joined=TIME,
        last_login=nullable(TIME),
    ),
    "Role": obj(**_SETTINGS),
    "RoleChange": {**obj(_SETTINGS), "additionalProperties": False},
    "Roles": obj(groups=mapping(ref("Role"))),
    "IpEntry": {
        "anyOf": [_NETWORK, obj({"expires_at": nullable(TIME), "note": TEXT}, network=_NETWORK)]
    },
    "IpLists": obj(
        whitelist=said("Not empty: only these may come in.", array(ref("IpEntry"))),
        blacklist=array(ref("IpEntry")),
    ),
    "File": obj(
        path=TEXT,
        size=said("Bytes.", INTEGER),
        modified=said("Seconds since 1970.", NUMBER),
        created=NUMBER,
    ),
}
_NO_USER: Final = {404: ("NOT_FOUND",)}
_FILES: Final = Query("What becomes of their files.", one_of("keep", "delete"))


def _of_user(**more: Shape) -> Shape:
    return obj(status=always("ok"), user=TEXT, **more)


def _asks(action: str, **more: Shape) -> Shape:
    return obj(action=always(action), user=TEXT, **more)


_USER_ENV: Final[Shape] = {
    "oneOf": [
        _asks("status"),
        _asks("list"),
        _asks("list_workflows"),
        _asks("delete_file", file=TEXT),
        _asks("delete_workflow", workflow=TEXT),
        {
            "allOf": [
                _asks("promote_workflow", workflow=TEXT),
                obj({"delete_source": BOOLEAN}),
            ]
        },
        _asks("purge"),
    ]
}
_USER_ENV_ANSWER: Final[Shape] = {
    "anyOf": [
        _of_user(
            files=INTEGER,
            bytes=INTEGER,
            workflows=INTEGER,
            versions=INTEGER,
            version_bytes=INTEGER,
            limits=obj(files=INTEGER, bytes=INTEGER, file_bytes=INTEGER),
        ),
        _of_user(files=array(ref("File"))),
        _of_user(workflows=array(ref("File"))),
        _of_user(deleted=INTEGER),
        _of_user(workflow=TEXT),
    ]
}

OPERATIONS: Final[Operations] = {
    "GET /mss-login/api/users": Operation("All accounts", ok(obj(users=array(ref("User"))))),
    "POST /mss-login/api/users": Operation(
        "Create an account",
        {201: Answer("Created.", {JSON: ref("User")})},
        "Never a second owner.",
        NewUserSerializer,
        (JSON, FORM),
        refused={409: ("USERNAME_TAKEN", "OWNER_EXISTS")},
    ),
    "PUT /mss-login/api/users/{username}": Operation(
        "Change an account",
        ok(ref("User")),
        "`sfw_enforced` and `mfa_required`: null is as the role. A new password, and disabling, "
        "end sessions and remove API tokens, unless `keep_tokens` is true.",
        ChangeUserSerializer,
        refused={**_NO_USER, 409: ("CONFLICT", "OWNER_EXISTS")},
    ),
    "DELETE /mss-login/api/users/{username}": Operation(
        "Delete an account",
        ok(ref("Message")),
        "`files`: `keep` (so if not said) or `delete`; in the address or in the body.",
        obj({"files": one_of("keep", "delete")}),
        needs_body=False,
        query={"files": _FILES},
        refused={**_NO_USER, 409: ("CONFLICT",)},
    ),
    "GET /mss-login/api/groups": Operation("Roles and what they may do", ok(ref("Roles"))),
    "PUT /mss-login/api/groups": Operation(
        "Change roles",
        ok(ref("Roles"), "All of them, as they are now."),
        "What is not named stays. The wrapper `groups` may be left out.",
        {"anyOf": [obj(groups=mapping(ref("RoleChange"))), mapping(ref("RoleChange"))]},
    ),
    "GET /mss-login/api/ip-lists": Operation("Who may come in from where", ok(ref("IpLists"))),
    "PUT /mss-login/api/ip-lists": Operation(
        "Change who may come in from where",
        ok(ref("IpLists")),
        "A list that is not named stays. What would shut the caller out is refused unless "
        "`confirm` is true.",
        obj(
            {
                "whitelist": array(ref("IpEntry"), maxItems=10_000),
                "blacklist": array(ref("IpEntry"), maxItems=10_000),
                "confirm": BOOLEAN,
            }
        ),
        refused={409: ("WOULD_LOCK_OUT",)},
    ),
    "POST /mss-login/api/user-env": Operation(
        "Look after somebody's files",
        ok(_USER_ENV_ANSWER, "What that action tells."),
        "`promote_workflow` gives a copy to everybody; `purge` deletes all of the user's files.",
        _USER_ENV,
        refused={
            404: ("NOT_FOUND",),
            409: ("FILE_EXISTS", "NAME_TAKEN", "CONFLICT"),
            503: ("BUSY",),
            507: ("STORAGE_FULL",),
        },
    ),
}
