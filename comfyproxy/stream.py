"""The stream lane: from an admitted ASGI request to a handler and back, no Django between."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from accounts.credentials import without_tokens
from accounts.errors import GatewayError
from comfyproxy import handlers
from comfyproxy.asgitypes import Receive, Scope, Send
from comfyproxy.calls import ByteStream, Call, ClientGone, Reply
from comfyproxy.gate import Admitted

logger = logging.getLogger(__name__)

# Most answers are there sooner, and never pay for a watch on their client.
WATCH_AFTER_SECONDS: Final = 0.1
_BODILESS_STATUS: Final = (204, 304)


async def serve(admitted: Admitted, scope: Scope, receive: Receive, send: Send) -> None:
    """Call the route's handler and send what it replies; give up when the client leaves.

    Raises:
        GatewayError: before anything was sent
    """
    client = _Client(receive)
    call = Call(
        method=scope["method"],
        path=admitted.path,
        params=admitted.match.params,
        query=without_tokens(scope["query_string"]),
        headers=scope["headers"],
        caller=admitted.identity,
        chunks=client.chunks,
    )
    if not call.has_body:
        client.watch()
    try:
        reply = await _reply(call, admitted, client)
        if reply is not None:
            await send_reply(reply, scope["method"], send, client)
    finally:
        client.forget()


async def _reply(call: Call, admitted: Admitted, client: "_Client") -> Reply | None:
    """What the handler replies; None if the client left before."""
    task = asyncio.current_task()
    assert task is not None
    client.when_gone(task.cancel)
    try:
        return await handlers.resolve(admitted.match.rule.handler)(call)
    except ClientGone:
        return None
    except asyncio.CancelledError:
        if not client.gone or task.uncancel() > 0:
            raise
        return None
    finally:
        client.when_gone(None)


async def send_reply(
    reply: Reply, method: str, send: Send, client: "_Client | None" = None
) -> None:
    """Send a reply; a streamed one as fast as the client takes it, and no longer than it is
    there."""
    headers = reply.headers
    if reply.status in _BODILESS_STATUS:
        # A 304 may tell the length of what it does not send; the server would wait for it.
        headers = [(name, value) for name, value in headers if name != b"content-length"]
    elif reply.stream is None and not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.stream is None or method == "HEAD":
        if reply.stream is not None:
            reply.stream.close()
        body = b"" if method == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})
        return
    if client is not None:
        # Closing the stream ends the loop below, also while it waits for ComfyUI.
        client.when_gone(reply.stream.close)
    try:
        await _pump(reply.stream, send, client)
    finally:
        reply.stream.close()


async def _pump(stream: ByteStream, send: Send, client: "_Client | None") -> None:
    """Pass the chunks on. If ComfyUI dies in the middle the connection is cut, never ended
    cleanly: the client must not take half a file for a whole one."""
    try:
        async for chunk in stream.chunks():
            if client is not None and client.gone:
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except GatewayError as error:
        if client is None or not client.gone:
            logger.warning("ComfyUI broke off in mid-answer: %s", error)
        return  # without the last body message the server closes the connection
    await send({"type": "http.response.body", "body": b""})


class _Client:
    """The client's end of a request: its body, read on demand and never ahead, and afterwards
    whether it is still there."""

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._body_read = False
        self._when_gone: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body. Raises ClientGone if the client leaves before its end."""
        while not self._body_read:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if not message.get("more_body", False):
                self._body_read = True
                self.watch()
            if message.get("body"):
                yield message["body"]

    def when_gone(self, callback: Callable[[], object] | None) -> None:
        """Call this, instead of any former one, when the client leaves; at once if it has."""
        self._when_gone = callback
        if self.gone and callback is not None:
            callback()

    def watch(self) -> None:
        """Look out for the client's leaving, from soon on. Nobody may read the body any more."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(
                WATCH_AFTER_SECONDS, self._start_watching
            )

    def forget(self) -> None:
        """The request is over."""
        self._when_gone = None
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _start_watching(self) -> None:
        self._watcher = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._when_gone is not None:
            self._when_gone()
