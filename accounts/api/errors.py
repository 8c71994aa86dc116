"""Turns every exception of an API view into the one error shape of API.md section 1."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response

from accounts import errors
from accounts.sentences import english
from accounts.telling import body_of
from accounts.unexpected import refusal_of

logger = logging.getLogger(__name__)


def gateway_error(exc: Exception) -> errors.GatewayError:
    """The refusal that stands for `exc`; an unexpected one is logged and becomes a bare 500."""
    match exc:
        case errors.GatewayError():
            return exc
        case drf.ValidationError():
            return _invalid(exc.detail)
        case drf.UnsupportedMediaType():
            return errors.BadRequest(english("Send JSON or a form."))
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            return errors.AuthRequired()
        case drf.MethodNotAllowed():
            return errors.MethodNotAllowed()
        case drf.Throttled():
            return errors.Throttled(headers={"Retry-After": _seconds(exc)})
        case drf.NotFound() | Http404():
            return errors.NotFound()
        case drf.PermissionDenied() | DjangoPermissionDenied():
            return errors.PermissionDenied()
        case RequestDataTooBig():
            return errors.TooLarge()
        case drf.ParseError() | SuspiciousOperation():  # a broken form, one with too many fields
            return errors.BadRequest(english("The form is not understood."))
        case _:
            logger.error("unexpected error", exc_info=exc)
            return refusal_of(exc)


def _invalid(detail: Any) -> errors.BadRequest:
    """The first fault of a serializer's error detail."""
    if isinstance(detail, dict) and detail:
        field, inner = next(iter(detail.items()))
        while isinstance(inner, (list, dict)) and inner:
            inner = next(iter(inner.values())) if isinstance(inner, dict) else inner[0]
        if field == "non_field_errors":
            return errors.BadRequest(str(inner))
        return errors.BadRequest(f"{field}: {inner}", field=field)
    first = detail[0] if isinstance(detail, list) and detail else detail
    return errors.BadRequest(str(first))


def _seconds(throttled: drf.APIException) -> str:
    return str(int(getattr(throttled, "wait", None) or 1))


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER."""
    refusal = gateway_error(exc)
    return Response(body_of(refusal), status=refusal.status, headers=refusal.headers)
