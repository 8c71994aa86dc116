"""An upstream that answers as a test says, byte by byte: what a well-behaved server never does.

Each path has a script, a coroutine that gets the `Conversation` and sends whatever it likes.
Runs in a thread of its own, so that tests and gateway meet it like any other server.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Self

HEAD_LIMIT = 1024 * 1024


class Conversation:
    """One request that came in, and the connection to answer it on."""

    def __init__(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.headers = [
            (name.lower(), value.strip())
            for name, _, value in (line.partition(":") for line in lines if line)
        ]
        self.sent = 0
        self.received = 0
        self.closed_at: float | None = None
        # Set by a script that leaves the connection open for another request.
        self.keep = False
        self._reader = reader
        self._writer = writer

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    async def send(self, data: bytes) -> None:
        """Returns once the system has taken everything; `sent` counts."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            self.closed_at = time.monotonic()
            raise
        self.sent += len(data)

    async def pause(self, seconds: float = 0.01) -> None:
        await asyncio.sleep(seconds)

    async def answer(self, body: bytes = b"", status: str = "200 OK", *headers: str) -> None:
        """A complete, ordinary answer; the last on its connection unless the script says `keep`."""
        more = [] if self.keep else ["Connection: close"]
        lines = [f"HTTP/1.1 {status}", *headers, *more, f"Content-Length: {len(body)}", "", ""]
        await self.send("\r\n".join(lines).encode() + body)

    async def read(self) -> bytes:
        """Some raw bytes of the request's body; `b""` when the other side closes."""
        data = await self._reader.read(65536)
        self.received += len(data)
        return data

    async def read_until(self, end: bytes) -> bytes:
        """The request's raw body up to and including `end`."""
        data = await self._reader.readuntil(end)
        self.received += len(data)
        return data

    async def gone(self) -> None:
        """Returns when the other side has closed the connection; `closed_at` says when."""
        try:
            while await self.read():
                pass
        except ConnectionError:
            pass
        self.closed_at = time.monotonic()

    def cut(self) -> None:
        """Drop the connection without another byte."""
        self._writer.transport.abort()


Script = Callable[[Conversation], Awaitable[None]]


class OddUpstream:
    """Listens on a port of its own until closed; `scripts` maps paths to scripts.

    After its script a connection is closed, unless the script says `keep`.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.conversations: list[Conversation] = []
        self.connections = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, script: Script) -> None:
        """Answer `path` (without query) by `script` from now on."""
        self.scripts[path] = script

    def asked(self, path: str) -> list[Conversation]:
        """The requests for `path` so far, oldest first."""
        return [talk for talk in self.conversations if talk.target.partition("?")[0] == path]

    def last(self, path: str) -> Conversation:
        """The newest request for `path`."""
        return self.asked(path)[-1]

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.vanish()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def listen(self) -> None:
        """Accept connections, on the former port if there was one."""
        self._call(self._listen())

    def vanish(self) -> None:
        """As if the process had died: every connection cut, new ones refused."""
        self._call(self._vanish())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, limit=HEAD_LIMIT
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _vanish(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        # `sent` must mean sent: nothing waits in this process.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass  # closed, or what came is no request
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        talk = Conversation(head[:-4], reader, writer)
        self.conversations.append(talk)
        script = self.scripts.get(talk.target.partition("?")[0])
        if script is None:
            talk.keep = True
            await talk.answer(status="404 Not Found")
            return True
        await script(talk)
        return talk.keep

    def _call(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)
