"""Start-up checks of the gateway (ids comfyproxy.*)."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from comfyproxy import nsfwpolicy
from comfyproxy.nsfw.config import why_not


def register_all() -> None:
    register(upstream_is_not_the_gateway)
    register(classifier_is_installed)


def upstream_is_not_the_gateway(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A gateway that forwards to itself would answer nobody."""
    url = urlsplit(settings.COMFYUI_URL)
    same_host = url.hostname in ("localhost", "127.0.0.1", "::1", settings.MSS_HOST)
    if same_host and (url.port or 80) == settings.MSS_PORT:
        return [
            Error(
                "COMFYUI_URL points at the gateway itself.",
                hint="Give ComfyUI and the gateway (MSS_PORT) different ports.",
                id="comfyproxy.E001",
            )
        ]
    return []


def classifier_is_installed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A classifier that cannot run would block every picture for who is kept from some."""
    kind = nsfwpolicy.kind()
    missing = "" if kind is None else why_not(kind)
    if not missing:
        return []
    sentence, _, command = missing.partition(": ")
    return [Error(f"{sentence}.", hint=command, id="comfyproxy.E002")]
