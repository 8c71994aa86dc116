"""`/mss-login/api/schema` and `/mss-login/api/docs`.

Both are open to all: they are the same at every installation and tell nothing of this one, and
whoever writes a client, or has one generated, needs them before there is a token.
"""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from accounts.api.base import GatewayView
from mssproject.openapi.document import document

JSON_TYPES: Final = ("application/json", "application/vnd.oai.openapi+json")
YAML_TYPES: Final = (
    "application/yaml",
    "application/vnd.oai.openapi",
    "application/x-yaml",
    "text/yaml",
)


class SchemaView(GatewayView):
    """GET: the document, as JSON, or as YAML where `Accept` prefers it."""

    authentication_classes: Any = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> HttpResponseBase:
        found = document()
        # What accepts neither is a browser: it gets what it can show.
        kind = request._request.get_preferred_type([*JSON_TYPES, *YAML_TYPES]) or JSON_TYPES[0]
        is_yaml = kind in YAML_TYPES
        etag = f'"{found.etag}-{"yaml" if is_yaml else "json"}"'
        body = found.yaml if is_yaml else found.json
        whole = HttpResponse(body, content_type=f"{kind}; charset=utf-8", headers={"ETag": etag})
        response = get_conditional_response(request._request, etag, response=whole) or whole
        response["Cache-Control"] = "no-cache"
        response["Content-Language"] = "en"
        patch_vary_headers(response, ("Accept",))
        return response


class DocsView(GatewayView):
    """GET: a page that shows the document, and tries requests out."""

    authentication_classes: Any = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> HttpResponse:
        django_request: HttpRequest = request._request
        response = render(django_request, "openapi/docs.html")
        # Its texts are those of Swagger UI.
        response["Content-Language"] = "en"
        return response
