"""What is measured: fakecomfy and the gateway, each in its own process, with one user."""

import concurrent.futures
import json
import multiprocessing
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeVar

from PIL import Image

from bench.nginx import nginx
from bench.watch import counts_writes
from tests import forkserver
from tests.gateway import ROOT, Gateway, free_port

forkserver.is_used = False

P = ParamSpec("P")
T = TypeVar("T")

# Prompts waiting in ComfyUI; every fourth is the measured user's.
QUEUED: Final = 20
LONGEST_MEASUREMENT_SECONDS: Final = 120

_PREPARE: Final = """
from accounts import proofs, services
from comfyproxy.models import PromptRecord
from comfyproxy.paths import canonical
from comfyproxy.routes import TABLE

services.create_owner(username="owner", password=password)
users = [
    services.create_user(username=name, password=password, role="power", actor=None)
    for name in ("bench", "other")
]
token = proofs.create_api_token(
    users[0], label="bench", scopes=None, expires_at=None, actor=users[0]
)[1]
for number, prompt_id in enumerate(prompt_ids):
    PromptRecord.objects.create(
        prompt_id=prompt_id,
        user=users[0] if number % 4 == 0 else users[1],
        client_id="bench",
        number=number,
        state=PromptRecord.State.ACCEPTED,
    )
result = {
    "token": token,
    "namespace": users[0].namespace,
    "lanes": {
        f"{method} {path}": TABLE.match(method, canonical(path.encode())).rule.lane.value
        for method, path in routes
    },
}
"""
_RECORD: Final = """
from accounts.models import User
from comfyproxy.models import PromptRecord

user = User.objects.get(username=username)
PromptRecord.objects.bulk_create(
    PromptRecord(prompt_id=pid, user=user, number=number, client_id="bench", state=state)
    for number, pid in enumerate(prompt_ids)
)
result = None
"""
_GIVE: Final = """
from secrets import token_hex
from accounts import granting, models, proofs

result = []
for number, items in enumerate(grants):
    user = models.User(username=f"given-{number}-{token_hex(4)}", role_id="user")
    user.set_unusable_password()
    user.save()
    granting.grant(user, [granting.item(*each) for each in items], actor=None)
    result.append(proofs.start_session(user, ip=None, user_agent="bench")[1])
"""
ROUTES: Final = (
    ("GET", "/assets/app.js"),
    ("GET", "/view"),
    ("GET", "/queue"),
    ("GET", "/_bench/bytes"),
    ("POST", "/upload/image"),
)


