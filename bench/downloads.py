"""A large model downloaded by a worker, beside `curl` fetching the same file."""

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.hub import STORED
from bench.measures import Compared, Plan, compared
from bench.stage import Stage
from bench.table import Table
from bench.watch import MB, Watch
from tests.downloadworker import DownloadWorker
from tests.gateway import ROOT, Gateway

FULL_BYTES: Final = 2_000_000_000
QUICK_BYTES: Final = 200_000_000
_BLOCK: Final = 64 * 1024 * 1024
_API: Final = "/mss-login/api/model-download"
_WISH: Final = {
    "source": "huggingface",
    "repo_id": "bench/model",
    "filename": "large.safetensors",
    "folder_type": "checkpoints",
}
_MOST_SECONDS: Final = 300


@dataclass(frozen=True)
class Downloads:
    """MB/s of both, and what the worker took."""

    size_mb: float
    rate: Compared
    idle_mb: float
    peak_mb: float
    cpu_seconds: float


def downloads(stage: Stage, plan: Plan) -> Downloads:
    """The same file again and again: by `curl`, by a job."""
    size = FULL_BYTES if plan.rounds > 1 else QUICK_BYTES
    source = stage.folder / "large.safetensors"
    _write_model(source, size)
    models = stage.folder / "models"
    models.mkdir()
    rounds, idle, peaks, cpu = [], 0.0, [], []
    with (
        _hub(source) as port,
        stage.gateway_with(
            COMFYUI_MODELS_DIR=str(models),
            HF_ENDPOINT=f"http://127.0.0.1:{port}",
            CIVITAI_URL=f"http://127.0.0.1:{port}",
        ) as gateway,
        DownloadWorker(gateway) as worker,
    ):
        for _ in range(3 if plan.rounds > 1 else 1):
            direct = _by_curl(port, stage.folder / "by-curl")
            with Watch(worker.pid) as watch:
                seconds = _by_job(gateway, stage.token)
            idle = idle or watch.before_mb
            peaks.append(watch.peak_mb)
            cpu.append(watch.cpu_seconds)
            rounds.append((size / direct / MB, size / seconds / MB))
            for path in models.rglob("large*"):
                path.unlink()
    return Downloads(
        size_mb=size / MB,
        rate=compared(rounds),
        idle_mb=idle,
        peak_mb=max(peaks),
        cpu_seconds=statistics.median(cpu),
    )


def _write_model(path: Path, size: int) -> None:
    entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"weight": entry}).encode()
    block = Path("/dev/urandom").open("rb").read(_BLOCK)  # noqa: SIM115 - read at once
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        left = size
        while left:
            left -= file.write(block[:left])


@contextmanager
def _hub(path: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "bench.hub", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


def _by_curl(port: int, target: Path) -> float:
    """Seconds, until the bytes are on the disk: a download that is reported is."""
    address = f"http://127.0.0.1:{port}{STORED}"
    begin = time.monotonic()
    subprocess.run(["curl", "-sS", "-o", str(target), address], check=True)
    subprocess.run(["sync", str(target)], check=True)
    seconds = time.monotonic() - begin
    target.unlink()
    return seconds


def _by_job(gateway: Gateway, token: str) -> float:
    """Seconds from its start to its end, as the job itself says."""
    job_id = _ask(gateway, token, "/download", _WISH)["job_id"]
    deadline = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < deadline:
        job = _ask(gateway, token, f"/jobs/{job_id}")["job"]
        if not job["can_cancel"]:
            if job["status"] != "completed":
                raise RuntimeError(job["error"])
            return float(job["elapsed"])
        time.sleep(0.5)
    raise TimeoutError(job_id)


def _ask(gateway: Gateway, token: str, path: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{gateway.url}{_API}{path}", data=data, headers=headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def table(found: Downloads) -> Table:
    """The figures."""
    rate = found.rate
    rows = [
        ("rate, MB/s", f"{rate.direct:.0f}", f"{rate.gateway:.0f}", f"{rate.ratio:.2f}"),
        ("worker's memory, idle", "", f"{found.idle_mb:.0f} MB", ""),
        ("worker's memory, at most", "", f"{found.peak_mb:.0f} MB", ""),
        ("worker's processor time", "", f"{found.cpu_seconds:.1f} s", ""),
    ]
    title = f"A model of {found.size_mb:.0f} MB, downloaded by a worker"
    return Table(title, ("download", "curl", "gateway", "ratio"), rows)


def targets(found: Downloads) -> Iterator[tuple[str, bool, str]]:
    """Each target: what, whether it is met, the figure."""
    ratio, growth = found.rate.ratio, found.peak_mb - found.idle_mb
    yield "download of a model: 0.7 of curl's rate", ratio >= 0.7, f"{ratio:.2f}"
    yield "download of a model: at most 60 MB more memory", growth <= 60, f"{growth:.0f} MB"
