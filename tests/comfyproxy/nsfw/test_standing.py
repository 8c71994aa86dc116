"""What follows from what is known of a content."""

import pytest

from comfyproxy.nsfw.score import Reason
from comfyproxy.nsfw.standing import MAX_ATTEMPTS, Decision, Policy, Standing, decide

NOW = ("judge", "2")
STRICT = Policy(NOW, threshold=0.5, unknown_blocks=True)
LAX = Policy(NOW, threshold=0.5, unknown_blocks=False)
BY_HAND = Policy(None, threshold=0.5, unknown_blocks=False)
BY_HAND_STRICT = Policy(None, threshold=0.5, unknown_blocks=True)
SHOW, BLOCK, LOOK = Decision.SHOW, Decision.BLOCK, Decision.LOOK


def scored(value: float, by: tuple[str, str] = NOW, tag: str = "") -> Standing:
    return Standing(tag=tag, score=value, classifier=by, is_final=True, attempts=1)


def failed(reason: Reason, *, final: bool, attempts: int = 1) -> Standing:
    return Standing(classifier=NOW, reason=reason, is_final=final, attempts=attempts)


@pytest.mark.parametrize(
    ("standing", "strict", "lax"),
    [
        (None, LOOK, LOOK),
        (Standing(), LOOK, LOOK),
        (scored(0.49), SHOW, SHOW),
        (scored(0.5), BLOCK, BLOCK),
        (scored(0.99, tag="sfw"), SHOW, SHOW),
        (scored(0.01, tag="nsfw"), BLOCK, BLOCK),
        (scored(0.01, by=("judge", "1")), LOOK, LOOK),
        (Standing(tag="nsfw"), BLOCK, BLOCK),
        (Standing(tag="sfw"), SHOW, SHOW),
        (failed(Reason.UNDECODABLE, final=True), BLOCK, SHOW),
        (failed(Reason.TIMEOUT, final=False), LOOK, LOOK),
        (failed(Reason.TIMEOUT, final=False, attempts=MAX_ATTEMPTS), BLOCK, SHOW),
        (failed(Reason.NOT_VISUAL, final=True), BLOCK, SHOW),
    ],
)
def test_classifier_and_people_decide(
    standing: Standing | None, strict: Decision, lax: Decision
) -> None:
    assert (decide(standing, STRICT), decide(standing, LAX)) == (strict, lax)


def test_what_is_no_picture_by_name_and_content_is_shown() -> None:
    nothing = failed(Reason.NOT_VISUAL, final=True)
    assert decide(nothing, STRICT, is_picture=False) is SHOW
    assert decide(scored(0.9), STRICT, is_picture=False) is BLOCK
    assert decide(failed(Reason.UNDECODABLE, final=True), STRICT, is_picture=False) is BLOCK


def test_without_a_classifier_people_alone_decide() -> None:
    assert decide(None, BY_HAND) is LOOK
    assert decide(Standing(), BY_HAND) is SHOW
    assert decide(Standing(), BY_HAND_STRICT) is BLOCK
    # What a classifier said that is not in use any more counts no more.
    assert decide(scored(0.99), BY_HAND) is SHOW
    assert decide(Standing(tag="nsfw"), BY_HAND) is BLOCK
    assert decide(Standing(tag="sfw"), BY_HAND_STRICT) is SHOW
