"""How long the admin's pages take with 10,000 users, 100,000 prompts, 1,000,000 audit rows.

    python -m bench.admin [--users 10000 --prompts 100000 --audit 1000000]
                          [--markdown docs/performance-admin.md]

On SQLite and PostgreSQL, each page asked for over HTTP one after the other; the median counts.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests

from bench.report import machine
from bench.table import Table
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.services import own_database

TARGET_MS: Final = 300
ROUNDS: Final = 5

# Names in it: users, prompts, audit.
_FILL: Final = """
import random, uuid
from datetime import timedelta
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone
from accounts import models, proofs, services
from comfyproxy.files import FileRef
from comfyproxy.models import ContentVerdict, FileContent, FileOwner, FileRecord, PromptRecord
from comfyproxy.models import StorageUse
from downloads.models import DownloadJob

random.seed(7)
now = timezone.now()

def make(model, rows, size=5000):
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            model._base_manager.bulk_create(batch)
            batch = []
    model._base_manager.bulk_create(batch)

def ago(days=60):
    return now - timedelta(seconds=random.random() * days * 86400)

owner = services.create_owner(username="owner", password=password)
make(models.User, (models.User(username=f"user-{n:05}", role_id="user", email=f"u{n}@example.org",
     password="!", last_login=ago(), is_active=n % 50 != 0) for n in range(users)))
people = list(models.User.objects.filter(role="user").values_list("pk", "namespace"))
ids = [pk for pk, _ in people]
crew = Group.objects.create(name="crew")
models.User.groups.through.objects.bulk_create(
    models.User.groups.through(user_id=pk, group_id=crew.pk) for pk in ids[::10])
make(models.Session, (models.Session(user_id=random.choice(ids), expires_at=now + timedelta(days=1),
     last_used_at=ago(2), created_at=ago(3), ip="192.0.2.1", user_agent="Firefox")
     for _ in range(2 * users)))
make(models.ApiToken, (models.ApiToken(user_id=random.choice(ids), token_hash=uuid.uuid4().hex * 2,
     label="phone", last_used_at=ago()) for _ in range(users)))
make(models.ModelGrant, (models.ModelGrant(user_id=ids[n % len(ids)], folder="loras",
     item_name=f"lora-{n}.safetensors", granted_by=owner) for n in range(2 * users)))
make(StorageUse, (StorageUse(user_id=pk, saved_bytes=1, total_bytes=random.randrange(10**9),
     measured_at=now) for pk in ids))
records = [PromptRecord(user_id=random.choice(ids), number=n, state="success",
    listed=n > prompts - 500, created_at=ago(), execution_seconds=random.random() * 60)
    for n in range(prompts)]
make(PromptRecord, records)
spaces = dict(people)
def made():
    for n, record in enumerate(records):
        ref = FileRef("output", spaces[record.user_id], f"ComfyUI_{n:05}_.png")
        yield FileRecord.of(ref, record.created_at)
make(FileRecord, made())
keys = FileRecord.objects.order_by("pk").values_list("pk", flat=True)
make(FileOwner, (FileOwner(file_id=key, user_id=record.user_id, prompt=record, type="output",
     made_at=record.created_at) for key, record in zip(keys, records)))
