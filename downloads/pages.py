"""/account/downloads: a person's downloads in the browser, and what its script asks for."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpResponseRedirect
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors, login
from accounts.api.authentication import caller
from accounts.api.base import GatewayView
from accounts.capabilities import Capability
from accounts.login import client_ip
from accounts.middleware import cookie_identity
from accounts.models import User
from accounts.pages import Page, sent_credential
from downloads import folders, notices, queue, services
from downloads.api import MAX_JOBS, MayDownload, body_of, job_json, job_key, search
from downloads.models import DownloadJob
from downloads.sources import SOURCES

_ADDRESS = "/account/downloads"


class DownloadsPage(Page):
    """GET: the page. Its script talks to the addresses below."""

    template = "downloads/downloads.html"

    def get(self, request: Request) -> HttpResponseBase:
        identity = cookie_identity(sent_credential(request), login.client_ip(request._request))
        if identity is None:
            return HttpResponseRedirect(f"/login?next={_ADDRESS}")
        identity.require(Capability.DOWNLOAD_MODELS)
        user = User.objects.get(pk=identity.user_id)
        keys = services.sources_with_keys(user)
        return self.page(
            request,
            destinations=services.destination_types(),
            folders=folders.names(),
            sources=[(name, kind, name in keys) for name, kind in SOURCES.items()],
            may_give=identity.can(Capability.MANAGE_MODEL_SHARING),
        )

    def page_context(self, request: Request) -> dict[str, Any]:
        return {}


class OwnDownloadsView(GatewayView):
    """GET: the caller's own, newest first. POST: ask for a model."""

    permission_classes = (MayDownload,)

    def get(self, request: Request) -> Response:
        rows = DownloadJob.objects.filter(user=caller(request)[0]).select_related("target")
        jobs = list(rows[:MAX_JOBS])
        notices.seen(jobs)
        return Response({"jobs": [job_json(job) for job in jobs], "stats": queue.stats()})

    def post(self, request: Request) -> Response:
        user, identity = caller(request)
        job = services.enqueue(user, identity, body_of(request), ip=client_ip(request._request))
        return Response({"job": job_json(job)})


class OwnDownloadView(GatewayView):
    """POST: cancel or retry one of the caller's own."""

    permission_classes = (MayDownload,)

    def post(self, request: Request, job_id: str, action: str) -> Response:
        user, identity = caller(request)
        actions: dict[str, Callable[..., DownloadJob]] = {
            "cancel": services.cancel,
            "retry": partial(services.retry, identity=identity),
        }
        if action not in actions:
            raise errors.NotFound
        job = services.find(user, job_key(job_id))
        job = actions[action](job, actor=user, ip=client_ip(request._request))
        return Response({"job": job_json(job)})


class OwnKeysView(GatewayView):
    """POST {source, api_key}: store the caller's key for a site; empty removes it."""

    permission_classes = (MayDownload,)

    def post(self, request: Request) -> Response:
        user, _ = caller(request)
        data = body_of(request)
        source, key = data.get("source"), data.get("api_key")
        if not isinstance(source, str) or not isinstance(key, str):
            raise errors.BadRequest("source and api_key must be text.", field="api_key")
        services.set_key(user, source, key, ip=client_ip(request._request))
        return Response({"sources_with_keys": services.sources_with_keys(user)})


class OwnSearchView(GatewayView):
    """GET ?source=&query=: as the API's."""

    permission_classes = (MayDownload,)

    def get(self, request: Request) -> Response:
        name, query = (request.query_params.get(each, "") for each in ("source", "query"))
        return Response({"models": search(caller(request)[0], name, query)})
