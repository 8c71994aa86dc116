"""Downloads without a gateway: a models folder, people who ask, and a worker in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from pytest_django.fixtures import Settings

from accounts.identity import Auth, Identity
from accounts.models import User
from accounts.ranks import capabilities_of
from downloads import folders, queue, runner
from downloads.models import DownloadJob
from tests.downloads.shop import Sites

TYPES = ("loras", "embeddings", "text_encoders", "clip", "diffusion_models", "unet")


@pytest.fixture
def sites() -> Iterator[Sites]:
    with Sites() as found:
        yield found


@pytest.fixture
def models(
    settings: Settings, tmp_path: Path, sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """ComfyUI's models folder."""
    root = tmp_path / "ComfyUI" / "models"
    for name in TYPES:
        (root / name).mkdir(parents=True)
    settings.COMFYUI_MODELS_DIR = root
    settings.CIVITAI_URL, settings.HF_ENDPOINT = sites.civitai.url, sites.huggingface.url
    monkeypatch.setattr(folders, "_kept", None)
    return root


def user(name: str, role: str = "user", *capabilities: str) -> User:
    """Somebody who may download."""
    made = User.objects.create(username=name, role_id=role)
    held = Permission.objects.filter(codename__in=["can_download_models", *capabilities])
    made.user_permissions.set(held)
    return made


def identity(who: User, **more: Any) -> Identity:
    """How somebody comes in, by what they may do now."""
    held = capabilities_of(who)
    values = {"capabilities": held, "auth": Auth.SESSION} | more
    return Identity(who.pk, who.username, who.namespace, who.role_id, who.role.rank, **values)


def wish(name: str = "m.safetensors", folder_type: str = "loras", **more: Any) -> dict[str, Any]:
    """A request's body."""
    found = {"source": "huggingface", "repo_id": "org/repo", "filename": name}
    return found | {"folder_type": folder_type} | more


def ask(who: User, name: str = "m.safetensors", folder_type: str = "loras", **more: Any) -> Any:
    """A job of theirs, whatever they may."""
    wanted = wish(name)
    values = {"target": who, "source": "huggingface", "wanted": wanted} | more
    return DownloadJob.objects.create(user=who, folder_type=folder_type, **values)


def work() -> None:
    """What the worker does."""
    while (job := queue.claim("w")) is not None:
        runner.run(job, "w")


def ended(job: DownloadJob) -> DownloadJob:
    work()
    job.refresh_from_db()
    return job


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