make(ContentVerdict, (ContentVerdict(sha256=f"{n:064}", score=random.random(), classifier="bench",
     classifier_version="1", scored_at=now, is_final=True) for n in range(prompts // 2)))
make(FileContent, (FileContent(file_id=key, version="v", content_id=f"{n:064}", size=1)
     for n, key in enumerate(list(keys)[: prompts // 2])))
make(DownloadJob, (DownloadJob(user_id=pk, target_id=pk, source="civitai",
     filename=f"{n}.safetensors", status="completed", created_at=ago())
     for n, pk in enumerate(random.choices(ids, k=users))))
events = ["login", "login.failed", "token.created", "session.ended", "grant.added", "user.role"]
def told():
    for _ in range(audit):
        pk = random.choice(ids)
        name = f"user-{pk:05}"
        yield models.AuditEntry(at=ago(365), event=random.choice(events), actor_id=pk,
            actor_name=name, subject_id=pk, subject_name=name, ip="192.0.2.1",
            details={"folder": "loras"})
make(models.AuditEntry, told())
with connection.cursor() as cursor:
    cursor.execute("ANALYZE")
token = proofs.start_session(owner, ip=None, user_agent="bench")[1]
result = {"token": token, "user": ids[len(ids) // 2], "prompt": str(records[0].pk)}
"""

_LISTS: Final = (
    "accounts/user",
    "accounts/accountlink",
    "accounts/role",
    "auth/group",
    "accounts/modelgrant",
    "comfyproxy/usertree",
    "comfyproxy/settingdefault",
    "comfyproxy/promptrecord",
    "accounts/session",
    "accounts/auditentry",
    "comfyproxy/contentverdict",
    "comfyproxy/filerecord",
    "comfyproxy/formernamespace",
    "downloads/downloadjob",
    "downloads/sourcekey",
    "accounts/apitoken",
    "accounts/totpdevice",
    "accounts/iprule",
    "axes/accessattempt",
    "comfyproxy/backend",
    "comfyproxy/routerule",
    "comfyproxy/broadcastevent",
)
# Beyond the lists as they open: what people do there.
_MORE: Final = (
    "",
    "live/",
    "accounts/user/?q=user-00042",
    "accounts/user/?o=-4",
    "accounts/user/?factor=no&p=40",
    "accounts/user/{user}/change/",
    "accounts/user/{user}/about/audit/",
    "accounts/user/{user}/about/prompts/",
    "accounts/role/matrix/",
    "accounts/modelgrant/matrix/",
    "accounts/auditentry/?event=login.failed",
    "accounts/auditentry/?q=user-00042",
    "accounts/auditentry/?p=90",
    "accounts/auditentry/?at__year=2026&at__month=10",
    "comfyproxy/promptrecord/?q=user-00042",
    "comfyproxy/promptrecord/?state__exact=error",
    "comfyproxy/promptrecord/{prompt}/change/",
    "comfyproxy/filerecord/?type=output",
    "comfyproxy/contentverdict/?state=unknown",
    "comfyproxy/contentverdict/?state=explicit",
)


@dataclass(frozen=True)
class Page:
    """How long one page took: ms on each database."""

    path: str
    sqlite: float
    postgres: float


def paths() -> list[str]:
    """All that is measured, below /admin/."""
    return [*_MORE[:2], *(f"{name}/" for name in _LISTS), *_MORE[2:]]


@contextmanager
def _filled(database: str | None, sizes: dict[str, int]) -> Iterator[dict[str, float]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mss-bench-admin-")))
        comfy = stack.enter_context(FakeComfyThread(folder / "comfy"))
        env = {} if database is None else {"DATABASE_URL": database}
        gateway = Gateway(folder / "data", comfy.url, **env).prepare()
        stack.callback(gateway.stop)
        found = gateway.run(_FILL, password="correct-Horse-9-battery", **sizes)
        gateway.start()
        session = requests.Session()
        session.cookies.set("jwt_token", found["token"])
        session.headers.update({"Accept": "text/html", "Sec-Fetch-Site": "same-origin"})
        yield {
            path: _median(session, f"{gateway.url}/admin/{path.format(**found)}")
            for path in paths()
        }


def _median(session: requests.Session, url: str) -> float:
    times = []
    for number in range(ROUNDS + 1):
        began = time.perf_counter()
        answer = session.get(url, allow_redirects=False)
        if answer.status_code != 200:
            raise SystemExit(f"{url}: {answer.status_code}")
        if number:  # the first finds nothing remembered
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def measure(sizes: dict[str, int]) -> list[Page]:
    """Both databases, one after the other."""
    with _filled(None, sizes) as sqlite:
        pass
    with own_database() as url, _filled(url, sizes) as postgres:
        pass
    return [Page(path, sqlite[path], postgres[path]) for path in paths()]


def table(pages: list[Page], sizes: dict[str, int]) -> Table:
    """The figures, and whether each is within the target."""
    rows = [
        (
            f"/admin/{page.path}",
            f"{page.sqlite:.0f} ms",
            f"{page.postgres:.0f} ms",
            "PASS" if max(page.sqlite, page.postgres) <= TARGET_MS else "MISS",
        )
        for page in pages
    ]
    title = "{users:,} users, {prompts:,} prompts, {audit:,} audit rows".format(**sizes)
    return Table(title, ("page", "SQLite", "PostgreSQL", f"≤ {TARGET_MS} ms"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--audit", type=int, default=1_000_000)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    sizes = {"users": given.users, "prompts": given.prompts, "audit": given.audit}
    found = table(measure(sizes), sizes)
    print(found.text())
    if given.markdown is not None:
        given.markdown.write_text(
            "# The admin's pages\n\n"
            "`python -m bench.admin --markdown docs/performance-admin.md` writes this page: "
            f"medians of {ROUNDS} requests over HTTP, one after the other.\n\n{machine()}\n\n"
            f"{found.markdown()}\n"
        )


if __name__ == "__main__":
    main()
