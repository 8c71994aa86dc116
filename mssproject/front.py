"""What every request meets first: client address, host, HTTPS, CORS; then whose address it is."""

import logging
import random
import re
from functools import lru_cache
from time import perf_counter
from typing import Final

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from starlette.exceptions import HTTPException

from accounts import iprules, metrics, requestnotes
from accounts.credentials import header, without_tokens
from accounts.errors import (
    BadRequest,
    GatewayError,
    MethodNotAllowed,
    NotFound,
)
from accounts.requestnotes import RequestNotes
from accounts.unexpected import refusal_of
from comfyproxy.asgitypes import App, Message, Receive, Scope, Send
from comfyproxy.calls import Reply
from comfyproxy.entry import limited, refusal_reply
from comfyproxy.gate import log_refusal, shown_path
from comfyproxy.paths import canonical
from comfyproxy.stream import send_reply
from mssproject import pathtoken, probes
from mssproject.clientaddress import client_of, is_trusted, networks

logger = logging.getLogger(__name__)
access = logging.getLogger("mssproject.access")

# The gateway's own first segments; everything else is ComfyUI's.
PAGES: Final = frozenset(
    {
        "login",
        "logout",
        "register",
        "mfa",
        "account",
        "join",
        "reset",
        "forgot",
        "admin",
        "mss-login",
        "mss-login-gallery",
        "generate_token",
    }
)
# ComfyUI's frontend puts /api before every address it asks for.
UNDER_API: Final = frozenset({"mss-login", "mss-login-gallery"})
STATIC_PREFIX: Final = "/mss-login/static"
FAVICON: Final = "/favicon.ico"
ADMIN: Final = "admin"
# A name has at most 255 (RFC 1035), and a port comes with it.
MAX_HOST_BYTES: Final = 300
PAGE_BODY_LIMIT: Final = 10 * 1024 * 1024
# What the answer begins with, and its status where the message has none: a socket was accepted, or
# refused by a server that cannot say more.
_STARTS: Final = {
    "http.response.start": 200,
    "websocket.accept": 101,
    "websocket.http.response.start": 403,
    "websocket.close": 403,
}
# As nginx's log has it: the client left before there was an answer.
CLIENT_GONE: Final = 499
_ACCESS_LINE: Final = "%(method)s %(path)s %(status)s %(ms)s ms %(lane)s %(address)s"
# They tell log lines apart and are no secret.
_ids: Final = random.Random()  # noqa: S311
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
NO_REFERRER: Final = (b"referrer-policy", b"no-referrer")


