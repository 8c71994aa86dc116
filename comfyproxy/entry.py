"""Where ComfyUI's addresses come in: admit, then the lane that the table names."""

import asyncio
import logging
from typing import Final
from urllib.parse import urlencode

from accounts.credentials import header, without_tokens
from accounts.errorpages import error_page
from accounts.errors import GatewayError, NotFound, TooLarge, Unauthenticated
from accounts.requestnotes import note_lane
from accounts.unexpected import refusal_of
from comfyproxy import stream
from comfyproxy.asgitypes import App, Message, Receive, Scope, Send
from comfyproxy.calls import Reply, refusal
from comfyproxy.consumers import deny
from comfyproxy.gate import SCOPE_KEY, admit, log_refusal, shown_path
from comfyproxy.policy import Lane
from comfyproxy.prompts.shape import MAX_BODY_BYTES

logger = logging.getLogger(__name__)


# Django spools a body before its view runs; nothing longer may get that far.
VIEW_BODY_LIMIT: Final = MAX_BODY_BYTES + 64 * 1024


class ComfyEntry:
    """ASGI application for every HTTP path that is ComfyUI's."""

    def __init__(self, view_lane: App) -> None:
        self._view_lane = view_lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._serve(scope, receive, watched)
        except GatewayError as error:
            refused = error
        except Exception as error:
            logger.exception("unexpected error at %s", shown_path(scope))
            refused = refusal_of(error)
        else:
            return
        log_refusal(scope, refused)
        if not started:
            await stream.send_reply(await refusal_reply(scope, refused), scope["method"], send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_lane("gate")
        admitted = await admit(scope)
        note_lane(admitted.match.rule.lane.value)
        if admitted.match.rule.lane is Lane.SOCKET:
            raise _UpgradeRequired
        if admitted.match.rule.lane is Lane.STREAM:
            await stream.serve(admitted, scope, receive, send)
            return
        scope = {**scope, SCOPE_KEY: admitted}
        await limited(self._view_lane, VIEW_BODY_LIMIT)(scope, receive, send)


class _UpgradeRequired(GatewayError):
    """`GET /ws` without an upgrade; ComfyUI answers 400 too."""

    code = "BAD_REQUEST"
    status = 400
    sentence = "This address is a WebSocket."


def limited(app: App, limit: int) -> App:
    """`app`, but no request body longer than `limit` bytes reaches it.

    A declared length is judged at once; an undeclared one while it comes in: the client
    gets 413 and the application sees a client that left.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        declared = header(scope["headers"], b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise TooLarge
        received, over = 0, False

        async def counted() -> Message:
            nonlocal received, over
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                over = True
                return {"type": "http.disconnect"}
            return message

        async def guarded(message: Message) -> None:
            if not over:
                await send(message)

        await app(scope, counted, guarded)
        if over:
            raise TooLarge

    return wrapped


async def refusal_reply(scope: Scope, error: GatewayError) -> Reply:
    """JSON for clients; for a person's browser a page, or, if nobody is logged in, the way to
    /login."""
    if not is_navigation(scope):
        return refusal(error)
    if isinstance(error, Unauthenticated):
        target = scope["raw_path"].decode("latin-1")
        query = without_tokens(scope["query_string"]).decode("latin-1")
        wanted = f"{target}?{query}" if query else target
        location = f"/login?{urlencode({'next': wanted})}" if wanted != "/" else "/login"
        return Reply(302, [(b"location", location.encode()), (b"cache-control", b"no-store")])
    # A template may have to be read from the disk.
    return Reply(*await asyncio.to_thread(error_page, error, scope["headers"]))


def is_navigation(scope: Scope) -> bool:
    """Whether a person's browser goes somewhere: who gets HTML (API.md section 1)."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    first = scope["path"].lstrip("/").partition("/")[0]
    if first in ("api", "ws"):
        return False
    headers = scope["headers"]
    if header(headers, b"sec-fetch-mode") == "navigate":
        return True
    accept = header(headers, b"accept") or ""
    return "text/html" in accept and "application/json" not in accept


class SocketEntry:
    """ASGI application for WebSocket handshakes: admit, then the consumer; refusals come
    before the upgrade, as HTTP."""

    def __init__(self, consumer: App) -> None:
        self._consumer = consumer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            admitted = await admit(scope)
            if admitted.match.rule.lane is not Lane.SOCKET:
                raise NotFound
        except GatewayError as error:
            refused = error
        except Exception as error:
            logger.exception("unexpected error at %s", shown_path(scope))
            refused = refusal_of(error)
        else:
            await self._consumer({**scope, SCOPE_KEY: admitted}, receive, send)
            return
        log_refusal(scope, refused)
        await receive()  # websocket.connect
        await deny(scope, send, refused)
