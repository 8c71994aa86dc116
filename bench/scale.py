"""Does a request cost the same however much there is? `python -m bench.scale [--markdown FILE]`.

The same person asks two gateways for the same things: one with 10 users and 100 prompts on record,
one with 10,000 users and 1,000,000. In turn, so that a slow second of the machine counts on both
sides. `--services`: PostgreSQL and Redis instead of SQLite.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
import urllib.parse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import report
from bench.frontend import comfyui
from bench.table import Table
from tests import forkserver
from tests.gateway import Gateway
from tests.prompts import save
from tests.stack import services

forkserver.is_used = False
SIZES: Final = ((10, 100), (10_000, 1_000_000))
ROUNDS: Final = 15
REQUESTS: Final = 20
# Of the median; below that it is the machine's noise.
MOST: Final = 1.25
# Each person has ten.
_FILL: Final = """
import uuid
from datetime import timedelta
from django.utils import timezone
from accounts import models, proofs, services
from comfyproxy.models import PromptRecord

services.create_owner(username="owner", password="correct-Horse-9-battery")
bench = services.create_user(
    username="bench", password="correct-Horse-9-battery", role="power", actor=None)
models.User.objects.bulk_create(
    (models.User(username=f"user-{n}", role_id="user", password="!") for n in range(users - 2)),
    batch_size=1000)
ids = list(models.User.objects.values_list("pk", flat=True))
now = timezone.now()

def rows(start, count):
    for n in range(start, start + count):
        yield PromptRecord(prompt_id=uuid.uuid4(), user_id=ids[n % len(ids)], number=n // len(ids),
            client_id="bench", state="success", listed=False,
            created_at=now - timedelta(seconds=prompts - n))

for start in range(0, prompts, 10_000):
    PromptRecord.objects.bulk_create(rows(start, min(10_000, prompts - start)), batch_size=1000)
result = proofs.create_api_token(
    bench, label="bench", scopes=None, expires_at=None, actor=bench)[1]
"""


@dataclass(frozen=True)
class Asked:
    """A request, and what it is called in the table."""

    name: str
    method: str
    path: str
    body: bytes = b""


ASKED: Final = (
    Asked("who am I", "GET", "/mss-login/api/me"),
    Asked("the queue", "GET", "/queue"),
    Asked("the newest of the history", "GET", "/history?max_items=64"),
    Asked("the jobs", "GET", "/api/jobs?limit=20"),
    Asked("a picture that is not there", "GET", "/view?filename=none.png"),
    Asked("the nodes", "GET", "/object_info/KSampler"),
    Asked("send a prompt", "POST", "/prompt", json.dumps({"prompt": save(color=7)}).encode()),
)


class Side:
    """One of the gateways, and a connection to it."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self.gateway = gateway
        parts = urllib.parse.urlsplit(gateway.url)
        self._connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, asked: Asked) -> float:
        """Milliseconds until the whole answer was there."""
        began = time.perf_counter()
        self._connection.request(asked.method, asked.path, asked.body or None, self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        taken = (time.perf_counter() - began) * 1000
        if answer.status not in (200, 404):
            raise RuntimeError(f"{asked.path}: {answer.status} {body[:200]!r}")
        return taken


def main() -> None:
    """Measure and print; exit code 1 where something costs more with more."""
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("--services", action="store_true")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    where = report.machine()
    with ExitStack() as stack:
        sides = [_side(stack, users, prompts, arguments.services) for users, prompts in SIZES]
        rows = [_compared(asked, sides) for asked in ASKED]
    stands_on = "PostgreSQL and Redis" if arguments.services else "SQLite"
    columns = ["request, median", *(f"{u:,} users, {p:,} prompts" for u, p in SIZES), "ratio", ""]
    table = Table(f"A request with little and with much on record ({stands_on})", columns, rows)
    print(table.text())
    if arguments.markdown is not None:
        arguments.markdown.write_text(f"{where}\n\n{table.markdown()}\n")
    sys.exit(any(row[-1] == "MISS" for row in rows))


def _side(stack: ExitStack, users: int, prompts: int, on_services: bool) -> Side:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mss-scale-")))
    comfy = stack.enter_context(comfyui(folder / "comfy", "auto"))
    gateway = Gateway(folder / "data", comfy, **(services() if on_services else {}))
    gateway.prepare()
    stack.callback(gateway.stop)
    began = time.monotonic()
    token: str = gateway.run(_FILL, users=users, prompts=prompts)
    print(f"{users:,} users, {prompts:,} prompts: {time.monotonic() - began:.0f} s", flush=True)
    return Side(gateway.start(), token)


def _compared(asked: Asked, sides: list[Side]) -> list[str]:
    """A row of the table."""
    rounds: list[list[float]] = []
    for _ in range(ROUNDS):
        medians = []
        for side in sides:
            taken = [side.ask(asked) for _ in range(REQUESTS)]
            medians.append(statistics.median(taken))
        rounds.append(medians)
    little, much = (statistics.median(each[n] for each in rounds) for n in (0, 1))
    ratio = statistics.median(each[1] / each[0] for each in rounds)
    verdict = "PASS" if ratio <= MOST else "MISS"
    return [asked.name, f"{little:.2f} ms", f"{much:.2f} ms", f"{ratio:.2f}", verdict]


if __name__ == "__main__":
    main()