class Front:
    """The outermost ASGI application."""

    def __init__(self, *, comfy: App, sockets: App, pages: App, static: App) -> None:
        self._comfy = comfy
        self._sockets = sockets
        self._pages = limited(pages, PAGE_BODY_LIMIT)
        # The admin uploads people's files; a form around one takes a little more.
        uploads = (settings.MSS_USERDATA_FILE_MB + 1) * 1024 * 1024
        self._admin = limited(pages, max(PAGE_BODY_LIMIT, uploads))
        self._static = _static(static)
        self._trusted = networks(settings.MSS_TRUSTED_PROXIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        peer, port = (scope.get("client") or ("", 0))[:2]
        notes = RequestNotes(self._id_of(scope, peer))
        requestnotes.begin(notes)
        watched = _watching(notes, began, send)
        try:
            await self._answer(scope, receive, watched, (peer, port))
        finally:
            _note(scope, notes)

    def _id_of(self, scope: Scope, peer: str) -> str:
        """What the log lines of a request have in common: as a trusted proxy names it, whose own
        log has the same then."""
        if self._trusted and is_trusted(peer, self._trusted):
            given = header(scope["headers"], b"x-request-id") or ""
            if _REQUEST_ID.fullmatch(given):
                return given
        return f"{_ids.getrandbits(32):08x}"

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, client: tuple[str, int]
    ) -> None:
        peer, port = client
        if scope["type"] == "http":
            probed = await probes.answer(scope, peer)
            if probed is not None:
                requestnotes.note_lane("probe")
                await send_reply(probed, scope["method"], send)
                return
        address, scheme = client_of(peer, scope["scheme"], scope["headers"], self._trusted)
        scope = {**scope, "client": (address, port), "scheme": scheme}
        below = pathtoken.take_out(scope)
        requestnotes.current().address = address
        if scope["type"] == "websocket":
            requestnotes.note_lane("socket")
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, _finishing(scope, send, below=below))

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = settings.MSS_FORCE_HTTPS and scope["scheme"] == "ws"
        if plain or not _host_is_ours(scope) or await _blocked(scope) is not None:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._sockets(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        reply: Reply | None = None
        blocked = await _blocked(scope)
        if blocked is not None:
            reply = await _refused(scope, blocked)
        elif not _host_is_ours(scope):
            reply = await _refused(
                scope, BadRequest("This host name is not configured. Set MSS_ALLOWED_HOSTS.")
            )
        elif settings.MSS_FORCE_HTTPS and scope["scheme"] == "http":
            reply = _to_https(scope)
        elif method == "OPTIONS":
            # Grants nothing by itself; `_finishing` adds what a configured origin may do.
            reply = Reply(204)
        if reply is not None:
            await send_reply(reply, method, send)
            return
        try:
            await self._app(scope)(scope, receive, send)
        except GatewayError as error:
            await send_reply(await _refused(scope, error), method, send)

    def _app(self, scope: Scope) -> App:
        """Whose address it is; below /api too, as ComfyUI's frontend asks for everything.

        Raises:
            BadPath, NotFound
        """
        path = canonical(scope["raw_path"])
        first = path.segments[0] if path.segments else ""
        if first.partition("/")[0].casefold() == pathtoken.SEGMENT:
            pathtoken.refuse(scope)
            return self._comfy
        if first not in PAGES:
            if str(path) == FAVICON and not path.api:
                _rewrite(scope, FAVICON)
                return self._files()
            return self._comfy
        if path.api:
            if first not in UNDER_API:
                return self._comfy
            _rewrite(scope, scope["path"].removeprefix("/api"))
        if scope["path"].startswith(STATIC_PREFIX + "/"):
            _rewrite(scope, scope["path"].removeprefix(STATIC_PREFIX))
            return self._files()
        requestnotes.note_lane("admin" if first == ADMIN else "pages")
        return self._admin if first == ADMIN else self._pages

    def _files(self) -> App:
        requestnotes.note_lane("static")
        return self._static


def _watching(notes: RequestNotes, began: float, send: Send) -> Send:
    """`send`, noting when the answer begins, and as what."""

    async def watched(message: Message) -> None:
        status = _STARTS.get(message["type"])
        if status is not None and notes.status is None:
            notes.seconds = perf_counter() - began
            notes.status = message.get("status", status)
        await send(message)

    return watched


def _note(scope: Scope, notes: RequestNotes) -> None:
    """Count the request that is over, and write its line, if lines are wanted."""
    if notes.status is None:
        notes.status = CLIENT_GONE
    metrics.request_answered(notes.lane, notes.status, notes.seconds)
    if settings.MSS_ACCESS_LOG:
        what = {
            "method": scope.get("method", "WS"),
            "path": shown_path(scope),
            "status": notes.status,
            "ms": round(notes.seconds * 1000, 1),
            "lane": notes.lane,
            "address": notes.address,
        }
        access.info(_ACCESS_LINE, what, extra=what)


def _static(files: App) -> App:
    """Starlette's file server, its refusals turned into ours."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await files(scope, receive, send)
        except HTTPException as error:
            raise (MethodNotAllowed if error.status_code == 405 else NotFound) from None

    return wrapped


def _rewrite(scope: Scope, path: str) -> None:
    scope["path"] = path
    scope["raw_path"] = path.encode()


async def _blocked(scope: Scope) -> GatewayError | None:
    """Why this address may not come in, or None. Without an answer from the rules nobody may."""
    try:
        await iprules.require_admitted(scope["client"][0])
    except GatewayError as refusal:
        return refusal
    except Exception as error:
        logger.exception("the IP rules could not be read")
        return refusal_of(error)
    return None


def _host_is_ours(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return False
    return len(hosts[0]) <= MAX_HOST_BYTES and _is_ours(hosts[0], tuple(settings.ALLOWED_HOSTS))


@lru_cache(maxsize=256)
def _is_ours(host: bytes, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, allowed)


async def _refused(scope: Scope, error: GatewayError) -> Reply:
    log_refusal(scope, error)
    return await refusal_reply(scope, error)


def _to_https(scope: Scope) -> Reply:
    host = header(scope["headers"], b"host") or ""
    query = without_tokens(scope["query_string"])
    target = b"https://" + host.encode() + scope["raw_path"] + (b"?" + query if query else b"")
    return Reply(308, [(b"location", target)])


def _finishing(scope: Scope, send: Send, *, below: bool) -> Send:
    """Adds HSTS, and for a configured origin the CORS headers, to every answer. What an answer
    `below` /t/ leads to must not learn the address."""
    extra: list[tuple[bytes, bytes]] = []
    if below:
        extra.append(NO_REFERRER)
    if scope["scheme"] == "https" and settings.MSS_FORCE_HTTPS:
        extra.append(HSTS)
    origin = header(scope["headers"], b"origin")
    if origin is not None and origin in settings.MSS_CORS_ORIGINS:
        # No credentials: a cookie never counts across origins, a bearer token does.
        extra += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", b"Authorization, Content-Type, Comfy-User, Range"),
            (b"access-control-expose-headers", b"Content-Length, Content-Range, ETag"),
            (b"access-control-max-age", b"600"),
            (b"vary", b"Origin"),
        ]
    if not extra:
        return send
    replaced = {HSTS[0], NO_REFERRER[0]} if below else {HSTS[0]}

    async def finished(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [
                (name, value)
                for name, value in message.get("headers", ())
                if name.lower() not in replaced
            ]
            message = {**message, "headers": [*given, *extra]}
        await send(message)

    return finished
