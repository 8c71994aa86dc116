"""The load of `bench.load`: people who poll, listen, send prompts and wait for models.

Runs in a process of its own, on one event loop; says what it saw.
"""

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

POLL_SECONDS: Final = 2.0
# After the last prompt was sent, until all must have ended.
REST_SECONDS: Final = 30.0
_DOWNLOAD_POLL_SECONDS: Final = 5.0
_API: Final = "/mss-login/api/model-download"


@dataclass(frozen=True)
class Wish:
    """How much of what, for how long."""

    url: str
    # A token for each person, and for each download.
    tokens: list[str]
    downloaders: list[str]
    prompts_per_second: float
    seconds: float


@dataclass
class Seen:
    """Milliseconds that each kind of request took, and what went wrong."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    ended: int = 0
    events: int = 0
    downloads: Counter[str] = field(default_factory=Counter)


def make_load(wish: Wish) -> Seen:
    """Make it, and return what was seen."""
    return asyncio.run(_Load(wish).run())


class _Load:
    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._seen = Seen()
        self._sent: set[str] = set()
        self._over: set[str] = set()
        self._colors = itertools.count(1)

    async def run(self) -> Seen:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(
            self._wish.url, connector=connector, timeout=timeout
        ) as self._session:
            listening = [
                asyncio.create_task(self._listen(number))
                for number in range(len(self._wish.tokens))
            ]
            await asyncio.sleep(3)
            end = time.monotonic() + self._wish.seconds
            await asyncio.gather(
                self._send_prompts(end),
                *(self._poll(token, end) for token in self._wish.tokens),
                *(
                    self._download(token, number, end)
                    for number, token in enumerate(self._wish.downloaders)
                ),
            )
            give_up = time.monotonic() + REST_SECONDS
            while self._sent - self._over and time.monotonic() < give_up:
                await asyncio.sleep(0.5)
            for task in listening:
                task.cancel()
        self._seen.acknowledged = len(self._sent)
        self._seen.ended = len(self._sent & self._over)
        return self._seen

    async def _ask(self, kind: str, method: str, path: str, token: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        started = time.perf_counter()
        try:
            async with self._session.request(method, path, headers=headers, **more) as answer:
                body = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._seen.errors[f"{kind}: {type(error).__name__}"] += 1
            return None
        self._seen.latencies[kind].append((time.perf_counter() - started) * 1000)
        if answer.status != 200:
            self._seen.errors[f"{kind}: {answer.status} {body.get('code', '')}"] += 1
            return None
        return body

    async def _poll(self, token: str, end: float) -> None:
        await asyncio.sleep(random.uniform(0, POLL_SECONDS))
        while time.monotonic() < end:
            await self._ask("GET /queue", "GET", "/queue", token)
            await asyncio.sleep(POLL_SECONDS / 2)
            await self._ask("GET /history", "GET", "/history?max_items=10", token)
            await asyncio.sleep(POLL_SECONDS / 2)

    async def _send_prompts(self, end: float) -> None:
        step = 1 / self._wish.prompts_per_second
        at = time.monotonic()
        sending = set()
        while (now := time.monotonic()) < end:
            task = asyncio.create_task(self._send())
            sending.add(task)
            task.add_done_callback(sending.discard)
            at += step
            await asyncio.sleep(max(at - now, 0))
        await asyncio.gather(*sending)

    async def _send(self) -> None:
        number = random.randrange(len(self._wish.tokens))
        inputs = {"width": 8, "height": 8, "batch_size": 1, "color": next(self._colors)}
        saved = {"images": ["1", 0], "filename_prefix": "load"}
        graph = {
            "1": {"class_type": "EmptyImage", "inputs": inputs},
            "2": {"class_type": "SaveImage", "inputs": saved},
        }
        body = {"prompt": graph, "client_id": f"load{number}"}
        token = self._wish.tokens[number]
        found = await self._ask("POST /prompt", "POST", "/prompt", token, json=body)
        if found is not None:
            self._sent.add(found["prompt_id"])

    async def _listen(self, number: int) -> None:
        path = f"/ws?clientId=load{number}"
        headers = {"Authorization": f"Bearer {self._wish.tokens[number]}"}
        while True:
            try:
                async with self._session.ws_connect(
                    path, headers=headers, max_msg_size=0
                ) as socket:
                    async for message in socket:
                        self._seen.events += 1
                        self._note(message)
                self._seen.errors[f"socket: closed {socket.close_code}"] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self._seen.errors[f"socket: {type(error).__name__}"] += 1
            await asyncio.sleep(0.3)

    def _note(self, message: aiohttp.WSMessage) -> None:
        if message.type is not aiohttp.WSMsgType.TEXT or '"executing"' not in message.data:
            return
        data = message.json()["data"]
        if data.get("node") is None:
            self._over.add(data["prompt_id"])

    async def _download(self, token: str, number: int, end: float) -> None:
        wish = {
            "source": "huggingface",
            "repo_id": "bench/model",
            "filename": "large.safetensors",
            "folder_type": "checkpoints",
        }
        while time.monotonic() < end:
            made = await self._ask("download", "POST", f"{_API}/download", token, json=wish)
            if made is None:
                await asyncio.sleep(_DOWNLOAD_POLL_SECONDS)
                continue
            path = f"{_API}/jobs/{made['job_id']}"
            while time.monotonic() < end + REST_SECONDS:
                await asyncio.sleep(_DOWNLOAD_POLL_SECONDS)
                found = await self._ask("download", "GET", path, token)
                if found is not None and not found["job"]["can_cancel"]:
                    self._seen.downloads[found["job"]["status"]] += 1
                    break