class Stage:
    """Starts everything, and stops it at the end, also after an error.

    `direct` and `gateway.port` are the two ports to compare, `nginx` a third beside them; `lanes`
    says which lane serves each of ROUTES; `prompt_id` is a prompt of the user; `image` the address
    of a picture.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="mss-bench-", ignore_cleanup_errors=True)
        self.folder = Path(self._stack.enter_context(folder))
        self.counts_writes = counts_writes(self.folder)
        self.direct = self._start_comfy(self.folder / "comfy")
        self.nginx = self._stack.enter_context(nginx(self.folder / "nginx", self.direct))
        prompt_ids = self._queued_prompts()
        self.prompt_id: str = prompt_ids[0]
        self._data = self.folder / "data"
        self.gateway = self._make_gateway(self.direct).prepare()
        found = self.gateway.run(
            _PREPARE, password="correct-Horse-9-battery", prompt_ids=prompt_ids, routes=ROUTES
        )
        self.token: str = found["token"]
        self.lanes: dict[str, str] = found["lanes"]
        self.image = self._plant_image(found["namespace"])
        self.gateway.start()
        # A generator of load must not share a processor with what it measures, nor its lock.
        self._workers = concurrent.futures.ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn")
        )
        self._stack.callback(self._workers.shutdown, cancel_futures=True)

    def _make_gateway(self, upstream_port: int) -> Gateway:
        gateway = Gateway(self._data, f"http://127.0.0.1:{upstream_port}", TMPDIR=str(self.folder))
        self._stack.callback(gateway.stop)
        return gateway

    def second_gateway(self) -> tuple[Gateway, int]:
        """Another gateway with the same users, and the port where it looks for ComfyUI."""
        upstream_port = free_port()
        return self._make_gateway(upstream_port).start(), upstream_port

    @contextmanager
    def just_started(self) -> Iterator[Gateway]:
        """One more gateway with the same users and the same ComfyUI, for as long as it is
        needed."""
        gateway = Gateway(self._data, f"http://127.0.0.1:{self.direct}", TMPDIR=str(self.folder))
        try:
            yield gateway.start()
        finally:
            gateway.stop()

    @contextmanager
    def gateway_with(self, **env: str) -> Iterator[Gateway]:
        """One more gateway with the same users and these settings."""
        upstream = f"http://127.0.0.1:{self.direct}"
        gateway = Gateway(self._data, upstream, TMPDIR=str(self.folder), **env)
        try:
            yield gateway.start()
        finally:
            gateway.stop()

    def measure(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in the process that makes load."""
        future = self._workers.submit(function, *args, **kwargs)
        return future.result(LONGEST_MEASUREMENT_SECONDS)

    def fill_models(self, models: int, size: int) -> None:
        """That many models, and node classes until `/object_info` has so many bytes."""
        self._ask_comfy("/_bench/models", json.dumps({"models": models, "bytes": size}).encode())

    def people_with_models(self, grants: list[list[tuple[str, str]]]) -> list[str]:
        """Tokens of new users, one for each list of what they are given."""
        return list(self.gateway.run(_GIVE, grants=grants))

    def fill_queue(self, foreign: int) -> None:
        """So many more waiting prompts, all of the other user's."""
        known = {item[1] for item in self._ask_comfy("/queue")["queue_pending"]}
        self._ask_comfy("/_bench/seed", json.dumps({"pending": foreign, "history": 0}).encode())
        ids = [item[1] for item in self._ask_comfy("/queue")["queue_pending"]]
        self._record([pid for pid in ids if pid not in known], "other", "accepted")

    def fill_history(self, count: int, own: int) -> None:
        """So many more history entries; `own` of them, spread among them, are the user's."""
        known = set(self._ask_comfy("/history"))
        self._ask_comfy("/_bench/seed", json.dumps({"pending": 0, "history": count}).encode())
        ids = [pid for pid in self._ask_comfy("/history") if pid not in known]
        mine = set(ids[:: len(ids) // own][:own])
        self._record(sorted(mine), "bench", "success")
        self._record([pid for pid in ids if pid not in mine], "other", "success")

    def _record(self, prompt_ids: list[str], username: str, state: str) -> None:
        self.gateway.run(_RECORD, prompt_ids=prompt_ids, username=username, state=state)

    def ask_comfy_raw(self, path: str) -> bytes:
        """ComfyUI's answer as it stands."""
        return self.raw(self.direct, path)

    def answer_bytes(self, port: int, path: str) -> int:
        """How long one side's answer to the user is."""
        return len(self.raw(port, path))

    def raw(self, port: int, path: str, **headers: str) -> bytes:
        """One side's answer to the user, as it is sent."""
        url = f"http://127.0.0.1:{port}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {self.token}"
        asked = urllib.request.Request(url, headers=named)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return bytes(answer.read())

    def _start_comfy(self, base: Path) -> int:
        log = self._stack.enter_context(base.with_suffix(".log").open("w"))
        options = ("--bench", "--port", "0", "--max-upload-size", str(1_000_000_000))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakecomfy", *options, "--base-dir", str(base)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self._stack.callback(_end, process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(base.with_suffix(".log").read_text())
        return int(line.rpartition(":")[2])

    def _queued_prompts(self) -> list[str]:
        wish = json.dumps({"count": QUEUED}).encode()
        self._ask_comfy("/_bench/seed", wish)
        return [item[1] for item in self._ask_comfy("/queue")["queue_pending"]]

    def _ask_comfy(self, path: str, body: bytes | None = None) -> Any:
        url = f"http://127.0.0.1:{self.direct}{path}"
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            return json.load(answer)

    def _plant_image(self, namespace: str) -> str:
        folder = self.folder / "comfy" / "output" / namespace
        folder.mkdir(parents=True)
        # Noise does not compress: about 16 kB.
        Image.effect_noise((128, 128), 80).save(folder / "bench.png")
        return f"/view?filename=bench.png&subfolder={namespace}&type=output"


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
