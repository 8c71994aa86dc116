"""The one gate in front of every ComfyUI route: path → token → origin → policy."""

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

Scope = Mapping[str, Any]

# Where the entries leave what the gate found, for the view and the consumer.
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
    if match.rule in DEFAULTS:
        return TABLE.match(method, path, await routerules.current())
    return match


async def _identity(scope: Scope, method: str, websocket: bool) -> Identity:
    headers = scope["headers"]
    credential = find_credential(headers, scope["query_string"], query_allowed=True)
    identity = await identify(credential)
    if credential is not None and credential.place is Place.COOKIE:
        check_same_origin(headers, scheme=scope["scheme"], method=method, websocket=websocket)
    return identity
