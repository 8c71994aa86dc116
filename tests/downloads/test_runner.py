"""One download from claim to grant: where it ends up, and whose it is then."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts.grants import Grants
from accounts.models import ModelGrant, User
from comfyproxy.filters.models import KnownModels
from comfyproxy.prompts.uses import hidden_models
from downloads import folders, queue, runner, services
from downloads.api import search
from downloads.models import DownloadJob
from tests.downloads.servers import safetensors
from tests.downloads.shop import Sites

pytestmark = pytest.mark.django_db

Status = DownloadJob.Status
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
    made = User.objects.create(username=name, role_id=role)
    held = Permission.objects.filter(codename__in=["can_download_models", *capabilities])
    made.user_permissions.set(held)
    return made


def ask(who: User, name: str = "m.safetensors", folder_type: str = "loras", **more: Any) -> Any:
    wanted = {"source": "huggingface", "repo_id": "org/repo", "filename": name}
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


# --- names ------------------------------------------------------------------------------------


def test_user_takes_nobody_elses_name_with_a_file_of_their_own(models: Path, sites: Sites) -> None:
    eve = user("eve")
    lists: dict[str, tuple[str, ...]] = {
        "embeddings": ("easynegative.safetensors",),
        "loras": ("detail.safetensors",),
    }
    for folder, (name,) in lists.items():
        (models / folder / name).write_bytes(b"theirs")
        sites.on_huggingface("org/repo", name, safetensors(1000))
        job = ended(ask(eve, name, folder))
        assert job.status == Status.COMPLETED, job.error
        mark = eve.namespace[2:8]
        own = f"{eve.namespace}/{name.removesuffix('.safetensors')}.{mark}.safetensors"
        assert (models / folder / own).is_file()
        assert ModelGrant.objects.filter(user=eve, folder=folder, item_name=own).exists()
        lists[folder] += (own,)
    theirs = Grants(frozenset((folder, names[0]) for folder, names in lists.items()))
    for text in ("embedding:easynegative", "<lora:detail:0.8>", "detail.safetensors"):
        graph = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": text}}}
        assert not list(hidden_models(graph, {}, KnownModels(lists), theirs)), text


def test_user_who_asks_again_has_it_already(models: Path, sites: Sites) -> None:
    ann = user("ann")
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))
    first = ended(ask(ann))
    before = len(sites.storage.asked)
    assert ended(ask(ann)).destination == first.destination
    assert len(sites.storage.asked) == before
    assert len(files(models)) == 1


@pytest.mark.parametrize(
    ("kind", "other"), [("text_encoders", "clip"), ("diffusion_models", "unet")]
)
def test_user_hides_no_file_of_a_folder_with_two_names(
    models: Path, sites: Sites, kind: str, other: str
) -> None:
    paula = user("paula", "power")
    (models / other / "T5.safetensors").write_bytes(b"theirs")
    content = safetensors(1000)
    sites.on_huggingface("org/repo", "t5.safetensors", content)
    job = ended(ask(paula, "t5.safetensors", kind))
    assert job.destination == f"{kind}/t5 (1).safetensors"
    # What lies in the second folder is there already, and called so.
    (models / other / "u.safetensors").write_bytes(content)
    sites.on_huggingface("org/repo", "u.safetensors", content)
    assert ended(ask(paula, "u.safetensors", kind)).destination == f"{kind}/u.safetensors"
    assert not (models / kind / "u.safetensors").exists()


# --- keys -------------------------------------------------------------------------------------


def test_user_whose_key_cannot_be_read_is_told_to_store_it_anew(
    models: Path, sites: Sites, settings: Settings
) -> None:
    ann = user("ann")
    services.set_key(ann, "huggingface", "hf_key")
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 40, []
    job = ended(ask(ann))
    assert (job.status, job.error_code) == (Status.FAILED, "API_KEY_REQUIRED")
    assert "Store it anew" in job.error
    assert sites.huggingface.asked == []
    with pytest.raises(services.ApiKeyRequired, match="Store it anew"):
        search(ann, "huggingface", "x")


def test_key_is_still_read_after_secrets_were_rotated(settings: Settings) -> None:
    ann = user("ann")
    services.set_key(ann, "huggingface", "hf_key")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 40, [settings.SECRET_KEY]
    call_command("rotate_secrets", stdout=(said := StringIO()))
    assert said.getvalue().startswith("1 secrets")
    settings.SECRET_KEY_FALLBACKS = []
    assert services.key_of(ann.pk, "huggingface") == "hf_key"
