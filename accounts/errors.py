"""Every refusal the gateway can answer with: code, status, sentence, extra fields.

    GatewayError
    ├─ 400 BadRequest BAD_REQUEST ── BadPath · InvalidJson · InvalidCode
    ├─ 401 AuthRequired AUTH_REQUIRED · TokenInvalid · TokenExpired · TokenRevoked
    │      InvalidCredentials INVALID_CREDENTIALS
    ├─ 403 PermissionDenied · CrossOrigin · IpBlocked
    │      ModelNotAllowed · FileNotAllowed · NodeNotAllowed · NsfwBlocked
    ├─ 404 NotFound          405 MethodNotAllowed      409 Conflict (code varies)
    ├─ 413 TooLarge          429 Throttled, LockedOut, QuotaExceeded
    └─ 502 UpstreamUnreachable   504 UpstreamTimeout   500 InternalError   503 DatabaseAway
       503 Busy   507 StorageFull

The wire form is `{"error": sentence, "code": code, …fields}` (API.md section 1).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from accounts.sentences import english


class GatewayError(Exception):
    """A refusal with a stable code. Subclasses fix code, status and a default sentence."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500
    sentence: ClassVar[str] = english("Something went wrong on the server. Try again later.")

    def __init__(
        self,
        sentence: str | None = None,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        self.message = sentence or self.sentence
        self.wire_code = code or self.code
        self.headers: dict[str, str] = dict(headers or {})
        self.fields = fields
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """The JSON object sent to the client."""
        return {"error": self.message, "code": self.wire_code, **self.fields}


class InternalError(GatewayError):
    """An exception nobody expected; the client learns nothing about it."""


class BadRequest(GatewayError):
    code = "BAD_REQUEST"
    status = 400
    sentence = english("The request is not understood.")


class BadPath(BadRequest):
    code = "BAD_PATH"
    sentence = english("The address is not valid.")


class InvalidJson(BadRequest):
    code = "INVALID_JSON"
    sentence = english("The body is not valid JSON.")


class InvalidCode(BadRequest):
    code = "INVALID_CODE"
    sentence = english("The code is wrong, or was used already. Try the next one.")


class Unauthenticated(GatewayError):
    """401: the client must log in (again)."""

    status = 401

    def __init__(self, sentence: str | None = None, **fields: Any) -> None:
        super().__init__(sentence, headers={"WWW-Authenticate": "Bearer"}, **fields)


class AuthRequired(Unauthenticated):
    code = "AUTH_REQUIRED"
    sentence = english("Log in, or send a token.")


class TokenInvalid(Unauthenticated):
    code = "TOKEN_INVALID"
    sentence = english("The token is not valid. Log in again.")


class TokenExpired(Unauthenticated):
    code = "TOKEN_EXPIRED"
    sentence = english("The token has expired. Log in again.")


class TokenRevoked(Unauthenticated):
    code = "TOKEN_REVOKED"
    sentence = english("The token was revoked. Log in again.")


class InvalidCredentials(Unauthenticated):
    code = "INVALID_CREDENTIALS"
    sentence = english("User name or password is wrong.")


class PermissionDenied(GatewayError):
    code = "PERMISSION_DENIED"
    status = 403
    sentence = english("Your role does not allow this.")


class CrossOrigin(GatewayError):
    code = "CROSS_ORIGIN"
    status = 403
    sentence = english("This request came from another site's page and was refused.")


class IpBlocked(GatewayError):
    code = "IP_BLOCKED"
    status = 403
    sentence = english("This address may not use the server.")


class ModelNotAllowed(GatewayError):
    code = "MODEL_NOT_ALLOWED"
    status = 403
    sentence = english("The prompt uses a model that you were not given.")


class FileNotAllowed(GatewayError):
    code = "FILE_NOT_ALLOWED"
    status = 403
    sentence = english("The prompt names a file that is not yours.")


class NodeNotAllowed(GatewayError):
    code = "NODE_NOT_ALLOWED"
    status = 403
    sentence = english("The prompt uses a node that your role does not allow.")


class NsfwBlocked(GatewayError):
    """`reason`: `explicit`, `unknown` (nobody could judge it) or `unchecked` (it is looked at)."""

    code = "NSFW_BLOCKED"
    status = 403
    sentence = english("Your account does not show explicit images, and this is taken for one.")


class NotFound(GatewayError):
    code = "NOT_FOUND"
    status = 404
    sentence = english("There is nothing here.")


class MethodNotAllowed(GatewayError):
    code = "METHOD_NOT_ALLOWED"
    status = 405
    sentence = english("This method does not work here.")


class Conflict(GatewayError):
    code = "CONFLICT"
    status = 409
    sentence = english("This is taken already.")


class TooLarge(GatewayError):
    code = "TOO_LARGE"
    status = 413
    sentence = english("The request is too large.")


class Throttled(GatewayError):
    code = "THROTTLED"
    status = 429
    sentence = english("Too many requests. Wait a moment.")


class LockedOut(GatewayError):
    code = "LOCKED_OUT"
    status = 429
    sentence = english("Too many wrong passwords or codes. Wait, then try again.")


class QuotaExceeded(GatewayError):
    code = "QUOTA_EXCEEDED"
    status = 429
    sentence = english("You have as many prompts waiting as your role allows. Wait for one to run.")


class UpstreamUnreachable(GatewayError):
    code = "UPSTREAM_UNREACHABLE"
    status = 502
    sentence = english("ComfyUI does not answer. Ask the administrator whether it runs.")


class UpstreamBroke(UpstreamUnreachable):
    """The connection was there and ended: ComfyUI may have done what it was asked."""


class UpstreamTimeout(GatewayError):
    code = "UPSTREAM_TIMEOUT"
    status = 504
    sentence = english("ComfyUI took too long to answer. Try again.")


class Busy(GatewayError):
    code = "BUSY"
    status = 503
    sentence = english("Another change of these files is still going on. Try again.")


class StorageFull(GatewayError):
    code = "STORAGE_FULL"
    status = 507
    sentence = english("The server's disk is full; nothing was changed. Tell the administrator.")


class DatabaseAway(GatewayError):
    code = "DATABASE_AWAY"
    status = 503
    sentence = english("The gateway's database does not answer. Try again in a moment.")
