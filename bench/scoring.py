"""How many pictures OpenNSFW scores in a second on one core: `python -m bench.scoring`."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from PIL import Image

from comfyproxy.nsfw.config import ClassifierConfig
from comfyproxy.nsfw.scorer import Scorer

SIDE: Final = 1024
_SECONDS: Final = 3.0
_MB: Final = 1024**2


@dataclass(frozen=True)
class Figure:
    """Of one format: pictures a second, decoding included, and the process's memory in MB."""

    format: str
    rate: float
    memory: float
    address_space: float


def measure(seconds: float = _SECONDS) -> tuple[float, list[Figure]]:
    """How many seconds the process takes to start, and the figures."""
    scorer = Scorer(ClassifierConfig("opennsfw"))
    started = time.perf_counter()
    scorer.identity()
    start = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        found = [_figure(scorer, path, seconds) for path in _pictures(Path(folder))]
    scorer.close()
    return start, found


def _pictures(folder: Path) -> list[Path]:
    """Smooth with some noise, about as large as what ComfyUI makes."""
    smooth = Image.radial_gradient("L").resize((SIDE, SIDE))
    bands = [Image.blend(smooth, Image.effect_noise(smooth.size, 40), 0.2) for _ in range(3)]
    picture = Image.merge("RGB", bands)
    paths = [folder / "picture.png", folder / "picture.jpg"]
    # ComfyUI's SaveImage compresses with level 4.
    picture.save(paths[0], compress_level=4)
    picture.save(paths[1], quality=90)
    return paths


def _figure(scorer: Scorer, path: Path, seconds: float) -> Figure:
    scorer.score(path)
    assert scorer.pid is not None
    process = psutil.Process(scorer.pid)
    process.cpu_affinity([min(os.sched_getaffinity(0))])
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        assert scorer.score(path).score is not None
        count += 1
    rate = count / (time.perf_counter() - started)
    memory = process.memory_info()
    return Figure(path.suffix, rate, memory.rss / _MB, memory.vms / _MB)


def main() -> None:
    """Measure and print."""
    start, figures = measure()
    print(f"start {start:.2f} s")
    for each in figures:
        print(
            f"{SIDE}² {each.format}  {each.rate:5.1f} pictures/s on one core, "
            f"{each.memory:.0f} MB ({each.address_space:.0f} MB of address space)"
        )


if __name__ == "__main__":
    main()
