"""Model downloads over HTTP (API.md section 6), for apps with a token in the header."""

from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors
from accounts.api.authentication import HasIdentity, IdentityAuthentication, caller
from accounts.api.base import GatewayView
from accounts.capabilities import Capability
from accounts.credentials import Place, find_credential
from accounts.identity import Identity
from accounts.login import client_ip
from accounts.middleware import raw_headers
from accounts.models import User
from accounts.sentences import english
from accounts.telling import told
from downloads import folders, notices, paths, queue, services
from downloads.errors import DownloadError, KeyUnreadable
from downloads.errors import NotFound as NotThere
from downloads.models import MAX_ERROR, DownloadJob
from downloads.sites import new_web, source_of
from downloads.sources import SOURCES
from downloads.turns import Turns

PICKLE_WARNING = english(
    "Files of this kind can run programs when they are loaded. Trust its maker?"
)
# The latest of one user.
MAX_JOBS = 200
# Each holds a thread for as long as the site takes.
_searches = Turns(of_user=2, of_all=10)


class HeaderAuthentication(IdentityAuthentication):
    """A token in the header and nothing else: a page of somebody's cannot start a download."""

    def authenticate(self, request: Request) -> tuple[User, Identity] | None:
        credential = find_credential(raw_headers(request._request))
        if credential is None or credential.place is Place.COOKIE:
            return None
        return super().authenticate(request)


class MayDownload(HasIdentity):
    """Who holds can_download_models."""

    def has_permission(self, request: Request, view: Any) -> bool:
        super().has_permission(request, view)
        caller(request)[1].require(Capability.DOWNLOAD_MODELS)
        return True


class DownloadView(GatewayView):
    """What all views here share."""

    authentication_classes: Any = (HeaderAuthentication,)
    permission_classes: Any = (MayDownload,)


def job_json(job: DownloadJob) -> dict[str, Any]:
    """A job as clients see it."""
    wanted = job.wanted if isinstance(job.wanted, dict) else {}
    found = {
        "job_id": str(job.job_id),
        "source": job.source,
        "status": job.status,
        "folder_type": job.folder_type or None,
        "destination_type": job.destination_type,
        "destination": job.destination or None,
        "filename": job.filename or None,
        "bytes_done": job.bytes_done,
        "total_bytes": job.total_bytes,
        "progress_pct": job.progress_pct,
        "speed_bps": round(job.speed_bps),
        "elapsed": job.elapsed(timezone.now()),
        "eta_seconds": job.eta_seconds(),
        "sha256": job.sha256 or None,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "error": told(job.sentence)[:MAX_ERROR] or None,
        "warning": told(PICKLE_WARNING) if paths.is_pickle(job.filename) else None,
        "can_cancel": job.is_active,
        "target_username": job.target.username,
    }
    for name in ("model_version_id", "repo_id"):
        if name in wanted:
            found[name] = wanted[name]
    return found


class SourcesView(DownloadView):
    """GET: the sites, which of them the caller has a key for, and what is possible."""

    def get(self, request: Request) -> Response:
        user, _ = caller(request)
        limits = {name: value for name, value in queue.stats().items() if name.startswith("limit")}
        renamed = {name.replace("limit_", "active_"): value for name, value in limits.items()}
        return Response(
            {
                "sources": list(SOURCES),
                "sources_with_keys": services.sources_with_keys(user),
                "capabilities": {
                    "sources": list(SOURCES),
                    "destination_types": services.destination_types(),
                    "limits": renamed,
                    **{f"{name}_fields": list(kind.fields) for name, kind in SOURCES.items()},
                },
            }
        )


class FoldersView(DownloadView):
    """GET: valid values of folder_type."""

    def get(self, request: Request) -> Response:
        return Response({"folders": folders.names()})


class ApiKeysView(DownloadView):
    """GET: which sites the caller has a key for. PUT {source, api_key}: store or remove one."""

    def get(self, request: Request) -> Response:
        return Response({"sources_with_keys": services.sources_with_keys(caller(request)[0])})

    def put(self, request: Request) -> Response:
        user, _ = caller(request)
        data = body_of(request)
        source, key = data.get("source"), data.get("api_key")
        if not isinstance(source, str) or not isinstance(key, str):
            field = "api_key" if isinstance(source, str) else "source"
            raise errors.BadRequest("source and api_key must be text.", field=field)
        services.set_key(user, source, key, ip=client_ip(request._request))
        return Response({"sources_with_keys": services.sources_with_keys(user)})


