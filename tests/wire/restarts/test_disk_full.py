"""The disk that holds the database and people's files is full: said, survived, nothing lost."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.accounts.acting import session
from tests.cast import ALICE, BOB, CREATE, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import EMBEDDED, Gateway
from tests.prompts import ended, save, submit
from tests.refusals import check_refusal, wait_until

SIZE_MB = 24


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own with little room."""
    folder = tmp_path_factory.mktemp("small-disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        reason = f"needs the right to mount a small disk: {done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def cramped(small_disk: Path, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway whose data lies there."""
    server = Gateway(small_disk / "data", comfy.url, **{EMBEDDED: "1"}).prepare()
    server.log_path = small_disk.with_suffix(".log")
    cast = [(person.username, person.role) for person in (ALICE, BOB)]
    server.namespaces = server.run(CREATE, cast=cast, password=PASSWORD)
    server.start()
    yield server
    server.stop()


def fill(folder: Path) -> Path:
    """Leave no room at all."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def test_full_disk_is_said_and_what_was_acknowledged_stays(
    cramped: Gateway, small_disk: Path
) -> None:
    alice = Client(cramped.url, session(cramped, ALICE))
    prompts = [submit(alice, save()) for _ in range(3)]
    for prompt_id in prompts:
        ended(alice, prompt_id)
    assert alice.post("/userdata/workflows%2Fkept.json", data=b'{"a": 1}').status_code == 200
    assert alice.post("/settings/Comfy.Kept", json="kept").status_code == 200

    filler = fill(small_disk)
    for path, body in (
        ("/userdata/workflows%2Fnew.json", {"data": b"x" * 100_000}),
        ("/userdata/workflows%2Fkept.json", {"data": b"x" * 100_000}),
        ("/prompt", {"json": {"prompt": save()}}),
    ):
        refused = until_full(lambda: alice.post(path, **body), path)  # noqa: B023
        check_refusal(refused, 507, "STORAGE_FULL")
    # Whoever only reads is served.
    assert alice.get("/queue").status_code == 200
    assert alice.get("/userdata/workflows%2Fkept.json").content == b'{"a": 1}'

    filler.unlink()
    known = alice.get("/history").json()
    assert set(prompts) <= known.keys()
    assert alice.get("/settings").json()["Comfy.Kept"] == "kept"
    assert "new.json" not in alice.get("/userdata?dir=workflows").json()
    assert ended(alice, submit(alice, save()))
    assert alice.post("/userdata/workflows%2Fnew.json", data=b"{}").status_code == 200


def until_full(act: Callable[[], object], path: str) -> object:
    """The first answer that is no success: what SQLite's log has room for is still written."""
    for _ in range(300):
        answer = act()
        if answer.status_code != 200:  # type: ignore[attr-defined]
            return answer
    raise AssertionError(f"{path} needs no room")


WRITERS, WRITES = 50, 4


def test_fifty_who_write_at_once_lose_nothing(cramped: Gateway) -> None:
    """Beside another process that writes to the same database all the time."""
    stop = threading.Event()

    def other_process() -> None:
        code = """
from accounts import models
for _ in range(20):
    user = models.User.objects.get(username="bob")
    user.email = str(int(user.email or 0) + 1)
    user.save()
result = int(user.email)
"""
        while not stop.is_set():
            written.append(cramped.run(code))

    written: list[int] = []
    beside = threading.Thread(target=other_process)
    token = session(cramped, ALICE)

    def write(number: int) -> list[int]:
        client = Client(cramped.url, token)
        answers = []
        for turn in range(WRITES):
            name = f"Comfy.Written{number}x{turn}"
            answers.append(client.post(f"/settings/{name}", json=turn).status_code)
        answers.append(client.post("/prompt", json={"prompt": save()}).status_code)
        return answers

    beside.start()
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            answers = list(pool.map(write, range(WRITERS)))
    finally:
        stop.set()
        beside.join()
    assert {status for one in answers for status in one} == {200}
    settings = Client(cramped.url, token).get("/settings").json()
    assert sum(name.startswith("Comfy.Written") for name in settings) == WRITERS * WRITES
    count = "from comfyproxy.models import PromptRecord; result = PromptRecord.objects.count()"
    wait_until(lambda: cramped.run(count) >= WRITERS)
    assert written and written[-1] == 20 * len(written)
