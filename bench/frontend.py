"""Loading ComfyUI's page: `python -m bench.frontend [--rounds N] [--root …] [--markdown …]`.

A Chromium opens the page of the simulated ComfyUI, which ships the real frontend, directly and
through the gateway in turn: cold (an empty browser), and again in the same browser; on loopback and
over a link of 20 Mbit/s. Prints bytes, requests and seconds until the page can be used. Most of
these seconds the browser takes for itself: the same files are also fetched by a plain client over
six connections, as a browser would, but without running them. `--root`: the files of another
version than the installed one.
"""

import argparse
import concurrent.futures
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.sync_api import Browser, Page

from bench import report
from bench.fetching import Fetched, fetch_twice
from bench.table import Table
from tests.accounts.acting import session
from tests.cast import POWER
from tests.chromium import chromium, log_in
from tests.client import Client
from tests.comfypage import PREFERENCES
from tests.frontendpage import NO_NETWORK, READY
from tests.gateway import ROOT, serving

LINK_BYTES: Final = 20 * 1_000_000 / 8
LATENCY_MS: Final = 10
LINKS: Final = ("loopback", "20 Mbit/s")
LOADS: Final = ("cold", "again")
# (link, load, what) → the gateway's part of direct's, of the files, at most.
TARGETS: Final = {
    ("loopback", "cold", "bytes"): 0.3,
    ("loopback", "cold", "seconds"): 1.0,
    ("20 Mbit/s", "cold", "seconds"): 0.35,
    ("loopback", "again", "seconds"): 0.5,
    ("20 Mbit/s", "again", "seconds"): 0.5,
}
_HEAD: Final = """\
# Loading ComfyUI's page

ComfyUI's frontend is some hundred small modules, which ComfyUI sends uncompressed and has browsers
ask for again each time. The gateway keeps them in memory, compressed once (brotli or gzip,
as the browser takes it), and has them revalidated by ETag.

`python -m bench.frontend --markdown docs/performance-frontend.md` writes this page: the simulated
ComfyUI ships the real frontend, direct and through the gateway in turn, medians. First the files
alone, by a plain client over six connections, as a browser would fetch them; for these there are
targets. Then the page in a Chromium, until it can be used: there two to three seconds go into
running it, on either side, and Chromium unpacks what came compressed. Beside the files the
gateway's page loads the extension that shows people their account, limits and models."""


@dataclass
class Load:
    """One load of the page: until it can be used."""

    seconds: float = 0.0
    bytes: int = 0
    requests: int = 0


STATIC: Final = ("/assets/", "/extensions/", "/scripts/", "/lib/", "/fonts/", "/cursor/")


Loads = dict[tuple[str, str, str], list[Load]]
"""(side, link, load) → rounds."""


@contextmanager
def comfyui(folder: Path, frontend: str) -> Iterator[str]:
    """A simulated ComfyUI in a process of its own; its address."""
    command = [sys.executable, "-m", "tests.fakecomfy", "--port", "0", "--seed"]
    command += ["--base-dir", str(folder), "--frontend", frontend]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().rpartition(" ")[2].strip()
    finally:
        process.terminate()
        process.wait(10)


def loads(browser: Browser, url: str, jwt: str | None, link: str) -> tuple[Load, Load]:
    """The page opened in an empty browser, and once more."""
    with browser.new_context(proxy=NO_NETWORK, reduced_motion="reduce") as context:
        page = context.new_page()
        if jwt is not None:
            log_in(page, url, jwt)
        wire = context.new_cdp_session(page)
        wire.send("Network.enable")
        if link != "loopback":
            wire.send(
                "Network.emulateNetworkConditions",
                {
                    "offline": False,
                    "latency": LATENCY_MS,
                    "downloadThroughput": LINK_BYTES,
                    "uploadThroughput": LINK_BYTES,
                },
            )
        counted = Load()

        def finished(event: dict[str, Any]) -> None:
            counted.bytes += int(event["encodedDataLength"])
            counted.requests += event["encodedDataLength"] > 0

        wire.on("Network.loadingFinished", finished)
        return _load(page, url, counted), _load(page, url, counted)


def _load(page: Page, url: str, counted: Load) -> Load:
    counted.bytes = counted.requests = 0
    started = time.perf_counter()
    if page.url.startswith(url):
        page.reload()
    else:
        page.goto(url)
    page.wait_for_function(READY, timeout=120_000)
    seconds = time.perf_counter() - started
    page.wait_for_timeout(1500)
    return Load(seconds, counted.bytes, counted.requests)


