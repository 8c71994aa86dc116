"""The measurements, each round first direct and then through the gateway, and their results."""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from bench import probe, rawhttp, rawws
from bench.rawhttp import Rate
from bench.stage import Stage
from bench.watch import MB, Watch

T = TypeVar("T")

TRANSFER_BYTES: Final = 200 * MB
CONNECTIONS: Final = (1, 16)
# Together below the 8 MB that the relay keeps for a client which falls behind.
FRAME_PAD: Final = 100
# Answered from memory: what the gateway itself takes, with no file and no JSON behind it.
IN_MEMORY: Final = "/_bench/bytes"
# First rounds pay for what is made once: connections, caches, memory of the allocator.
WARM_UP_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int
    seconds: float
    transfers: int
    unread_seconds: float
    frames: int
    probes: int


FULL: Final = Plan(rounds=5, seconds=1.0, transfers=5, unread_seconds=4.0, frames=20_000, probes=15)
QUICK: Final = Plan(rounds=1, seconds=0.4, transfers=1, unread_seconds=1.5, frames=10_000, probes=3)


@dataclass(frozen=True)
class Compared:
    """Medians of both sides. `ratio` (gateway / direct) and `added` (gateway - direct) are
    medians over the rounds, so that a slow second of the machine counts on both sides."""

    direct: float
    gateway: float
    ratio: float
    added: float


def compared(rounds: Sequence[tuple[float, float]]) -> Compared:
    """`rounds`: (direct, gateway) of each."""
    return Compared(
        direct=statistics.median(direct for direct, _ in rounds),
        gateway=statistics.median(gateway for _, gateway in rounds),
        ratio=statistics.median(gateway / direct for direct, gateway in rounds),
        added=statistics.median(gateway - direct for direct, gateway in rounds),
    )


def _in_turn(stage: Stage, times: int, one: Callable[[int], T]) -> list[tuple[T, T]]:
    return [(one(stage.direct), one(stage.gateway.port)) for _ in range(times)]


# --- small requests ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Requests:
    """One route at one number of connections."""

    name: str
    lane: str
    connections: int
    per_second: Compared
    p50_ms: Compared
    p99_ms: Compared
    # The same with nginx in the place of what is direct.
    nginx_per_second: Compared
    nginx_p50_ms: Compared
    # Per request: the gateway's CPU, and the load generator's.
    gateway_cpu_us: float
    own_cpu_us: float


def small_requests(stage: Stage, plan: Plan) -> list[Requests]:
    """A static file, a picture, the queue; and what costs ComfyUI next to nothing."""
    found = []
    for name, target in (
        ("/assets/app.js", "/assets/app.js"),
        ("/view", stage.image),
        ("/queue", "/queue"),
        (IN_MEMORY, f"{IN_MEMORY}?n=1024"),
    ):
        message = rawhttp.request("GET", target, stage.token)
        for connections in CONNECTIONS:
            found.append(_requests(stage, plan, name, message, connections))
    return found


def _requests(stage: Stage, plan: Plan, name: str, message: bytes, connections: int) -> Requests:
    def one(port: int) -> Rate:
        return stage.measure(rawhttp.small_requests, port, message, connections, plan.seconds)

    stage.measure(rawhttp.small_requests, stage.gateway.port, message, connections, WARM_UP_SECONDS)
    with Watch(stage.gateway.pid) as watch:
        rounds = []
        for _ in range(plan.rounds):
            rounds.append((one(stage.direct), one(stage.gateway.port), one(stage.nginx)))
    return Requests(
        name=name,
        lane=stage.lanes[f"GET {name}"],
        connections=connections,
        per_second=compared([(d.per_second, g.per_second) for d, g, _ in rounds]),
        p50_ms=compared([(d.p50_ms, g.p50_ms) for d, g, _ in rounds]),
        p99_ms=compared([(d.p99_ms, g.p99_ms) for d, g, _ in rounds]),
        nginx_per_second=compared([(n.per_second, g.per_second) for _, g, n in rounds]),
        nginx_p50_ms=compared([(n.p50_ms, g.p50_ms) for _, g, n in rounds]),
        gateway_cpu_us=watch.cpu_seconds / sum(g.answered for _, g, _ in rounds) * 1e6,
        own_cpu_us=statistics.median(d.own_cpu_us for d, _, _ in rounds),
    )


