"""Which language a request is answered in, and the texts that our scripts need in it."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, Final, cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.decorators import sync_and_async_middleware
from django.views.decorators.http import conditional_page, require_safe
from django.views.i18n import JavaScriptCatalog, JSONCatalog

# Its own words are English only: half of each page in another language would be worse.
ADMIN: Final = "/admin"
ENGLISH: Final = "en"
# Where mssproject/locale is. The texts of Django's admin are none of our scripts'.
_PACKAGES: Final = ("mssproject",)


@sync_and_async_middleware
def choose_language(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Django middleware, as LocaleMiddleware: the cookie's language, else the browser's, else
    English. No thread is changed for it, and the admin is left out."""
    if iscoroutinefunction(get_response):
        awaited = cast("Callable[[HttpRequest], Awaitable[HttpResponseBase]]", get_response)

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            language = _chosen(request)
            return _labelled(await awaited(request), language)

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        language = _chosen(request)
        return _labelled(get_response(request), language)

    return synchronous


def _chosen(request: HttpRequest) -> str:
    in_admin = f"{request.path_info}/".startswith(f"{ADMIN}/")
    language = ENGLISH if in_admin else translation.get_language_from_request(request)
    translation.activate(language)
    return language


def _labelled(response: HttpResponseBase, language: str) -> HttpResponseBase:
    patch_vary_headers(response, ("Accept-Language", "Cookie"))
    response.headers.setdefault("Content-Language", language)
    return response


def _revalidated(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Kept by browsers, and asked about each time: after an update, or with another language,
    scripts have the texts that they name."""

    def wrapped(request: HttpRequest) -> HttpResponseBase:
        response = view(request)
        patch_cache_control(response, no_cache=True)
        return response

    return cast("Callable[..., HttpResponseBase]", require_safe(conditional_page(wrapped)))


texts_js = _revalidated(JavaScriptCatalog.as_view(packages=_PACKAGES))
texts_json = _revalidated(JSONCatalog.as_view(packages=_PACKAGES))
