"""The view lane: the DRF entry of routes that are read, filtered or rewritten."""

from collections.abc import AsyncIterator
from typing import Any, cast

from adrf.views import APIView
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from accounts.api.errors import gateway_error
from accounts.credentials import without_tokens
from accounts.errors import NotFound
from comfyproxy import handlers
from comfyproxy.calls import Call, Reply, refusal
from comfyproxy.gate import SCOPE_KEY, Admitted, log_refusal


class BareASGIHandler(ASGIHandler):
    """Django without middleware: ComfyUI's routes have passed the gate already, and each
    middleware costs a thread hop or more (DESIGN section 1)."""

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._middleware_chain = convert_exception_to_response(
            self._get_response_async  # type: ignore[attr-defined]
        )


class ComfyView(APIView):
    """Every ComfyUI route of the view lane. The entry has admitted the request and left the
    result in the scope; without it nothing is served."""

    authentication_classes: Any = ()
    permission_classes: Any = ()
    http_method_names = ("get", "head", "post", "put", "patch", "delete")
    default_response_headers: Any = {}

    async def handle(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        django_request = cast(ASGIRequest, request._request)
        admitted = django_request.scope.get(SCOPE_KEY)
        if not isinstance(admitted, Admitted):
            raise NotFound
        call = Call(
            method=django_request.method or "GET",
            path=admitted.path,
            params=admitted.match.params,
            query=without_tokens(django_request.scope["query_string"]),
            headers=django_request.scope["headers"],
            caller=admitted.identity,
            chunks=lambda: _chunks(django_request),
        )
        return await _response(await handlers.resolve(admitted.match.rule.handler)(call))

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # ComfyUI looks at neither `Accept` nor `?format=`: each route has one kind of answer.
        return JSONRenderer(), JSONRenderer.media_type

    def handle_exception(self, exc: Exception) -> HttpResponse:
        error = gateway_error(exc)
        log_refusal(cast(ASGIRequest, self.request._request).scope, error)
        return _finished(refusal(error))

    get = head = post = put = patch = delete = handle


async def _chunks(request: ASGIRequest) -> AsyncIterator[bytes]:
    # Django has the body in memory or in a temporary file by now.
    while chunk := await sync_to_async(request.read, thread_sensitive=False)(256 * 1024):
        yield chunk


async def _response(reply: Reply) -> HttpResponse:
    if reply.stream is None:
        return _finished(reply)
    # The view lane serves what is small; what streams belongs in the stream lane.
    body = b"".join([chunk async for chunk in reply.stream.chunks()])
    return _finished(Reply(reply.status, reply.headers, body))


def _finished(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, status=reply.status)
    del response["Content-Type"]
    for name, value in reply.headers:
        response[name.decode("latin-1")] = value.decode("latin-1")
    response["Content-Length"] = str(len(reply.body))
    return response