class NewDownloadView(DownloadView):
    """POST: ask for a model."""

    def post(self, request: Request) -> Response:
        user, identity = caller(request)
        job = services.enqueue(user, identity, body_of(request), ip=client_ip(request._request))
        return Response({"status": job.status, "job_id": str(job.pk), "stats": queue.stats()})


class JobsView(DownloadView):
    """GET: the caller's own, newest first."""

    def get(self, request: Request) -> Response:
        rows = DownloadJob.objects.filter(user=caller(request)[0]).select_related("target")
        jobs = list(rows[:MAX_JOBS])
        notices.seen(jobs)
        return Response({"jobs": [job_json(job) for job in jobs], "stats": queue.stats()})


class JobView(DownloadView):
    """GET: one of the caller's own."""

    def get(self, request: Request, job_id: str) -> Response:
        job = services.find(caller(request)[0], job_key(job_id))
        notices.seen([job])
        return Response({"job": job_json(job), "stats": queue.stats()})


class CancelView(DownloadView):
    """POST: cancel one of the caller's own."""

    def post(self, request: Request, job_id: str) -> Response:
        user, _ = caller(request)
        job = services.find(user, job_key(job_id))
        job = services.cancel(job, actor=user, ip=client_ip(request._request))
        return Response({"job": job_json(job), "stats": queue.stats()})


class RetryView(DownloadView):
    """POST: have one of the caller's own that failed or was cancelled tried again."""

    def post(self, request: Request, job_id: str) -> Response:
        user, identity = caller(request)
        job = services.find(user, job_key(job_id))
        ip = client_ip(request._request)
        job = services.retry(job, actor=user, identity=identity, ip=ip)
        return Response({"job": job_json(job), "stats": queue.stats()})


class SearchView(DownloadView):
    """GET ?source=&query=: models on a site, with their files for picking."""

    def get(self, request: Request) -> Response:
        name, query = (request.query_params.get(each, "") for each in ("source", "query"))
        return Response({"models": search(caller(request)[0], name, query)})


def search(user: User, name: str, query: str) -> list[dict[str, Any]]:
    """What a site has under these words; a page's address or an id counts as words, too.

    Raises:
        BadRequest with `field`; ApiKeyRequired; Throttled; SourceFailed
        NotFound: the one that is named is not there, or is not shown to this key
    """
    if name not in SOURCES:
        raise errors.BadRequest(f"source is one of {', '.join(SOURCES)}.", field="source")
    if not query.strip() or len(query) > 200 or not query.isprintable():
        raise errors.BadRequest(english("Say what to look for."), field="query")
    try:
        key = services.key_of(user.pk, name)
    except KeyUnreadable as error:
        raise services.ApiKeyRequired(error.sentence) from None
    with _searches.turn(user.pk):
        # A site may take a minute, and PostgreSQL has a hundred connections for everybody.
        if not connection.in_atomic_block:
            connection.close()
        web = new_web()
        try:
            found = source_of(name).search(query.strip(), key, web)
        except NotThere as error:
            raise errors.NotFound(error.sentence) from None
        except DownloadError as error:
            raise SourceFailed(error.sentence, source_code=error.code) from None
        finally:
            web.close()
    return [
        {
            "name": model.name,
            "page_url": model.page_url,
            "type": model.type,
            "folder_type": folders.named(model.folder_type or ""),
            "files": [
                {
                    "id": file.id,
                    "name": file.name,
                    "size": file.size,
                    "type": file.type,
                    "format": file.format,
                    "wish": {"source": name, **file.wish},
                }
                for file in model.files
            ],
        }
        for model in found
    ]


class SourceFailed(errors.GatewayError):
    """A site that was asked at once for somebody who waits."""

    code = "SOURCE_FAILED"
    status = 502
    sentence = english("The site does not answer. Try again later.")


def body_of(request: Request) -> Any:
    """A JSON object or form. BadRequest for anything else."""
    if not hasattr(request.data, "get"):
        raise errors.BadRequest("The body must be a JSON object.")
    return request.data


def job_key(text: str) -> UUID:
    """The id in an address.

    Raises:
        NotFound: it is none
    """
    try:
        return UUID(text)
    except ValueError:
        raise errors.NotFound(english("There is no such download.")) from None
