"""A refusal as a page, for a person whose browser goes somewhere. Clients get JSON."""

from typing import Any, Final

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation.trans_real import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header as parse_languages

from accounts.credentials import RawHeaders, cookie, header
from accounts.errors import GatewayError
from accounts.telling import told

TEMPLATE: Final = "error.html"
# Served beside Django's middleware, which gives its pages the same.
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept-Language, Cookie"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)
RETRY_SECONDS: Final = 5


def error_page(
    error: GatewayError, headers: RawHeaders
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of the page; in the language that the request's headers ask for."""
    with translation.override(language_of(headers)):
        body = render_to_string(TEMPLATE, context_of(error)).encode()
    found = [*_HEADERS, *((name.lower().encode(), v.encode()) for name, v in error.headers.items())]
    if is_away(error):
        found.append((b"retry-after", str(RETRY_SECONDS).encode()))
    return error.status, found, body


def is_away(error: GatewayError) -> bool:
    """Whether ComfyUI does not answer: that passes by itself, so the page tries again."""
    return error.wire_code in ("UPSTREAM_UNREACHABLE", "UPSTREAM_TIMEOUT")


def context_of(error: GatewayError) -> dict[str, Any]:
    """What the template shows of a refusal."""
    if is_away(error):
        title, text = (
            _("ComfyUI does not answer"),
            _("It may be starting. This page tries again by itself until ComfyUI is there."),
        )
    elif error.status == 404:
        title, text = _("There is nothing here"), _("It was deleted, moved, or is not yours.")
    elif error.wire_code == "PERMISSION_DENIED":
        title, text = (
            _("Your role does not allow this"),
            _("If you need it, ask an administrator. You can also log in as somebody else."),
        )
    elif error.status >= 500:
        title, text = (
            _("Something went wrong"),
            _("Try again. If it stays so, tell an administrator."),
        )
    else:
        title, text = _("This was refused"), told(error.message)
    return {
        "title": title,
        "text": text,
        "code": error.wire_code,
        "retry": is_away(error),
        "retry_seconds": RETRY_SECONDS,
    }


def language_of(headers: RawHeaders) -> str:
    """The language that was chosen in this browser (a cookie), else that it asks for."""
    wanted = [cookie(headers, settings.LANGUAGE_COOKIE_NAME) or ""]
    accepted = header(headers, b"accept-language") or ""
    wanted += [language for language, _weight in parse_languages(accepted[:500])]
    for each in wanted:
        try:
            return get_supported_language_variant(each)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE
