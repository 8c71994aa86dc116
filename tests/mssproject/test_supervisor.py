"""`./run` as a person uses it: start, set up the owner, lose a process, stop."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar

import psutil
import pytest
import requests

from mssproject import demo
from mssproject.supervisor import METRICS_FOLDER, Child
from tests.accounts.acting import session
from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import ROOT, Gateway, free_port, serving
from tests.listener import Listener
from tests.services import own_database
from tests.stack import own_migrated_database, own_redis_url

T = TypeVar("T")

# Several processes start, each from nothing, and beside other tests.
WAIT_SECONDS = 180


class Supervised:
    """The supervisor as a child process, what it prints collected."""

    def __init__(self, arguments: list[str], environ: dict[str, str]) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mssproject.supervisor", *arguments],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        return until(lambda: re.search(pattern, self.output), lambda: self.output)

    def children(self, name: str) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            if name in " ".join(child.cmdline()):
                found.append(child)
        return found

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(WAIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.interrupt()
        assert self.process.stdout is not None
        self._reader.join(5)
        self.process.stdout.close()


def until(look: Callable[[], T | None], explain: Callable[[], str] = str) -> T:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(explain())


@pytest.fixture(scope="module")
def comfy_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("supervised-comfy")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    data = tmp_path_factory.mktemp("supervised") / "data"
    return Gateway(data, f"http://127.0.0.1:{free_port()}").env


@pytest.fixture(scope="module")
def running(environ: dict[str, str]) -> Iterator[Supervised]:
    with Supervised([], environ) as supervised:
        supervised.wait_for(r"The gateway is at (\S+)")
        yield supervised


def test_newcomer_creates_the_owner_through_the_printed_link_once(running: Supervised) -> None:
    link = running.wait_for(r"Create the owner, once, here: (\S+)")[1]
    assert requests.get(link, timeout=10).status_code == 200
    address, _, query = link.partition("?")
    fields = {"username": "newcomer", "password": PASSWORD, "setup_token": query.partition("=")[2]}
    made = requests.post(address, json=fields, timeout=10)
    assert made.status_code == 200
    assert requests.post(address, json=fields, timeout=10).status_code == 404


def test_newcomer_without_comfyui_is_told_and_the_gateway_recovers(
    running: Supervised, environ: dict[str, str], comfy_base: Path
) -> None:
    running.wait_for("ComfyUI does not answer at .* Start it, or set COMFYUI_URL")
    gateway = f"http://127.0.0.1:{environ['MSS_PORT']}"
    login = {"username": "newcomer", "password": PASSWORD}
    token = requests.post(f"{gateway}/login", json=login, timeout=10).json()["jwt_token"]
    headers = {"Authorization": f"Bearer {token}"}
    down = requests.get(f"{gateway}/queue", headers=headers, timeout=10)
    assert (down.status_code, down.json()["code"]) == (502, "UPSTREAM_UNREACHABLE")
    port = int(environ["COMFYUI_URL"].rpartition(":")[2])
    with FakeComfyThread(comfy_base, port=port):
        assert requests.get(f"{gateway}/queue", headers=headers, timeout=10).status_code == 200
        running.wait_for("ComfyUI answers at")


def test_worker_runs_what_is_sent_to_it(
    running: Supervised, environ: dict[str, str], tmp_path: Path
) -> None:
    code = """
from datetime import timedelta
from django.utils import timezone
from accounts.models import Session, User
from accounts.tasks import remove_stale
import mssproject.celery
old = timezone.now() - timedelta(days=99)
Session.objects.create(user=User.objects.get(), created_at=old, expires_at=old)
remove_stale.delay()
"""
    console = Gateway(tmp_path / "unused", environ["COMFYUI_URL"])
    console.env = environ
    count = "from accounts.models import Session; result = Session.objects.count()"
    try:
        before = console.run(count)
        console.run(code)
        until(lambda: console.run(count) == before, lambda: running.output)
    finally:
        console.stop()


def test_downloader_takes_up_what_is_asked_for(
    running: Supervised, environ: dict[str, str], tmp_path: Path
) -> None:
    ask = """
