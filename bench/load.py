"""Does it hold? `python -m bench.load [--minutes 10] [--services] [--markdown FILE]`.

200 people poll queue and history and have a socket open each, 20 prompts a second go into the
simulated ComfyUI, 5 models are downloaded all the time. Prints errors, latencies and, minute by
minute, the memory of each process. `--services`: PostgreSQL, Redis and two web processes instead of
SQLite and one.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psutil

from bench import report
from bench.frontend import comfyui
from bench.loadmaker import Seen, Wish, make_load
from bench.rawhttp import percentile
from bench.table import Table
from tests import forkserver
from tests.downloadworker import DownloadWorker
from tests.gateway import ROOT, Gateway
from tests.stack import services

forkserver.is_used = False
USERS: Final = 200
PROMPTS_PER_SECOND: Final = 20.0
DOWNLOADS: Final = 5
MODEL_BYTES: Final = 200_000_000
# Of all downloads together.
MODEL_RATE: Final = 20_000_000
MOST_P99_MS: Final = 250.0
# The processes' memory at the end against what it was after two minutes.
WARM_MINUTES: Final = 2
MOST_GROWTH: Final = 1.1
SAMPLE_SECONDS: Final = 15.0

PREPARE: Final = """
from accounts import proofs, services
services.create_owner(username="owner", password="correct-Horse-9-battery")
result = []
for number in range(users):
    user = services.create_user(
        username=f"user{number}", password="correct-Horse-9-battery", role="power", actor=None)
    token = proofs.create_api_token(
        user, label="load", scopes=None, expires_at=None, actor=user)[1]
    result.append(token)
"""


def main() -> None:
    """Measure and print; exit code 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--services", action="store_true")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    where = report.machine()
    with ExitStack() as stack:
        gateway, tokens = _stage(stack, arguments.users, arguments.services)
        wish = Wish(
            url=gateway.url,
            tokens=tokens,
            downloaders=tokens[:DOWNLOADS],
            prompts_per_second=PROMPTS_PER_SECOND,
            seconds=arguments.minutes * 60,
        )
        worker = stack.enter_context(DownloadWorker(gateway))
        watched = {f"web {n + 1}": p.pid for n, p in enumerate(gateway.processes)}
        memory = Memory({**watched, "downloader": worker.pid})
        context = multiprocessing.get_context("spawn")
        pool = stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, mp_context=context))
        making = pool.submit(make_load, wish)
        while not making.done():
            memory.sample()
            concurrent.futures.wait([making], SAMPLE_SECONDS)
        seen = making.result()
    stands_on = (
        "PostgreSQL, Redis, two web processes" if arguments.services else "SQLite, one web process"
    )
    title = f"{arguments.users} people for {arguments.minutes:g} minutes ({stands_on})"
    tables = [requests_table(seen, title), memory.table(), targets_table(seen, memory)]
    for table in tables:
        print(f"\n{table.text()}")
    if arguments.markdown is not None:
        arguments.markdown.write_text("\n\n".join([where, *(t.markdown() for t in tables)]) + "\n")
    sys.exit(any(row[-1] == "FAIL" for row in tables[-1].rows))


def _stage(stack: ExitStack, users: int, on_services: bool) -> tuple[Gateway, list[str]]:
    """A gateway in front of a simulated ComfyUI, and tokens of its users."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mss-load-")))
    models = folder / "models"
    models.mkdir()
    comfy = stack.enter_context(comfyui(folder / "comfy", "auto"))
    hub = stack.enter_context(_hub(folder))
    env = {
        "COMFYUI_MODELS_DIR": str(models),
        "HF_ENDPOINT": f"http://127.0.0.1:{hub}",
        **(services() if on_services else {}),
    }
    gateway = Gateway(folder / "data", comfy, **env).prepare()
    stack.callback(gateway.stop)
    tokens: list[str] = gateway.run(PREPARE, users=users)
    return gateway.start(), tokens


@contextmanager
def _hub(folder: Path) -> Iterator[int]:
    """A site with one model, which it hands out slowly."""
    source = folder / "large.safetensors"
    entry = {"dtype": "U8", "shape": [MODEL_BYTES], "data_offsets": [0, MODEL_BYTES]}
    header = json.dumps({"weight": entry}).encode()
    with source.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + MODEL_BYTES)
    command = [sys.executable, "-m", "bench.hub", str(source), str(MODEL_RATE // DOWNLOADS)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


class Memory:
    """Resident MB of some processes, sampled now and then."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._started = time.monotonic()
        self.samples: list[tuple[float, dict[str, float]]] = []

    def sample(self) -> None:
        """Note what they have now."""
        found = {name: p.memory_info().rss / 1e6 for name, p in self._processes.items()}
        self.samples.append(((time.monotonic() - self._started) / 60, found))

    def growth(self) -> float:
        """The most that any of them has at the end, as a multiple of what it had when warm."""
        warm = next((s for at, s in self.samples if at >= WARM_MINUTES), self.samples[0][1])
        end = self.samples[-1][1]
        return max(end[name] / warm[name] for name in end)

    def table(self) -> Table:
        """A row a minute."""
        rows, next_at = [], 0.0
        for at, found in self.samples:
            if at >= next_at or found is self.samples[-1][1]:
                rows.append([f"{at:.1f} min", *(f"{mb:.0f} MB" for mb in found.values())])
                next_at += 1
        return Table("Memory", ["after", *self._processes], rows)


def requests_table(seen: Seen, title: str) -> Table:
    """Each kind of request."""
    rows = []
    for kind, found in seen.latencies.items():
        values = sorted(found)
        rows.append(
            [kind, str(len(values)), *(f"{percentile(values, p):.0f} ms" for p in (0.5, 0.99))]
        )
    return Table(title, ["request", "number", "p50", "p99"], rows)


def targets_table(seen: Seen, memory: Memory) -> Table:
    """What must hold."""
    small = sorted(
        ms for kind, found in seen.latencies.items() if kind != "download" for ms in found
    )
    p99 = percentile(small, 0.99)
    errors = ", ".join(f"{name} (x{n})" for name, n in seen.errors.items()) or "none"
    lost = seen.acknowledged - seen.ended
    checks: Sequence[tuple[str, str, bool]] = (
        ("no error", errors, not seen.errors),
        ("every prompt's end was heard", f"{lost} of {seen.acknowledged} not", lost == 0),
        ("p99 of small requests at most 250 ms", f"{p99:.0f} ms", p99 <= MOST_P99_MS),
        ("memory flat", f"x {memory.growth():.2f}", memory.growth() <= MOST_GROWTH),
        ("downloads", str(dict(seen.downloads)), set(seen.downloads) <= {"completed"}),
    )
    rows = [[what, figure, "PASS" if ok else "FAIL"] for what, figure, ok in checks]
    return Table("Targets", ["target", "measured", "verdict"], rows)


if __name__ == "__main__":
    main()
