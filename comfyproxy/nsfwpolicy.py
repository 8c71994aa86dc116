"""What this installation holds explicit, and by which classifier: its policy and its scorer."""

import asyncio
import logging
from functools import cache
from threading import Lock
from time import monotonic
from typing import Final

from django.conf import settings

from comfyproxy.nsfw.config import KINDS, ClassifierConfig, ClassifierKind, available
from comfyproxy.nsfw.errors import ClassifierBroken
from comfyproxy.nsfw.scorer import Scorer
from comfyproxy.nsfw.standing import Policy

logger = logging.getLogger(__name__)

# A classifier that could not be started is tried again after this long.
BROKEN_SECONDS: Final = 60.0

_lock = Lock()
_scorer: Scorer | None = None
# The policy, and until when it holds.
_known: tuple[Policy, float] | None = None


def kind() -> ClassifierKind | None:
    """Which classifier is configured, or taken because it is installed. None: there is none."""
    given = settings.NSFW_CLASSIFIER
    if given is None:
        return "opennsfw" if _is_installed() else None
    return next((each for each in KINDS if each == given), None)


@cache
def _is_installed() -> bool:
    return available("opennsfw")


def unknown_blocks() -> bool:
    """Whether what nobody could judge is kept from whoever is not shown explicit images."""
    if settings.NSFW_UNKNOWN is not None:
        return bool(settings.NSFW_UNKNOWN == "block")
    return kind() is not None


def sentence() -> str:
    """For the operator, at the start: who judges pictures."""
    rest = "kept from" if unknown_blocks() else "shown to"
    who = f"judged by {kind()}" if kind() else "told by people's tags only"
    return f"Explicit images are {who}; what is not judged is {rest} users who see none."


def scorer() -> Scorer | None:
    """This process's scorer; it starts its child when it is first asked. None: no classifier."""
    global _scorer
    chosen = kind()
    if chosen is None:
        return None
    with _lock:
        if _scorer is None:
            path = None if settings.NSFW_MODEL is None else str(settings.NSFW_MODEL)
            _scorer = Scorer(ClassifierConfig(chosen, path, settings.NSFW_URL))
        return _scorer


async def policy() -> Policy:
    """The policy in force. The first call may wait a second or two for the classifier."""
    known = _known
    if known is not None and monotonic() < known[1]:
        return known[0]
    return await asyncio.to_thread(policy_now)


def policy_now() -> Policy:
    """As `policy`, from a thread."""
    global _known
    identity, keeps = None, float("inf")
    judge = scorer()
    if judge is not None:
        try:
            identity = judge.identity()
        except ClassifierBroken as error:
            logger.error("explicit images cannot be told: %s", error)
            keeps = monotonic() + BROKEN_SECONDS
    found = Policy(identity, settings.NSFW_THRESHOLD, unknown_blocks())
    _known = found, keeps
    return found


def forget() -> None:
    """Ask the classifier anew who it is."""
    global _known
    _known = None


def close() -> None:
    """End the scorer's child."""
    global _scorer, _known
    with _lock:
        if _scorer is not None:
            _scorer.close()
        _scorer, _known = None, None