from accounts.models import User
from downloads import wake
from downloads.models import DownloadJob
user = User.objects.get()
job = DownloadJob.objects.create(user=user, target=user, source="civitai", wanted={})
wake.workers()
result = str(job.pk)
"""
    look = "from downloads.models import DownloadJob; result = DownloadJob.objects.get().error"
    console = Gateway(tmp_path / "unused", environ["COMFYUI_URL"])
    console.env = environ
    try:
        console.run(ask)
        # Nothing is set up here, which is what it says.
        until(lambda: "COMFYUI_MODELS_DIR" in console.run(look), lambda: running.output)
    finally:
        console.stop()


def test_killed_web_process_comes_back(running: Supervised, environ: dict[str, str]) -> None:
    (web,) = running.children("mssproject.web")
    os.kill(web.pid, signal.SIGKILL)
    running.wait_for("The web process ended with code -9; starting it again")
    address = f"http://127.0.0.1:{environ['MSS_PORT']}/mss-login/api/is-https"

    def back() -> bool:
        try:
            return requests.get(address, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    until(back, lambda: running.output)


def test_dead_process_counts_on_but_holds_no_socket_open(tmp_path: Path) -> None:
    child = Child("The web process", ["-c", "pass"], {METRICS_FOLDER: str(tmp_path)})
    child.start()
    assert child.process is not None
    sockets, counted = (
        tmp_path / f"{kind}_{child.process.pid}.db" for kind in ("gauge_livesum", "counter")
    )
    sockets.touch()
    counted.touch()
    child.process.wait(10)
    child.tend()
    assert (sockets.exists(), counted.exists()) == (False, True)


def test_monitor_hears_of_web_processes_and_workers(
    running: Supervised, environ: dict[str, str]
) -> None:
    url = f"http://127.0.0.1:{environ['MSS_PORT']}"

    def are_there() -> bool:
        parts = requests.get(f"{url}/readyz", timeout=15).json()
        return (parts["worker"], parts["downloader"]) == ("ok", "ok")

    until(are_there, running.output.__str__)
    text = requests.get(f"{url}/metrics", timeout=15).text
    assert 'mss_up{part="downloader"} 1.0' in text
    # Counted by the workers in their own processes.
    assert "mss_upstream_requests_total" in text


def test_interrupt_stops_every_process(running: Supervised) -> None:
    family = psutil.Process(running.process.pid).children(recursive=True)
    assert len(family) >= 2
    assert running.interrupt() == 0
    # A zombie has ended; whether somebody has asked for its exit code is not our business.
    _, alive = psutil.wait_procs(family, timeout=5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_demo_shows_every_role_and_a_running_comfyui(tmp_path: Path) -> None:
    environ = Gateway(tmp_path / "demo", "").env
    with Supervised(["--demo"], environ) as supervised:
        address = supervised.wait_for(r"The gateway is at (\S+)/")[1]
        supervised.wait_for("ComfyUI answers at")
        for role in demo.ROLES:
            assert role in supervised.output
            login = {"username": role, "password": demo.PASSWORD}
            jwt = requests.post(f"{address}/login", json=login, timeout=10).json()["jwt_token"]
            me = requests.get(
                f"{address}/mss-login/api/me",
                headers={"Authorization": f"Bearer {jwt}"},
                timeout=10,
            )
            assert me.json()["role"] == role
            page = requests.get(address, cookies={"jwt_token": jwt}, timeout=10)
            assert (page.status_code, "<title>ComfyUI</title>" in page.text) == (200, True)


def test_gateway_that_wants_https_is_greeted_all_the_same(
    comfy: FakeComfyThread, tmp_path: Path
) -> None:
    """Its answer to the supervisor's question is the way to https, where only a proxy answers."""
    environ = Gateway(tmp_path / "https", comfy.url, MSS_FORCE_HTTPS="true").env
    with Supervised(["web"], environ) as supervised:
        supervised.wait_for("Create the owner, once, here: ")


def test_taken_port_is_named_before_anything_starts(comfy: FakeComfyThread, tmp_path: Path) -> None:
    environ = Gateway(tmp_path / "data", comfy.url, MSS_PORT=str(comfy.port)).env
    with Supervised([], environ) as supervised:
        assert supervised.process.wait(WAIT_SECONDS) == 1
        assert f"Cannot listen at 127.0.0.1:{comfy.port}" in supervised.output


