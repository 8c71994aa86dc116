"""Results as tables, for the terminal and for docs/performance.md, and the targets' verdicts."""

import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.crowd import Crowd
from bench.downloads import Downloads
from bench.downloads import table as downloads_table
from bench.downloads import targets as downloads_targets
from bench.idle import Idle
from bench.idle import table as idle_table
from bench.idle import targets as idle_targets
from bench.measures import IN_MEMORY, TRANSFER_BYTES, Noticed, Relay, Requests, Transfer
from bench.models import Models
from bench.models import table as models_table
from bench.models import targets as models_targets
from bench.pictures import Pictures
from bench.pictures import table as pictures_table
from bench.pictures import targets as pictures_targets
from bench.table import Table
from bench.watch import MB

_PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "websockets", "aiohttp", "channels", "Django")


# Connections → the share of nginx's requests a second that is wanted.
OF_NGINX: Final = {1: 0.65, 16: 0.8}


@dataclass(frozen=True)
class Results:
    """Everything that one run measured."""

    requests: Sequence[Requests]
    transfers: Sequence[Transfer]
    relay: Relay
    noticed: Noticed
    idle: Idle
    models: Models
    pictures: Pictures
    crowd: Crowd
    downloads: Downloads


def tables(results: Results) -> list[Table]:
    """All figures, then the targets."""
    return [
        _requests(results.requests),
        _transfers(results.transfers),
        _relay(results.relay),
        _noticed(results.noticed),
        idle_table(results.idle),
        models_table(results.models),
        pictures_table(results.pictures),
        _crowd(results.crowd),
        downloads_table(results.downloads),
        targets(results),
    ]


def _requests(found: Sequence[Requests]) -> Table:
    columns = [
        *("GET", "lane", "connections", "direct/s", "gateway/s", "ratio", "nginx/s", "of nginx"),
        *("p50 direct", "p50 nginx", "p50 gateway", "p99 direct", "p99 gateway", "gateway's CPU"),
    ]
    rows = [
        (
            item.name,
            item.lane,
            str(item.connections),
            f"{item.per_second.direct:.0f}",
            f"{item.per_second.gateway:.0f}",
            f"{item.per_second.ratio:.2f}",
            f"{item.nginx_per_second.direct:.0f}",
            f"{item.nginx_per_second.ratio:.2f}",
            *(
                f"{value:.2f} ms"
                for value in (
                    item.p50_ms.direct,
                    item.nginx_p50_ms.direct,
                    item.p50_ms.gateway,
                    item.p99_ms.direct,
                    item.p99_ms.gateway,
                )
            ),
            f"{item.gateway_cpu_us:.0f} µs",
        )
        for item in found
    ]
    own = max(item.own_cpu_us for item in found)
    return Table(
        f"Small requests (the generator itself takes at most {own:.0f} µs of CPU each)",
        columns,
        rows,
    )


def _transfers(found: Sequence[Transfer]) -> Table:
    columns = [
        *("transfer", "lane", "direct MB/s", "gateway MB/s", "ratio"),
        *("gateway's CPU", "peak RSS", "RSS growth", "written to disk"),
    ]
    rows = [
        (
            item.name,
            item.lane,
            *(
                (f"{item.rate.direct:.0f}", f"{item.rate.gateway:.0f}", f"{item.rate.ratio:.2f}")
                if item.rate
                else ("", "", "")
            ),
            f"{item.cpu_seconds:.2f} s",
            f"{item.peak_mb:.0f} MB",
            f"{item.growth_mb:.1f} MB",
            _written(item),
        )
        for item in found
    ]
    return Table(f"{TRANSFER_BYTES // MB} MB at once", columns, rows)


def _written(item: Transfer) -> str:
    return "not counted here" if item.written_mb is None else f"{item.written_mb:.2f} MB"


def _relay(found: Relay) -> Table:
    columns = ("WebSocket", "direct", "gateway", "ratio", "added")
    burst, echo = found.per_second, found.echo_ms
    rows = [
        (
            "burst, messages/s",
            f"{burst.direct:.0f}",
            f"{burst.gateway:.0f}",
            f"{burst.ratio:.2f}",
            "",
        ),
        (
            "echo, p50",
            f"{echo.direct:.2f} ms",
            f"{echo.gateway:.2f} ms",
            "",
            f"{echo.added:.2f} ms",
        ),
    ]
    return Table("The relay, one socket", columns, rows)


def _noticed(found: Noticed) -> Table:
    rows = [
        (f"first byte of an upload, {name}", f"{side.median_ms:.1f} ms", f"{side.worst_ms:.1f} ms")
        for name, side in (("direct", found.direct), ("gateway", found.gateway))
    ]
    rows += [
        (f"client left {case}", _after(statistics.median(times)), _after(max(times)))
        for case, times in found.closed.items()
    ]
    columns = ("what ComfyUI notices, and after how long", "median", "worst")
    return Table("What ComfyUI notices", columns, rows)


