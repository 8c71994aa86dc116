"""The stream lane: from an admitted ASGI request to a handler and back, no Django between."""

import asyncio
import logging
from collections.abc import AsyncIterator

from accounts.credentials import without_tokens
from accounts.errors import GatewayError
from comfyproxy import handlers
from comfyproxy.asgitypes import Receive, Scope, Send
from comfyproxy.calls import ByteStream, Call, ClientGone, Reply
from comfyproxy.gate import Admitted

logger = logging.getLogger(__name__)


async def serve(admitted: Admitted, scope: Scope, receive: Receive, send: Send) -> None:
    """Call the route's handler and send what it replies.

    Raises:
        GatewayError: before anything was sent
    """
    body = _Body(receive)
    call = Call(
        method=scope["method"],
        path=admitted.path,
        params=admitted.match.params,
        query=without_tokens(scope["query_string"]),
        headers=scope["headers"],
        caller=admitted.identity,
        chunks=body.chunks,
    )
    try:
        reply = await handlers.resolve(admitted.match.rule.handler)(call)
    except ClientGone:
        return
    await send_reply(reply, scope["method"], receive, send, body_consumed=body.consumed)


async def send_reply(
    reply: Reply, method: str, receive: Receive, send: Send, *, body_consumed: bool = True
) -> None:
    """Send a reply; a streamed one as fast as the client takes it, and no longer than it is
    there."""
    headers = reply.headers
    if reply.stream is None and not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.stream is None or method == "HEAD":
        if reply.stream is not None:
            reply.stream.close()
        body = b"" if method == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})
        return
    watcher = asyncio.ensure_future(_disconnected(receive)) if body_consumed else None
    try:
        await _pump(reply.stream, send, watcher)
    finally:
        reply.stream.close()
        if watcher is not None:
            watcher.cancel()


async def _pump(stream: ByteStream, send: Send, watcher: asyncio.Future[None] | None) -> None:
    """Pass the chunks on. If ComfyUI dies in the middle the connection is cut, never ended
    cleanly: the client must not take half a file for a whole one."""
    if watcher is not None:
        # Closing the stream makes the loop below end, also while it waits for ComfyUI.
        watcher.add_done_callback(lambda _: stream.close())
    try:
        async for chunk in stream.chunks():
            if watcher is not None and watcher.done():
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except GatewayError as error:
        if watcher is None or not watcher.done():
            logger.warning("ComfyUI broke off in mid-answer: %s", error)
        return  # without the last body message the server closes the connection
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Body:
    """A request body that is read on demand, never ahead."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.consumed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises ClientGone if the client leaves before the end."""
        while not self.consumed:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            self.consumed = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