def test_wrong_environment_is_a_sentence_naming_the_variable(tmp_path: Path) -> None:
    environ = Gateway(tmp_path / "data", "ftp://nowhere", MSS_SESSION_HOURS="soon").env
    with Supervised([], environ) as supervised:
        assert supervised.process.wait(WAIT_SECONDS) == 1
        supervised.wait_for("COMFYUI_URL: must be an address like")
        supervised.wait_for("MSS_SESSION_HOURS: ")
        assert "Traceback" not in supervised.output


def test_web_and_worker_start_apart_and_two_web_processes_share_one_address(
    comfy: FakeComfyThread, tmp_path: Path
) -> None:
    """As on machines of their own: database and Redis are what they have in common."""
    gateway = Gateway(
        tmp_path / "data",
        comfy.url,
        DATABASE_URL=own_migrated_database(),
        REDIS_URL=own_redis_url(),
        MSS_WORKERS="2",
    )
    with (
        Supervised(["web"], gateway.env) as web,
        Supervised(["worker"], gateway.env) as worker,
    ):
        address = web.wait_for(r"The gateway is at (\S+)/")[1]
        worker.wait_for("The workers start")
        assert "setup-token" not in worker.output and "register" not in worker.output
        (first, _) = until(lambda: web.children("mssproject.web"), lambda: web.output)
        until(lambda: len(worker.children("celery")) == 2, lambda: worker.output)
        assert web.children("celery") == worker.children("mssproject.web") == []
        os.kill(first.pid, signal.SIGKILL)
        # Nobody notices: the other answers meanwhile.
        for _ in range(20):
            assert requests.get(f"{address}/mss-login/api/is-https", timeout=5).status_code == 200
        web.wait_for("Web process . ended with code -9; starting it again")
        until(lambda: len(web.children("mssproject.web")) == 2, lambda: web.output)
        # What is due is done: beat, the worker and Redis work together.
        count = "from comfyproxy.models import Backend; result = Backend.objects.count()"
        until(lambda: gateway.run(count) == 1, lambda: worker.output)
        gateway.stop()
        assert (web.interrupt(), worker.interrupt()) == (0, 0)


def test_machines_that_start_at_once_make_the_tables_once(
    comfy: FakeComfyThread, tmp_path: Path
) -> None:
    with own_database() as database:
        started = [
            subprocess.Popen(
                [sys.executable, "manage.py", "prepare", "--worker"],
                cwd=ROOT,
                env=Gateway(tmp_path / name, comfy.url, DATABASE_URL=database).env,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name in ("one", "other")
        ]
        said = [process.communicate(timeout=WAIT_SECONDS)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said


def test_asked_to_stop_it_ends_what_is_under_way_and_lets_nobody_wait(
    comfy: FakeComfyThread, tmp_path: Path
) -> None:
    """Within 30 s: an answer that is being taken goes out whole, sockets are told to come back."""
    with serving(tmp_path / "drain", comfy.url, (ALICE,)) as gateway:
        alice = Client(gateway.url, session(gateway, ALICE))
        size = 30 * 1024 * 1024
        name = big_upload(alice, size)
        with (
            Listener(alice) as socket,
            alice.get("/view", params=name, stream=True) as download,
        ):
            taken = len(download.raw.read(1024 * 1024))
            asked = time.monotonic()
            gateway.processes[0].terminate()
            assert socket.close_code(5) == 1012
            while piece := download.raw.read(1024 * 1024):
                taken += len(piece)
                time.sleep(0.05)
            assert taken == size
        assert gateway.processes[0].wait(30) in (0, -signal.SIGTERM)
        assert time.monotonic() - asked < 30


def big_upload(client: Client, size: int) -> dict[str, str]:
    """An input file of the client's; as /view names it."""
    files = {"image": ("big.bin", b"x" * size)}
    answer = client.post("/upload/image", files=files).json()
    return {"filename": answer["name"], "subfolder": answer["subfolder"], "type": answer["type"]}
