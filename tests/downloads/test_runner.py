"""One download from claim to grant: where it ends up, whose it is then, and what stops it."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings
from rest_framework.renderers import JSONRenderer

from accounts import services as accounts_services
from accounts.grants import Grants
from accounts.models import ModelGrant, User
from comfyproxy.filters.models import KnownModels
from comfyproxy.prompts.uses import hidden_models
from downloads import folders, lease, queue, rights, runner, services
from downloads.api import search
from downloads.errors import NotAllowed
from downloads.lease import Lease
from downloads.models import DownloadJob
from downloads.queue import Sign
from tests.downloads.jobs import ask, ended, files, models, sites, user
from tests.downloads.servers import json_reply, safetensors
from tests.downloads.shop import KEY, Sites
from tests.refusals import wait_until

__all__ = ["models", "sites"]

pytestmark = pytest.mark.django_db

Status = DownloadJob.Status


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


# --- rights -----------------------------------------------------------------------------------


def disable(who: User) -> None:
    boss = User.objects.get_or_create(username="boss", role_id="owner")[0]
    accounts_services.set_active(who, False, actor=boss)


def strip(who: User) -> None:
    who.user_permissions.clear()


@pytest.mark.parametrize("end", [disable, strip])
def test_user_who_may_not_any_more_gets_nothing_of_what_waited(
    models: Path, sites: Sites, end: Any
) -> None:
    ann = user("ann")
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))
    waiting = ask(ann)
    end(ann)
    job = ended(waiting)
    assert (job.status, job.error_code) == (Status.FAILED, "PERMISSION_DENIED")
    assert job.error.endswith(" any more.")
    assert sites.huggingface.asked == []
    assert (files(models), ModelGrant.objects.count()) == ([], 0)


@pytest.mark.parametrize("end", [disable, strip])
@pytest.mark.parametrize("there", [False, True])
def test_user_who_may_not_any_more_at_the_end_leaves_nothing_new(
    models: Path, sites: Sites, monkeypatch: pytest.MonkeyPatch, end: Any, there: bool
) -> None:
    ann = user("ann")
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))
    if there:
        ended(ask(ann))
        # Not what the gateway gave: an administrator's, for one.
        DownloadJob.objects.all().delete()
        ModelGrant.objects.all().delete()
    before = files(models)
    assert bool(before) is there
    at_the_end(monkeypatch, lambda job: end(ann))
    job = ended(ask(ann))
    assert (job.status, job.error_code) == (Status.FAILED, "PERMISSION_DENIED")
    assert (files(models), ModelGrant.objects.count()) == (before, 0)


def at_the_end(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Has something happen when all has arrived, before anything is written down."""
    fetched = runner._fetched

    def fetch(job: DownloadJob, worker: str, held: Any) -> Any:
        found = fetched(job, worker, held)
        act(job)
        return found

    monkeypatch.setattr(runner, "_fetched", fetch)


def test_target_and_sharer_are_judged_too(models: Path, sites: Sites) -> None:
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))
    bea = user("bea")
    mia = user("mia", "user", "can_manage_model_sharing")
    for refused in (
        ask(mia, target=user("boss", "owner")),
        ask(bea, target=mia),
        ask(mia, target=User.objects.create(username="off", role_id="user", is_active=False)),
    ):
        assert ended(refused).error_code == "PERMISSION_DENIED"
    assert ended(ask(mia, target=bea)).status == Status.COMPLETED
    assert ModelGrant.objects.get().user == bea


def test_running_download_hears_of_lost_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    job = ask(user("ann"))
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(queue, "alive", lambda *args: Sign.GO_ON)
    monkeypatch.setattr(rights, "may_run", lambda job: "You may not any more.")
    held = Lease(job, "w")
    assert held.is_cancelled() is False

    def is_stopped() -> bool:
        try:
            return held.is_cancelled()
        except NotAllowed as error:
            return error.sentence == "You may not any more."

    with held:
        wait_until(is_stopped, 5)


