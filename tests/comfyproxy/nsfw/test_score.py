"""What comes of scoring: a score or a reason, and whether to ask again."""

import math

import pytest

from comfyproxy.nsfw.score import Reason, Score, Scored

AGAIN = {
    Reason.TIMEOUT,
    Reason.CRASHED,
    Reason.CLASSIFIER_FAILED,
    Reason.NO_VIDEO_SUPPORT,
    Reason.UNREADABLE,
}


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_classifier_gives_no_number_from_0_to_1_no_score_is_made(value: float) -> None:
    with pytest.raises(ValueError):
        Score(value, "nsfw")


@pytest.mark.parametrize("reason", list(Reason))
def test_worker_asks_again_only_for_what_may_change(reason: Reason) -> None:
    score = Score(0.5, "sfw") if reason is Reason.SCORED else None
    assert Scored(score, reason).is_final is (reason not in AGAIN)


def test_file_has_neither_score_nor_reason_it_is_refused() -> None:
    with pytest.raises(ValueError):
        Scored(None, Reason.SCORED)
    with pytest.raises(ValueError):
        Scored(Score(0.0, ""), Reason.TIMEOUT)