def measured(browser: Browser, direct: str, gateway: str, jwt: str, rounds: int) -> Loads:
    """Both sides in turn."""
    found: Loads = {}
    for _ in range(rounds):
        for link in LINKS:
            for side, url, token in (("direct", direct, None), ("gateway", gateway, jwt)):
                for name, load in zip(LOADS, loads(browser, url, token, link), strict=True):
                    found.setdefault((side, link, name), []).append(load)
    return found


def table(found: Mapping[tuple[str, str, str], Sequence[Load | Fetched]], title: str) -> Table:
    """Medians, and the gateway's part of direct's."""
    rows = []
    for link in LINKS:
        for name in LOADS:
            sides = [found[side, link, name] for side in ("direct", "gateway")]
            seconds = [median(load.seconds for load in loads) for loads in sides]
            size = [median(load.bytes for load in loads) / 1e6 for loads in sides]
            requests = [median(load.requests for load in loads) for loads in sides]
            rows.append(
                [
                    f"{name}, {link}",
                    *(f"{value:.2f} s" for value in seconds),
                    f"{seconds[1] / seconds[0]:.2f}",
                    *(f"{value:.2f} MB" for value in size),
                    f"{size[1] / size[0]:.2f}",
                    *(f"{value:.0f}" for value in requests),
                ]
            )
    sides_of = ("direct", "gateway", "ratio")
    columns = ["load", *sides_of, *(f"{side} bytes" for side in sides_of), "requests", "…"]
    return Table(title, columns, rows)


def targets_table(found: Mapping[tuple[str, str, str], Sequence[Fetched]]) -> Table:
    """What is wanted of the files, and what was measured."""
    rows = []
    for (link, name, what), most in TARGETS.items():
        direct, gateway = (
            median(getattr(load, what) for load in found[side, link, name])
            for side in ("direct", "gateway")
        )
        ratio = gateway / direct
        wanted = f"{name}, {link}: at most {most:g} of direct's {what}"
        rows.append([wanted, f"{ratio:.2f}", "PASS" if ratio <= most else "MISS"])
    return Table("Targets", ["target", "measured", "verdict"], rows)


def asked_for(browser: Browser, url: str) -> list[str]:
    """The frontend's files that the page asks ComfyUI for."""
    found: list[str] = []
    with browser.new_context(proxy=NO_NETWORK) as context:
        page = context.new_page()
        page.on("request", lambda request: found.append(request.url.removeprefix(url)))
        _load(page, url, Load())
    return ["/", *dict.fromkeys(path for path in found if path.startswith(STATIC))]


def fetched(
    direct: str, gateway: str, token: str, paths: list[str], rounds: int
) -> dict[tuple[str, str, str], list[Fetched]]:
    """Both sides in turn, by a client in a process of its own."""
    found: dict[tuple[str, str, str], list[Fetched]] = {}
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for _ in range(rounds):
            for link, rate in zip(LINKS, (None, LINK_BYTES), strict=True):
                for side, url, jwt in (("direct", direct, None), ("gateway", gateway, token)):
                    both = pool.submit(fetch_twice, url, jwt, paths, rate).result(120)
                    for name, one in zip(LOADS, both, strict=True):
                        found.setdefault((side, link, name), []).append(one)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.frontend", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--root", default="auto")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    where = report.machine()
    with (
        tempfile.TemporaryDirectory(prefix="mss-bench-") as name,
        comfyui(Path(name) / "comfy", arguments.root) as direct,
        serving(Path(name) / "gateway", direct, (POWER,)) as gateway,
        chromium() as browser,
    ):
        jwt = session(gateway, POWER)
        for url, token in ((direct, None), (gateway.url, jwt)):
            Client(url, token).post("/api/settings", json=PREFERENCES)
        paths = asked_for(browser, direct)
        files = fetched(direct, gateway.url, jwt, paths, arguments.rounds)
        alone = table(files, f"{len(paths)} files of ComfyUI's page, fetched")
        wanted = targets_table(files)
        print(f"{alone.text()}\n\n{wanted.text()}\n", flush=True)
        found = measured(browser, direct, gateway.url, jwt, arguments.rounds)
    whole = table(found, "ComfyUI's page, in a Chromium")
    print(whole.text())
    if arguments.markdown is not None:
        parts = [_HEAD, f"Measured {where}.", *(t.markdown() for t in (alone, wanted, whole))]
        arguments.markdown.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
