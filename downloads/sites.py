"""The sites as this installation reaches them: the configured ones or their mirrors."""

from collections.abc import Callable
from typing import Final

from django.conf import settings

from downloads.sources import SOURCES, Source
from downloads.stream import never
from downloads.web import Web

USER_AGENT: Final = "MSS-Login model downloader"


def base_urls() -> dict[str, str]:
    """Source name → where it answers."""
    return {"civitai": settings.CIVITAI_URL, "huggingface": settings.HF_ENDPOINT}


def source_of(name: str) -> Source:
    """The source of that name. KeyError for an unknown one."""
    return SOURCES[name](base_urls()[name])


def new_web(cancelled: Callable[[], bool] = never) -> Web:
    """What asks them, until `cancelled` says so. Plain HTTP only for a mirror on this machine."""
    return Web(
        base_urls().values(),
        user_agent=USER_AGENT,
        allow_loopback_http=True,
        cancelled=cancelled,
    )
