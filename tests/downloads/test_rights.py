"""Who may have a download run: asking for oneself and for others, and trying again."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from pytest_django.fixtures import Settings

from accounts import errors
from accounts.identity import Auth
from accounts.models import User
from downloads import folders, services
from downloads.models import DownloadJob
from tests.downloads.jobs import ask, identity, models, sites, user, wish
from tests.downloads.shop import Sites

__all__ = ["models", "sites"]

pytestmark = pytest.mark.django_db

Status = DownloadJob.Status
GIVE = "can_manage_model_sharing"


def failed(who: User, **more: Any) -> DownloadJob:
    made: DownloadJob = ask(who, status=Status.FAILED, **more)
    return made


# --- for somebody else ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way",
    [
        pytest.param({"token": {"in_path": True}}, id="address"),
        pytest.param({"account": {"mfa_required": True}}, id="no second factor"),
        pytest.param({"account": {"shared": True}}, id="guest"),
    ],
)
def test_sharer_who_came_in_by_a_weak_way_gives_nobody_a_model(
    models: Path, way: dict[str, Any]
) -> None:
    mia, bea = user("mia", "user", GIVE), user("bea")
    User.objects.filter(pk=mia.pk).update(**way.get("account", {}))
    mia.refresh_from_db()
    came = identity(mia, **way.get("token", {}))
    with pytest.raises(errors.PermissionDenied):
        services.enqueue(mia, came, wish(target_username=bea.username))
    with pytest.raises(errors.PermissionDenied):
        services.retry(failed(mia, target=bea), actor=mia, identity=came)
    # For themselves that way is good enough.
    assert services.enqueue(mia, came, wish()).status == Status.QUEUED


def test_sharer_uses_no_key_of_who_ranks_above_them(models: Path) -> None:
    mia, bea = user("mia", "user", GIVE), user("bea")
    user("boss", "owner")
    with pytest.raises(errors.PermissionDenied, match="above you"):
        services.enqueue(mia, identity(mia), wish(target_username="boss"))
    job = services.enqueue(mia, identity(mia), wish(target_username="BEA"))
    assert job.target == bea


@pytest.mark.parametrize("name", ["off", "no\0body", "no\ud800body", "nobody"])
def test_sharer_names_somebody_who_is_not_there(models: Path, name: str) -> None:
    mia = user("mia", "user", GIVE)
    User.objects.create(username="off", role_id="user", is_active=False)
    with pytest.raises((errors.NotFound, errors.BadRequest)):
        services.enqueue(mia, identity(mia), wish(target_username=name))


# --- trying again -----------------------------------------------------------------------------


def test_user_who_may_not_any_more_tries_nothing_again(models: Path) -> None:
    mia, bea = user("mia", "user", GIVE), user("bea")
    for_bea, for_mia = failed(mia, target=bea), failed(mia)
    mia.user_permissions.remove(Permission.objects.get(codename=GIVE))
    with pytest.raises(errors.PermissionDenied):
        services.retry(for_bea, actor=mia, identity=identity(mia))
    assert services.retry(for_mia, actor=mia, identity=identity(mia)).status == Status.QUEUED
    User.objects.filter(pk=mia.pk).update(is_active=False)
    # Nor does an administrator for them.
    adam = user("adam", "admin")
    with pytest.raises(errors.PermissionDenied):
        services.retry(failed(mia), actor=adam, identity=identity(adam))


def test_limited_token_tries_nothing_again_for_others(models: Path) -> None:
    mia, bea = user("mia", "user", GIVE), user("bea")
    only = frozenset({"can_download_models"})
    limited = identity(mia, capabilities=only, auth=Auth.API_TOKEN, scopes=tuple(only))
    with pytest.raises(errors.PermissionDenied):
        services.retry(failed(mia, target=bea), actor=mia, identity=limited)


def test_user_tries_no_more_again_than_they_may_have_waiting(models: Path, sites: Sites) -> None:
    ann = user("ann")
    for _ in range(services.MAX_ACTIVE_PER_USER - 1):
        ask(ann)
    one, other = failed(ann), failed(ann)
    services.retry(one, actor=ann, identity=identity(ann))
    with pytest.raises(errors.QuotaExceeded):
        services.retry(other, actor=ann, identity=identity(ann))
    with pytest.raises(errors.QuotaExceeded):
        services.enqueue(ann, identity(ann), wish())


# --- where nothing can go to ------------------------------------------------------------------


def test_user_is_told_that_the_models_folder_is_not_there(
    models: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = user("ann")
    settings.COMFYUI_MODELS_DIR = tmp_path / "not mounted"
    monkeypatch.setattr(folders, "_kept", None)
    with pytest.raises(services.NotSetUp) as caught:
        services.enqueue(ann, identity(ann), wish())
    assert (caught.value.status, caught.value.wire_code) == (503, "DOWNLOADS_NOT_SET_UP")
    assert folders.names() == []
    assert services.destination_types() == []