# --- large transfers ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Transfer:
    """MB/s of large bodies, and what they cost the gateway's process in the worst round."""

    name: str
    lane: str
    rate: Compared | None
    peak_mb: float
    growth_mb: float
    # Seconds of CPU that the gateway took for one transfer.
    cpu_seconds: float
    # None where the system does not count it.
    written_mb: float | None


def transfers(stage: Stage, plan: Plan) -> list[Transfer]:
    """Down, up, and a client that does not read."""
    message = rawhttp.request("GET", f"/_bench/bytes?n={TRANSFER_BYTES}", stage.token)

    def download(port: int) -> float:
        return stage.measure(rawhttp.download, port, message)

    def upload(port: int) -> float:
        return stage.measure(rawhttp.upload, port, stage.token, TRANSFER_BYTES)

    down = _transfer(stage, "download", "GET /_bench/bytes", plan.transfers, download)
    up = _transfer(stage, "upload", "POST /upload/image", plan.transfers, upload)
    with Watch(stage.gateway.pid) as watch:
        stage.measure(rawhttp.unread_download, stage.gateway.port, message, plan.unread_seconds)
    unread = _costs(stage, "download, not read", "GET /_bench/bytes", None, [watch])
    return [down, up, unread]


def _transfer(
    stage: Stage, name: str, route: str, times: int, one: Callable[[int], float]
) -> Transfer:
    watches: list[Watch] = []

    def watched(port: int) -> float:
        if port == stage.direct:
            return TRANSFER_BYTES / MB / one(port)
        with Watch(stage.gateway.pid) as watch:
            rate = TRANSFER_BYTES / MB / one(port)
        watches.append(watch)
        return rate

    # The first round pays for new files and empty caches; what it does to memory counts.
    rate = compared(_in_turn(stage, times + 1, watched)[1:])
    return _costs(stage, name, route, rate, watches)


def _costs(
    stage: Stage, name: str, route: str, rate: Compared | None, watches: Sequence[Watch]
) -> Transfer:
    return Transfer(
        name=name,
        lane=stage.lanes[route],
        rate=rate,
        peak_mb=max(watch.peak_mb for watch in watches),
        # All rounds together: what a later one adds counts too.
        growth_mb=max(watch.peak_mb for watch in watches) - watches[0].before_mb,
        cpu_seconds=statistics.median(watch.cpu_seconds for watch in watches),
        written_mb=max(watch.written_mb for watch in watches) if stage.counts_writes else None,
    )


# --- WebSocket ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Relay:
    """Frames per second of a burst, and the round trip of single ones."""

    per_second: Compared
    echo_ms: Compared


def relay(stage: Stage, plan: Plan) -> Relay:
    """Event frames of a prompt of the user's, by one socket."""
    load = rawws.Load(stage.token, stage.prompt_id, FRAME_PAD)

    def burst(port: int) -> float:
        return stage.measure(rawws.burst, port, load, plan.frames)

    def echo(port: int) -> float:
        return stage.measure(rawws.echo, port, load, plan.seconds)

    return Relay(
        per_second=compared(_in_turn(stage, plan.rounds, burst)),
        echo_ms=compared(_in_turn(stage, plan.rounds, echo)),
    )


# --- what an upstream notices ------------------------------------------------------------------


@dataclass(frozen=True)
class Noticed:
    """First byte of an upload upstream; seconds until a left client's request ended there."""

    direct: probe.Arrival
    gateway: probe.Arrival
    closed: dict[str, list[float]]


def noticed(stage: Stage, plan: Plan) -> Noticed:
    """Seen by an upstream of our own, behind a second gateway."""
    gateway, upstream_port = stage.second_gateway()

    async def look() -> Noticed:
        async with probe.running(upstream_port) as server:
            direct = await probe.first_byte(server, upstream_port, stage.token, plan.probes)
            behind = await probe.first_byte(server, gateway.port, stage.token, plan.probes)
            closed = await probe.closing(server, gateway.port, stage.token, plan.probes)
            return Noticed(direct, behind, closed)

    return asyncio.run(look())
