"""What all views of accounts share: which bodies they read, and that they answer in JSON."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

import orjson
from django.http import QueryDict
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser, FormParser, MultiPartParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.throttles import ApiThrottle
from accounts.errors import BadRequest, InvalidJson


class BodyParser(BaseParser):
    """JSON is UTF-8 whatever the content type says (RFC 8259). orjson bounds the depth of
    nesting, and refuses NaN and lone surrogates, which nothing behind it could store."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return orjson.loads(stream.read())
        except orjson.JSONDecodeError:
            raise InvalidJson from None


class Utf8FormParser(FormParser):
    """Python knows charsets that are not for texts (punycode, zlib): a form is UTF-8."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return super().parse(stream, media_type, _as_utf8(parser_context))


class Utf8MultiPartParser(MultiPartParser):
    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return super().parse(stream, media_type, _as_utf8(parser_context))


def _as_utf8(parser_context: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(parser_context or {}), "encoding": "utf-8"}


class AlwaysFirst(DefaultContentNegotiation):
    """The first renderer, whatever `Accept` and `?format=` say: an address here has one form,
    and pages decide by themselves who gets HTML."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


class GatewayView(APIView):
    """A view that takes JSON or a form and answers in JSON."""

    parser_classes: Any = (BodyParser, Utf8FormParser, Utf8MultiPartParser)
    renderer_classes: Any = (JSONRenderer,)
    content_negotiation_class: Any = AlwaysFirst
    throttle_classes: Any = (ApiThrottle,)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        finished = super().finalize_response(request, response, *args, **kwargs)
        # Tokens, sessions, who somebody is: for the one who asked, and for now.
        finished.setdefault("Cache-Control", "no-store")
        return finished


def flag(data: Any, name: str) -> bool:
    """A yes or no of a body: true or false in JSON; in a form a field that is not empty, as a
    ticked box sends it. Not there: no.

    Raises:
        BadRequest naming the field
    """
    if isinstance(data, QueryDict):
        return bool(data.get(name))
    value = data.get(name, False) if hasattr(data, "get") else False
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.", field=name)
    return value


def validated(serializer_class: type[Any], data: Any) -> dict[str, Any]:
    """The checked fields of a JSON object or form; 400 otherwise."""
    if not hasattr(data, "keys"):
        raise BadRequest("The body must be a JSON object.")
    serializer = serializer_class(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
