"""errors and identity: the codes of the contract, and what a refusal says."""

import pytest

from accounts import errors
from accounts.capabilities import Capability
from accounts.errors import GatewayError
from accounts.identity import Auth, Identity

# API.md section 1, of the kinds that exist so far.
CONTRACT = {
    "AUTH_REQUIRED": 401,
    "TOKEN_INVALID": 401,
    "TOKEN_EXPIRED": 401,
    "TOKEN_REVOKED": 401,
    "INVALID_CREDENTIALS": 401,
    "PERMISSION_DENIED": 403,
    "CROSS_ORIGIN": 403,
    "MODEL_NOT_ALLOWED": 403,
    "FILE_NOT_ALLOWED": 403,
    "NODE_NOT_ALLOWED": 403,
    "NOT_FOUND": 404,
    "BAD_REQUEST": 400,
    "BAD_PATH": 400,
    "INVALID_JSON": 400,
    "THROTTLED": 429,
    "UPSTREAM_UNREACHABLE": 502,
    "UPSTREAM_TIMEOUT": 504,
}


def kinds(base: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [kind for sub in base.__subclasses__() for kind in (sub, *kinds(sub))]


def test_codes_have_the_status_of_the_contract() -> None:
    found = {kind.code: kind.status for kind in kinds()}
    assert {code: found.get(code) for code in CONTRACT} == CONTRACT


def test_every_401_says_how_to_log_in() -> None:
    unauthenticated = [kind for kind in kinds() if kind.status == 401 and kind.code in CONTRACT]
    assert len(unauthenticated) == 5
    assert {kind().headers["WWW-Authenticate"] for kind in unauthenticated} == {"Bearer"}


def test_a_refusal_carries_its_fields_and_a_sentence() -> None:
    error = errors.BadRequest("Give a name.", field="name")
    assert error.body() == {"error": "Give a name.", "code": "BAD_REQUEST", "field": "name"}
    conflict = errors.Conflict("Taken.", code="USERNAME_TAKEN")
    assert (conflict.status, conflict.body()["code"]) == (409, "USERNAME_TAKEN")
    for kind in kinds():
        assert kind().body()["error"].endswith(".")


def test_a_missing_capability_is_named() -> None:
    identity = Identity(
        user_id=1,
        username="uwe",
        namespace="u-0123456789",
        role="user",
        rank=40,
        capabilities=frozenset({Capability.RUN}),
        auth=Auth.SESSION,
    )
    identity.require(Capability.RUN)
    assert (identity.can(Capability.RUN), identity.can(Capability.UPLOAD)) == (True, False)
    with pytest.raises(errors.PermissionDenied) as refused:
        identity.require(Capability.UPLOAD)
    assert refused.value.body()["permission"] == "can_upload"
