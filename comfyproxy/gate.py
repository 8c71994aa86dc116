"""The one gate in front of every ComfyUI route: path → token → origin → policy."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from accounts import errors
from accounts.authentication import identify
from accounts.credentials import Place, check_same_origin, find_credential
from accounts.identity import Identity
from comfyproxy import routerules
from comfyproxy.paths import CanonicalPath, canonical
from comfyproxy.policy import Match
from comfyproxy.routes import DEFAULTS, TABLE

logger = logging.getLogger(__name__)

Scope = Mapping[str, Any]

# Where the entries leave what the gate found, for the view and the consumer.
MAX_LOGGED_CHARS: Final = 200
SCOPE_KEY: Final = "comfyproxy.admitted"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may go on: its line of the table, its path, who sent it."""

    match: Match
    path: CanonicalPath
    identity: Identity | None


async def admit(scope: Scope) -> Admitted:
    """Judge an ASGI `http` or `websocket` scope.

    Who sends no valid token learns nothing but that: 401 comes before 404 and 405.

    Raises:
        GatewayError: any refusal of API.md section 1
    """
    websocket = scope["type"] == "websocket"
    method = "GET" if websocket else scope["method"]
    path = canonical(scope["raw_path"])
    refusal: errors.GatewayError | None = None
    match: Match | None = None
    try:
        match = await _match(method, path)
    except errors.GatewayError as error:
        refusal = error
    if match is not None and match.rule.capability is None:
        return Admitted(match, path, None)
    identity = await _identity(scope, method, websocket)
    if match is None:
        raise refusal or errors.NotFound()
    assert match.rule.capability is not None
    identity.require(match.rule.capability)
    return Admitted(match, path, identity)


async def _match(method: str, path: CanonicalPath) -> Match:
    match = TABLE.match(method, path)
    if match.rule not in DEFAULTS:
        return match
    made_in_admin = await routerules.current()
    return TABLE.match(method, path, made_in_admin) if made_in_admin.rules else match


async def _identity(scope: Scope, method: str, websocket: bool) -> Identity:
    headers = scope["headers"]
    credential = find_credential(headers, scope["query_string"], query_allowed=True)
    identity = await identify(credential, address_of(scope))
    if credential is not None and credential.place is Place.COOKIE:
        check_same_origin(headers, scheme=scope["scheme"], method=method, websocket=websocket)
    return identity


def address_of(scope: Scope) -> str | None:
    """The client's address, as the front found it."""
    client = scope.get("client")
    return client[0] if client else None


def log_refusal(scope: Scope, error: errors.GatewayError) -> None:
    """One line per refusal, without the query. Missing and expired logins are everyday
    (an open tab asks every 0.3 s), so they are for debugging only."""
    level = logging.DEBUG if isinstance(error, errors.Unauthenticated) else logging.INFO
    method = scope.get("method", "WS")
    logger.log(level, "%s %s: %s %s", method, shown_path(scope), error.status, error.wire_code)


def shown_path(scope: Scope) -> str:
    """The path for a log line: still encoded, as a decoded one could hold line breaks; and
    not longer than anyone would read."""
    return str(scope["raw_path"][:MAX_LOGGED_CHARS].decode("latin-1"))
