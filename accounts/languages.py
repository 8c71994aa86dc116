"""Which languages there are, and the cookie by which a browser keeps the one that was chosen."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import get_language, get_language_from_request, override

from accounts.credentials import RawHeaders, cookie, header


def choices() -> list[tuple[str, str]]:
    """Code and name of each, for forms. Migrations name this function, not the languages: one
    more is no change of the database."""
    return list(settings.LANGUAGES)


def remember(response: HttpResponseBase, request: HttpRequest, language: str) -> None:
    """Have this browser keep `language`; without one it is as the browser says again."""
    if language not in dict(settings.LANGUAGES):
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME, samesite="Lax")
        return
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        httponly=True,
        secure=request.is_secure(),
        # Strict would leave out who follows a link to here from a mail.
        samesite="Lax",
    )


def kept(request: HttpRequest) -> str:
    """What this browser keeps; empty: nothing that there is."""
    language = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
    return language if language in dict(settings.LANGUAGES) else ""


def asked_for(headers: RawHeaders) -> str:
    """The language that a request's headers ask for, as Django finds it for its own requests: the
    one that this browser keeps, else the browser's, else English."""
    request = HttpRequest()
    request.COOKIES[settings.LANGUAGE_COOKIE_NAME] = (
        cookie(headers, settings.LANGUAGE_COOKIE_NAME) or ""
    )
    request.META["HTTP_ACCEPT_LANGUAGE"] = header(headers, b"accept-language") or ""
    return get_language_from_request(request)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Within, `language` is spoken; the present one if it is empty or not there any more."""
    with override(language if language in dict(settings.LANGUAGES) else get_language()):
        yield
