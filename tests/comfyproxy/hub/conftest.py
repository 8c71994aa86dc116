"""The hub between clients and a ComfyUI that tests make up."""

from collections.abc import AsyncIterator

import pytest

from comfyproxy import hub as hub_module
from comfyproxy import ownership, queuewatch, relaysession
from comfyproxy.hub import Hub
from comfyproxy.queuewatch import QueueWatch
from tests.comfyproxy.upstreamsockets import Owners, Queue, Upstream


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Owners:
    fake = Owners()
    monkeypatch.setattr(ownership, "_read", fake.read)
    monkeypatch.setattr(ownership, "_memory", type(ownership._memory)())
    return fake


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    fake = Queue()
    monkeypatch.setattr(queuewatch, "look", fake.look)
    monkeypatch.setattr(queuewatch, "PAUSE_SECONDS", 0)
    watch = QueueWatch()
    monkeypatch.setattr(hub_module, "watch", watch)
    monkeypatch.setattr(relaysession, "watch", watch)
    return fake


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Upstream:
    fake = Upstream()
    monkeypatch.setattr(relaysession.upstream, "socket", fake.socket)
    return fake


@pytest.fixture
async def hub(owners: Owners, queue: Queue, upstream: Upstream) -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    for socket in upstream.sockets:
        socket.release()
    await hub.close()
    assert hub._sessions == {}
    assert hub_module.watch._listeners == {}
    assert sorted(upstream.log) == sorted(
        f"{what} {number}"
        for number in range(len(upstream.sockets))
        for what in ("opened", "closed")
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's loss is forgotten after a moment, and so is a socket that hears nothing."""
    monkeypatch.setattr(relaysession, "LINGER_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "STATUS_SECONDS", 0.05)
