"""/account/files: former versions of a person's files, to be had back."""

from typing import Any, Final

from asgiref.sync import async_to_sync
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors, login
from accounts.identity import Identity
from accounts.middleware import check_own_page, cookie_identity
from accounts.pages import Page, sent_credential, text_field, wants_page
from accounts.sentences import english
from accounts.telling import told
from comfyproxy import nsfwgate, userfiles
from comfyproxy.attachments import as_download
from comfyproxy.userdata import trees
from comfyproxy.userdata.entries import Entry
from comfyproxy.userdata.limits import Limits
from comfyproxy.userdata.versions import Version

_ADDRESS: Final = "/account/files"
# On one page; more are found by searching.
MAX_FILES: Final = 200


class FormerFilesPage(Page):
    """GET: the files that have former versions, those that were deleted first; with `version=`
    that version itself. POST {version}: restores it. JSON for scripts of our pages."""

    template = "comfyproxy/account_files.html"

    def get(self, request: Request) -> HttpResponseBase:
        identity = _identity(request)
        if identity is None:
            if not wants_page(request._request):
                raise errors.AuthRequired
            return HttpResponseRedirect(f"/login?next={_ADDRESS}")
        version_id = request.query_params.get("version")
        if version_id is not None:
            return _version(identity, version_id)
        if wants_page(request._request):
            return self.page(request, **self._context(request, identity))
        versions = trees.of_user(identity.namespace).versions.all()
        return Response({"versions": [_json(version) for version in versions]})

    def post(self, request: Request) -> HttpResponseBase:
        check_own_page(request._request)
        identity = _identity(request)
        if identity is None:
            raise errors.AuthRequired
        entry = _restored(identity, text_field(request, "version"))
        if not wants_page(request._request):
            return Response({"file": entry.info()})
        done = told(english("%(file)s is as it was then.", file=entry.path))
        return self.page(request, done=done, **self._context(request, identity))

    def page_context(self, request: Request) -> dict[str, Any]:
        identity = _identity(request)
        return {} if identity is None else self._context(request, identity)

    def _context(self, request: Request, identity: Identity) -> dict[str, Any]:
        tree = trees.of_user(identity.namespace)
        words = request.query_params.get("q", "")
        files: dict[str, list[Version]] = {}
        for version in tree.versions.all():
            if words.casefold() in version.path.casefold():
                files.setdefault(version.path, []).append(version)
        present = {entry.path for entry in tree.files()}
        # The latest first, deleted ones before all others.
        found = sorted(files.items(), key=lambda item: item[0] in present)
        return {
            "files": [(path, versions, path in present) for path, versions in found[:MAX_FILES]],
            "is_cut": len(found) > MAX_FILES,
            "q": words,
            "limits": Limits.of_settings(),
        }


def _identity(request: Request) -> Identity | None:
    return cookie_identity(sent_credential(request), login.client_ip(request._request))


def _version(identity: Identity, version_id: str) -> HttpResponse:
    found = trees.of_user(identity.namespace).versions.find(version_id)
    if found is None:
        raise errors.NotFound(english("This version is not there any more."))
    async_to_sync(nsfwgate.require_bytes)(found[1], found[0].path, identity)
    return as_download(found[0].path, found[1])


def _restored(identity: Identity, version_id: str) -> Entry:
    tree = trees.of_user(identity.namespace)
    found = tree.versions.find(version_id)
    if found is None:
        raise errors.NotFound(english("This version is not there any more."))
    userfiles.require_change(identity, found[0].path)
    return tree.restore(version_id)


def _json(version: Version) -> dict[str, Any]:
    return {
        "version": version.id,
        "path": version.path,
        "why": version.why,
        "size": version.size,
        "saved_at": version.saved,
        "kept_at": version.kept,
    }
