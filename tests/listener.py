"""A WebSocket client of the gateway for the wire tests: what it is sent, in order."""

import json
import struct
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

import websockets.sync.client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.client import Client

Frame = dict[str, Any] | bytes
# What makes a request a handshake, for who writes it by hand.
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


class Refused(Exception):
    """The handshake was answered by HTTP."""

    def __init__(self, error: InvalidStatus) -> None:
        self.status = error.response.status_code
        self.headers = error.response.headers
        self.body = json.loads(error.response.body or b"null")
        super().__init__(f"{self.status} {self.body}")


class Listener:
    """An open socket. Every frame it reads stays in `frames`."""

    def __init__(
        self,
        client: Client,
        client_id: str | None = "",
        *,
        path: str = "/ws",
        flags: bool = False,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Connects with the client's token and reads the first frame, `sid` in it.

        `client_id`: empty for one that no other socket had, None for none at all.

        Raises:
            Refused
        """
        query = "" if client_id is None else f"?clientId={client_id or uuid.uuid4().hex}"
        if headers is None:
            headers = {"Authorization": f"Bearer {client.token}"}
        address = client.base_url.replace("http", "ws", 1) + path + query
        settings: dict[str, Any] = {
            "compression": None,
            "max_size": None,
            "max_queue": None,
            "ping_interval": None,
            "close_timeout": 2,
            "proxy": None,
        }
        try:
            connecting = websockets.sync.client.connect(
                address, additional_headers=headers, **(settings | options)
            )
            self._closing = ExitStack()
            self.socket = self._closing.enter_context(connecting)
        except InvalidStatus as error:
            raise Refused(error) from None
        self.frames: list[Frame] = []
        first = self.next()
        assert isinstance(first, dict)
        self.sid: str = first["data"]["sid"]
        self.count: int = first["data"]["status"]["exec_info"]["queue_remaining"]
        if flags:
            self.announce()

    def announce(self) -> None:
        """Tell that previews with metadata are understood, and read the answer."""
        self.socket.send(json.dumps(FLAGS))
        self.until(lambda frame: kind(frame) == "feature_flags")

    def next(self, seconds: float = 10) -> Frame:
        """The next frame. Raises TimeoutError, ConnectionClosed."""
        data = self.socket.recv(seconds)
        frame = data if isinstance(data, bytes) else json.loads(data)
        self.frames.append(frame)
        return frame

    def until(self, true: Callable[[Frame], object], seconds: float = 10) -> list[Frame]:
        """The frames up to and including the first for which `true` holds."""
        found = [self.next(seconds)]
        while not true(found[-1]):
            found.append(self.next(seconds))
        return found

    def until_end(self, prompt_id: str) -> list[Frame]:
        """The frames up to the reliable end of a prompt, `executing` nothing."""
        return self.until(
            lambda frame: (
                kind(frame) == "executing"
                and data_of(frame) == {"node": None, "prompt_id": prompt_id}
            )
        )

    def until_count(self, count: int) -> list[Frame]:
        """The frames up to a `status` with that number."""
        return self.until(lambda frame: kind(frame) == "status" and status(frame) == count)

    def rest(self, seconds: float = 0.3) -> list[Frame]:
        """What still comes until nothing does for so long."""
        found: list[Frame] = []
        try:
            while True:
                found.append(self.next(seconds))
        except TimeoutError:
            return found

    def close_code(self, seconds: float = 15) -> int | None:
        """Read until the server closes; its code."""
        try:
            while True:
                self.next(seconds)
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code

    def close(self) -> None:
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def kind(frame: Frame) -> str:
    """The type of an event, or `binary 1` and the like."""
    if isinstance(frame, bytes):
        return f"binary {struct.unpack_from('>I', frame)[0]}"
    return str(frame["type"])


def data_of(frame: Frame) -> dict[str, Any]:
    assert isinstance(frame, dict)
    return dict(frame["data"])


def status(frame: Frame) -> int:
    """The number in a `status` frame."""
    return int(data_of(frame)["status"]["exec_info"]["queue_remaining"])


def kinds(frames: list[Frame], *without: str) -> list[str]:
    return [kind(frame) for frame in frames if kind(frame) not in without]


def prompts_of(frames: list[Frame]) -> set[str]:
    """The ids of all prompts that frames speak of."""
    found = set()
    for frame in frames:
        data = metadata(frame) if isinstance(frame, bytes) else frame["data"]
        if isinstance(data, dict) and "prompt_id" in data:
            found.add(str(data["prompt_id"]))
    return found


def metadata(frame: bytes) -> dict[str, Any] | None:
    """The JSON inside a preview with metadata; None for other frames."""
    event, length = struct.unpack_from(">II", frame)
    return dict(json.loads(frame[8 : 8 + length])) if event == 4 else None


def picture(frame: bytes) -> bytes:
    """The picture inside a preview of either form."""
    event, length = struct.unpack_from(">II", frame)
    return frame[8 + length :] if event == 4 else frame[8:]
