"""How a client says who it is, in OpenAPI's words (API.md section 1)."""

from typing import Any, Final

from accounts.credentials import COOKIE_NAME
from mssproject.openapi.operation import Login

Requirement = dict[str, list[str]]

SCHEMES: Final[dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session JWT (from a login) or an API token (from "
        "`/mss-login/generate_token`). The preferred way.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "For clients that know nothing else: any user name, and an **API token** "
        "as the password. Never the account's password, never a session.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE_NAME,
        "description": "The browser's session. With an unsafe method only from the gateway's own "
        "pages, else 403 `CROSS_ORIGIN`.",
    },
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "Counts on ComfyUI's routes only, `/ws` included; also spelt "
        "`access_token`. Below `/mss-login` it does not count.",
    },
}
_WAYS: Final[dict[Login, tuple[str, ...]]] = {
    "any": ("bearer", "basic", "cookie"),
    "header": ("bearer", "basic"),
    "cookie": ("cookie",),
    "comfyui": ("bearer", "basic", "query", "cookie"),
    "none": (),
}


def requirement(login: Login, *, optional: bool = False) -> list[Requirement]:
    """The `security` of an operation: any one of these. Empty: nobody is asked who they are."""
    found: list[Requirement] = [{name: []} for name in _WAYS[login]]
    return [*found, {}] if optional and found else found
