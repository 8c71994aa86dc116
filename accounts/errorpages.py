"""A refusal as a page, for a person whose browser goes somewhere. Clients get JSON."""

from typing import Any, Final

from csp.utils import build_policy
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import languages
from accounts.credentials import RawHeaders
from accounts.errors import GatewayError
from accounts.telling import told

TEMPLATE: Final = "error.html"
# As Django's middleware, which these answers do not pass, gives them to all pages.
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept-Language, Cookie"),
    (b"content-security-policy", build_policy().encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", settings.X_FRAME_OPTIONS.encode()),
    (b"referrer-policy", settings.SECURE_REFERRER_POLICY.encode()),
)
RETRY_SECONDS: Final = 5


def error_page(
    error: GatewayError, headers: RawHeaders
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of the page; in the language that the request's headers ask for."""
    with translation.override(languages.asked_for(headers)):
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
