"""Makes the pictures of docs/admin-guide.md, from a demo of its own with a little life in it.

    .venv/bin/python docs/screenshots.py

Needs Chromium, and what `./run test` installs.
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from playwright.sync_api import Page

from tests.accounts.acting import session
from tests.cast import Person
from tests.chromium import chromium, log_in
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import serving
from tests.prompts import run, save

PICTURES: Final = Path(__file__).resolve().parent / "pictures"
CAST: Final = (
    Person("olga", "owner"),
    Person("adam", "admin"),
    Person("paula", "power"),
    Person("alice", "user"),
    Person("bob", "user"),
    Person("nina", "user"),
)
LIFE: Final = """
import random
from datetime import timedelta
from django.contrib.auth.models import Group
from django.utils import timezone
from accounts import granting, links
from accounts.models import Role, User
from comfyproxy.models import Backend, PromptRecord, StorageUse
from downloads.models import DownloadJob
from mssproject.celery import app
from mssproject.models import TaskRun

random.seed(5)
now = timezone.now()
users = {user.username: user for user in User.objects.all()}
adam = users["adam"]
for name in ("alice", "bob", "paula", "adam"):
    for day in range(14):
        for _ in range(random.randrange(1, 9)):
            at = now - timedelta(days=day, minutes=random.randrange(1, 600))
            PromptRecord.objects.create(user=users[name], number=1, state="success", listed=False,
                created_at=at, started_at=at, finished_at=at,
                execution_seconds=random.random() * 90)
for name, size in (("alice", 730e6), ("bob", 210e6), ("paula", 2.1e9), ("adam", 40e6)):
    StorageUse.objects.create(user=users[name], saved_bytes=1e5, made_bytes=size, total_bytes=size,
        measured_at=now)
granting.grant(users["alice"], [granting.item("checkpoints", "sd15.safetensors"),
    granting.item("loras", "*")], actor=adam)
granting.grant(users["bob"], [granting.item("checkpoints", "sdxl.safetensors")], actor=adam)
links.create_invitation(Role.objects.get(slug="user"), actor=adam, note="for Carla")
DownloadJob.objects.create(user=users["paula"], target=users["paula"], source="civitai",
    filename="watercolour-v2.safetensors", folder_type="loras", status="running", lease_owner="x",
    lease_until=now + timedelta(hours=1), bytes_done=61e6, total_bytes=144e6, speed_bps=7.4e6,
    started_at=now)
Backend.objects.update_or_create(name="comfyui", defaults={"checked_at": now})
for entry in app.conf.beat_schedule.values():
    began = now - timedelta(seconds=random.random() * entry["schedule"])
    TaskRun.objects.create(task=entry["task"], worker="celery@studio", started_at=began,
        finished_at=began + timedelta(seconds=random.random()))
TaskRun.objects.filter(task="downloads.tasks.work").update(worker="downloads@studio")
result = {name: user.pk for name, user in users.items()}
"""
# The picture's name → where it is taken; a phone's are small.
SHOTS: Final = {
    "dashboard": "/admin/",
    "users": "/admin/accounts/user/",
    "user": "/admin/accounts/user/{alice}/about/prompts/",
    "capabilities": "/admin/accounts/user/{alice}/about/capabilities/",
    "invite": "/admin/accounts/accountlink/add/",
    "roles": "/admin/accounts/role/matrix/",
    "grants": "/admin/accounts/modelgrant/matrix/",
    "give": "/admin/accounts/modelgrant/give/user/{alice}/",
    "pictures": "/admin/comfyproxy/contentverdict/",
    "audit": "/admin/accounts/auditentry/",
    "workers": "/admin/mssproject/taskrun/",
}
PHONE: Final = {"dashboard-phone": "/admin/", "users-phone": "/admin/accounts/user/"}
COLOURS: Final = (0x3A6EA5, 0xC0392B, 0x27AE60, 0xF39C12, 0x8E44AD)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="mss-pictures-") as folder,
        FakeComfyThread(Path(folder) / "comfy", seed=True) as comfy,
        serving(Path(folder) / "gateway", comfy.url, CAST) as gateway,
        chromium() as browser,
    ):
        keys = gateway.run(LIFE)
        for name in ("alice", "bob"):
            person = next(each for each in CAST if each.username == name)
            client = Client(gateway.url, session(gateway, person), gateway.namespaces[name])
            for number, colour in enumerate(COLOURS):
                run(client, save(f"{name}-{number}", color=colour))
        sizes = {"width": 1280, "height": 800}
        for shots, dark, size in (
            (SHOTS, False, sizes),
            (PHONE, True, {"width": 390, "height": 780}),
        ):
            scheme = "dark" if dark else "light"
            context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            log_in(page, gateway.url, session(gateway, CAST[0]))
            for name, path in shots.items():
                page.goto(gateway.url + path.format(**keys))
                page.wait_for_load_state("networkidle")
                take(page, name)
            context.close()


def take(page: Page, name: str) -> None:
    """In 256 colours: a fifth of the size, and the eye sees no difference."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256).save(PICTURES / f"{name}.png", optimize=True)
    print(f"{name}.png")


if __name__ == "__main__":
    main()
