"""Adds `Permissions-Policy` to what Django answers: our pages use passkeys, and no other device."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# https://www.w3.org/TR/permissions-policy/; the passkeys' names are WebAuthn level 3's.
POLICY: Final = (
    "camera=(), microphone=(), geolocation=(), payment=(), "
    "publickey-credentials-get=(self), publickey-credentials-create=(self)"
)


@sync_and_async_middleware
def permissions_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Django middleware, for either kind of handler: no thread is changed for a header."""
    if iscoroutinefunction(get_response):
        awaited = cast("Callable[[HttpRequest], Awaitable[HttpResponseBase]]", get_response)

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            return _with_policy(await awaited(request))

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        return _with_policy(get_response(request))

    return synchronous


def _with_policy(response: HttpResponseBase) -> HttpResponseBase:
    response["Permissions-Policy"] = POLICY
    return response