# --- cancelling at the last moment ------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
def test_cancel_that_was_accepted_wins(
    models: Path, sites: Sites, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    ann = user("ann")
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))
    if there:
        ended(ask(ann))
        DownloadJob.objects.all().delete()
        ModelGrant.objects.all().delete()
    before = files(models)
    at_the_end(monkeypatch, lambda job: services.cancel(job, actor=ann))
    job = ended(ask(ann))
    assert (job.status, job.error) == (Status.CANCELLED, "")
    assert (files(models), ModelGrant.objects.count()) == (before, 0)


def test_file_that_another_download_gave_stays_when_one_is_cancelled(
    models: Path, sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = user("ann")
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))

    def overtake(job: DownloadJob) -> None:
        (destination,) = files(models)
        ask(ann, status=Status.COMPLETED, destination=destination)
        services.cancel(job, actor=ann)

    at_the_end(monkeypatch, overtake)
    assert ended(ask(ann)).status == Status.CANCELLED
    assert len(files(models)) == 1


@pytest.mark.parametrize("gone", ["user", "lease"])
def test_file_of_a_lost_job_is_left_for_the_next_worker_only(
    models: Path, sites: Sites, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    ann = user("ann")
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))

    def lose(job: DownloadJob) -> None:
        if gone == "user":
            User.objects.get(pk=ann.pk).delete()
        else:
            DownloadJob.objects.filter(pk=job.pk).update(lease_owner="another")

    at_the_end(monkeypatch, lose)
    ask(ann)
    claimed = queue.claim("w")
    assert claimed is not None
    runner.run(claimed, "w")
    assert len(files(models)) == (1 if gone == "lease" else 0)
    assert ModelGrant.objects.count() == 0


# --- faults -----------------------------------------------------------------------------------


def test_texts_of_a_site_that_nothing_can_hold_break_no_job(models: Path, sites: Sites) -> None:
    ann = user("ann")
    services.set_key(ann, "civitai", KEY)
    odd = "a\ud800\0\nb.safetensors"
    several = [{"id": n, "name": odd, "type": "Model", "sizeKB": 10} for n in (1, 2)]
    about = {"id": 5, "model": {"type": "LORA"}, "files": several}
    sites.civitai.routes["/api/v1/model-versions/5"] = json_reply(about)
    wanted = {"source": "civitai", "model_version_id": 5}
    job = ended(ask(ann, source="civitai", wanted=wanted))
    assert (job.status, job.error_code, job.attempts) == (Status.FAILED, "NO_SUCH_FILE", 1)
    assert "a b.safetensors" in job.error
    content = safetensors(1000)
    sites.on_civitai(6, odd, content)
    job = ended(ask(ann, source="civitai", wanted=wanted | {"model_version_id": 6}))
    assert job.status == Status.COMPLETED
    found = {"id": float("nan"), "name": odd, "modelVersions": [about]}
    sites.civitai.routes["/api/v1/models"] = json_reply({"items": [found]})
    assert b"a b.safetensors" in JSONRenderer().render(search(ann, "civitai", "x"))


def test_fault_at_the_very_end_ends_the_job(
    models: Path, sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites.on_huggingface("org/repo", "m.safetensors", safetensors(1000))

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("downloads.runner.granting.grant", fail)
    job = ended(ask(user("ann")))
    assert (job.status, job.error_code, job.attempts) == (Status.FAILED, "INTERNAL", 1)


def test_models_folder_that_is_not_mounted_is_said_so(
    models: Path, sites: Sites, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = ask(user("ann"))
    settings.COMFYUI_MODELS_DIR = tmp_path / "not mounted"
    monkeypatch.setattr(folders, "_kept", None)
    job = ended(waiting)
    assert (job.status, job.error_code) == (Status.FAILED, "DOWNLOADS_NOT_SET_UP")
