"""The admin's list of downloads: what it shows, how many questions it asks, cancel and retry."""

import pytest
from django.contrib import admin

from accounts.models import AuditEntry, User
from downloads.models import DownloadJob, SourceKey
from tests.comfyproxy.adminpages import page, request_of, rows_in

pytestmark = pytest.mark.django_db

Status = DownloadJob.Status


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def ann() -> User:
    return User.objects.create(username="ann", role_id="power")


def job(user: User, **fields: object) -> DownloadJob:
    return DownloadJob.objects.create(user=user, target=user, source="civitai", **fields)


def test_list_shows_how_far_each_is(adam: User, ann: User) -> None:
    job(ann, status=Status.RUNNING, bytes_done=50 * 2**20, total_bytes=100 * 2**20)
    job(ann, wanted={"model_version_id": 4711})
    job(ann, filename="done.safetensors", status=Status.COMPLETED, error="")
    job(ann, status=Status.FAILED, error="Store a key, then try again.")
    rows = rows_in(page(DownloadJob, request_of(adam))[0])
    assert 'value="50.0"' in rows and "50 MB" in rows
    for text in ("4711", "done.safetensors", "Store a key, then try again.", "ann"):
        assert text in rows


def test_list_asks_as_much_for_thirty_as_for_one(adam: User, ann: User) -> None:
    job(ann)
    page(DownloadJob, request_of(adam))  # what Django asks once
    _, one = page(DownloadJob, request_of(adam))
    for number in range(29):
        job(User.objects.create(username=f"u{number}", role_id="user"))
    _, thirty = page(DownloadJob, request_of(adam))
    assert thirty == one


def test_administrator_cancels_and_retries_and_it_is_told(adam: User, ann: User) -> None:
    waiting, done = job(ann), job(ann, status=Status.COMPLETED)
    failed = job(ann, status=Status.FAILED, error="x", attempts=8)
    pages = admin.site._registry[DownloadJob]
    request = request_of(adam)
    pages.cancel_jobs(request, DownloadJob.objects.filter(pk__in=[waiting.pk, done.pk]))
    pages.retry_jobs(request, DownloadJob.objects.filter(pk__in=[failed.pk, done.pk]))
    assert request._messages.texts == [
        "Cancelled: 1. Of 1 that was not possible.",
        "Tried again: 1. Of 1 that was not possible.",
    ]
    states = dict(DownloadJob.objects.values_list("pk", "status"))
    assert states == {
        waiting.pk: Status.CANCELLED,
        done.pk: Status.COMPLETED,
        failed.pk: Status.QUEUED,
    }
    assert DownloadJob.objects.get(pk=failed.pk).attempts == 0
    told = AuditEntry.objects.order_by("id").values_list("event", "actor_name", "subject_name")
    assert list(told) == [
        ("download.cancelled", "adam", "ann"),
        ("download.retried", "adam", "ann"),
    ]


def test_keys_are_listed_without_what_they_are(adam: User, ann: User) -> None:
    key = SourceKey.objects.create(user=ann, source="civitai", value="v1:secret-token")
    for found in (page(SourceKey, request_of(adam)), page(SourceKey, request_of(adam), key.pk)):
        assert "ann" in found[0] and "secret-token" not in found[0]