def _crowd(found: Crowd) -> Table:
    columns = ("one user beside others", "direct p50", "gateway p50", "direct", "gateway")
    rows = [
        (
            asked.name,
            f"{asked.p50_ms.direct:.2f} ms",
            f"{asked.p50_ms.gateway:.2f} ms",
            f"{asked.answer_bytes.direct / 1000:.0f} kB",
            f"{asked.answer_bytes.gateway / 1000:.0f} kB",
        )
        for asked in found.asked
    ]
    title = f"What others cost (parsing everybody's queue alone: {found.parse_ms:.2f} ms)"
    return Table(title, columns, rows)


def _after(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if math.isfinite(seconds) else "not at all"


def targets(results: Results) -> Table:
    """Each target of the issue, the figure measured, PASS or MISS."""
    rows: list[tuple[str, str, str]] = []

    def judge(name: str, good: bool, figure: str) -> None:
        rows.append((name, figure, "PASS" if good else "MISS"))

    for item in results.requests:
        if item.name == IN_MEMORY:
            continue  # see the page's head
        if item.name == "/queue":
            # Parsed and filtered: no proxy does that.
            found = item.per_second.gateway
            name = f"/queue: 700 requests/s at {item.connections} connections"
            judge(name, found >= 700, f"{found:.0f}")
            continue
        if item.connections == 1:
            added = item.p50_ms.added
            judge(f"{item.name}: at most 1 ms added at 1 connection", added <= 1, f"{added:.2f} ms")
        else:
            ratio = item.per_second.ratio
            name = f"{item.name}: 0.35 of direct at {item.connections} connections"
            judge(name, ratio >= 0.35, f"{ratio:.2f}")
        wanted = OF_NGINX[item.connections]
        ratio = item.nginx_per_second.ratio
        name = f"{item.name}: {wanted} of nginx at {item.connections} connections"
        judge(name, ratio >= wanted, f"{ratio:.2f}")
        if item.connections == 1:
            over = item.nginx_p50_ms.added
            judge(f"{item.name}: at most 0.3 ms over nginx", over <= 0.3, f"{over:.2f} ms")
    for transfer in results.transfers:
        if transfer.rate is not None:
            ratio = transfer.rate.ratio
            judge(f"{transfer.name}: 0.5 of direct MB/s", ratio >= 0.5, f"{ratio:.2f}")
        growth = transfer.growth_mb
        judge(f"{transfer.name}: at most 20 MB more memory", growth <= 20, f"{growth:.1f} MB")
        if transfer.name == "upload" and transfer.written_mb is not None:
            # SQLite notes when a token was used; a spool would be 200 times that.
            judge("upload: no disk spool", transfer.written_mb < 1, _written(transfer))
    first = results.noticed.gateway.median_ms
    judge("upload: first byte upstream within 20 ms", first < 20, f"{first:.1f} ms")
    burst, echo = results.relay.per_second.ratio, results.relay.echo_ms.added
    judge("relay: 0.5 of direct messages/s", burst >= 0.5, f"{burst:.2f}")
    judge("relay: at most 1 ms added to an echo", echo <= 1, f"{echo:.2f} ms")
    for case, times in results.noticed.closed.items():
        worst = max(times)
        judge(f"client left {case}: upstream closed within 0.5 s", worst < 0.5, _after(worst))
    for name, good, figure in idle_targets(results.idle):
        judge(name, good, figure)
    for name, good, figure in models_targets(results.models):
        judge(name, good, figure)
    for name, good, figure in pictures_targets(results.pictures):
        judge(name, good, figure)
    for name, good, figure in downloads_targets(results.downloads):
        judge(name, good, figure)
    return Table("Targets", ("target", "measured", "verdict"), rows)


def machine() -> str:
    """Where and when, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_processor()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"{packages}; load average before the run {load}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def markdown(where: str, found: Sequence[Table]) -> str:
    """The page docs/performance.md."""
    return "\n\n".join([_HEAD, f"Measured {where}.", *(table.markdown() for table in found)]) + "\n"


_HEAD: Final = """\
# Performance

`python -m bench.gateway` starts a simulated ComfyUI and the gateway, one process each, makes the
same load on both in turn (direct, gateway, direct, gateway …) and compares. Figures are medians
over the rounds, a ratio is the median of the rounds' ratios (gateway / direct). Load generators
are raw sockets in a process of their own. The queue holds 20 prompts, of which the caller sees 5.

How to read it: a file costs the simulated ComfyUI more processor time than it costs the gateway
(aiohttp opens each in a thread), so at 16 connections ComfyUI limits all sides; a ratio near or
above 1 says that, not that the gateway is free. `/assets/app.js` comes from the gateway's memory.
nginx (one worker, connections to ComfyUI kept, nothing logged) passes bytes on and looks at
nothing: what it costs is what any proxy costs. `/_bench/bytes` (1 kB from memory) shows the
gateway's own limit; it is no target. On two cores the gateway's side has one process more to share
them than the direct side, which the large transfers feel most; other load lowers their ratio.

How it holds under the load of 200 people, and with much on record:
[performance-load.md](performance-load.md). How fast ComfyUI's page loads:
[performance-frontend.md](performance-frontend.md).

`python -m bench.gateway --markdown docs/performance.md` writes this page."""
