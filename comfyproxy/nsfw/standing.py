"""May this content be shown to who is kept from explicit images? What is known of it, and what
follows. Pure."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from comfyproxy.nsfw.score import Reason

NSFW: Final = "nsfw"
# A classifier that failed so often at one content is not asked about it again by itself.
MAX_ATTEMPTS: Final = 3


class Decision(Enum):
    """What the gate does with a file for a user who is kept from explicit images."""

    SHOW = auto()
    BLOCK = auto()
    # Nobody has looked yet, or the classifier has changed: look, then decide.
    LOOK = auto()


@dataclass(frozen=True, slots=True)
class Policy:
    """What this installation holds explicit.

    `classifier` is (name, version) of the one in use, None for none. `unknown_blocks`: what
    nobody could judge is not shown.
    """

    classifier: tuple[str, str] | None
    threshold: float
    unknown_blocks: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a content.

    `tag` is somebody's word (`nsfw`, `sfw`, or empty) and wins. `classifier` is (name, version)
    of the one that last looked, with its `score` (None: it came to none, for `reason`), after
    so many `attempts`; `is_final` if another would come to none either.
    """

    tag: str = ""
    score: float | None = None
    classifier: tuple[str, str] | None = None
    reason: str = ""
    is_final: bool = False
    attempts: int = 0


def decide(standing: Standing | None, policy: Policy, *, is_picture: bool = True) -> Decision:
    """What to do with a content; `standing` None: it was never looked at.

    `is_picture`: whether its name makes a browser show it as a picture or video. Of what has no
    such name, only contents that turn out to be pictures are kept from anybody.
    """
    if standing is None:
        return Decision.LOOK
    if standing.tag:
        return Decision.BLOCK if standing.tag == NSFW else Decision.SHOW
    if policy.classifier is not None and standing.classifier != policy.classifier:
        return Decision.LOOK
    if standing.reason == Reason.NOT_VISUAL and not is_picture:
        return Decision.SHOW
    if policy.classifier is not None:
        if standing.score is not None:
            return Decision.BLOCK if standing.score >= policy.threshold else Decision.SHOW
        if not standing.is_final and standing.attempts < MAX_ATTEMPTS:
            return Decision.LOOK
    return Decision.BLOCK if policy.unknown_blocks else Decision.SHOW
