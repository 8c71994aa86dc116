"""What comes of scoring a file. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a file has no score; `SCORED` (empty) where it has one."""

    SCORED = ""
    # No picture in it could be decoded, though a browser may show some.
    UNDECODABLE = "undecodable"
    # More bytes or frames than are looked at.
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    # Nothing that a browser shows as a picture or video.
    NOT_VISUAL = "not_visual"
    # A video, and PyAV is not installed.
    NO_VIDEO_SUPPORT = "no_video_support"
    # It is not there, or may not be read.
    UNREADABLE = "unreadable"
    TIMEOUT = "timeout"
    # The child died, or had too little memory, on this file or for another cause.
    CRASHED = "crashed"
    CLASSIFIER_FAILED = "classifier_failed"


_FINAL: Final = frozenset(
    {
        Reason.SCORED,
        Reason.UNDECODABLE,
        Reason.TOO_LARGE,
        Reason.TOO_MANY_PIXELS,
        Reason.NOT_VISUAL,
    }
)


@dataclass(frozen=True, slots=True)
class Score:
    """How explicit a picture is, from 0 to 1, and the classifier's own word for it.

    Raises:
        ValueError: a value that is none of these, NaN too
    """

    value: float
    label: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"A score is from 0 to 1, not {self.value}.")


@dataclass(frozen=True, slots=True)
class Scored:
    """A file's score, the highest of its frames', or why it has none.

    `frames`: how many pictures the classifier was shown.
    """

    score: Score | None
    reason: Reason
    frames: int = 0

    def __post_init__(self) -> None:
        if (self.score is None) == (self.reason is Reason.SCORED):
            raise ValueError("A file has a score or a reason.")

    @property
    def is_final(self) -> bool:
        """Whether asking again is pointless as long as file, classifier and limits are the same.

        What is not final may be the machine's fault or the file's: ask again, but not for ever.
        """
        return self.reason in _FINAL
