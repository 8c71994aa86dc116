"""Why a download failed is kept in English and told in the language of who asks."""

import pytest
from django.utils.translation import override

from accounts.sentences import english
from downloads import queue, services
from downloads.api import job_json
from downloads.errors import DiskFull
from downloads.models import DownloadJob
from downloads.sources.base import explain_common
from tests.downloads.jobs import identity, user

pytestmark = pytest.mark.django_db


@pytest.fixture
def job() -> DownloadJob:
    asker = user("ann")
    return DownloadJob.objects.create(user=asker, target=asker, source="civitai", wanted={})


def failed(job: DownloadJob, sentence: str) -> DownloadJob:
    claimed = queue.claim("worker")
    assert claimed is not None and claimed.pk == job.pk
    assert queue.failed(job.pk, "worker", error=sentence, code="X")
    return DownloadJob.objects.get(pk=job.pk)


@pytest.mark.parametrize(
    ("sentence", "german"),
    [
        (DiskFull().sentence, "Die Festplatte des Servers ist voll."),
        (explain_common("CivitAI", 503, {}).sentence, "CivitAI hat gerade selbst Probleme."),
        (english("%(site)s refused the download (status %(status)s).", site="\x00Z", status=418),
         " Z hat den Download abgelehnt (Status 418)."),
        ("A sentence of nobody's.", "A sentence of nobody's."),
    ],
)  # fmt: skip
def test_person_is_told_why_in_their_language(job: DownloadJob, sentence: str, german: str) -> None:
    found = failed(job, sentence)
    assert found.error == sentence.replace("\x00", " ")
    assert job_json(found)["error"] == found.error
    with override("de"):
        assert job_json(found)["error"].startswith(german)


def test_job_that_is_tried_again_has_no_reason_left(job: DownloadJob) -> None:
    found = failed(job, explain_common("CivitAI", 503, {}).sentence)
    assert found.error_parts is not None
    again = services.retry(found, actor=job.user, identity=identity(job.user))
    with override("de"):
        assert job_json(again)["error"] is None
