"""What it costs that pictures are judged: /view for who is kept from explicit images, scoring."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench import rawhttp, scoring
from bench.measures import Plan
from bench.stage import Stage
from bench.table import Table

_ENFORCE: Final = """
from accounts.models import User
User.objects.filter(username="bench").update(sfw_enforced=enforced)
"""
# As long as a gateway may go by what it knows of a user.
_SETTLE_SECONDS: Final = 6.0


@dataclass(frozen=True)
class Pictures:
    """Medians of /view in ms, judged and not; pictures scored in a second on one core."""

    open_ms: float
    judged_ms: float
    figures: list[scoring.Figure]


def pictures(stage: Stage, plan: Plan) -> Pictures:
    """The same picture for the same user, before and after the user is kept from some."""
    message = rawhttp.request("GET", stage.image, stage.token)
    with stage.gateway_with(MSS_NSFW_CLASSIFIER="opennsfw", MSS_NSFW_THRESHOLD="1") as gateway:

        def median() -> float:
            times = []
            for _ in range(plan.rounds):
                rate = stage.measure(rawhttp.small_requests, gateway.port, message, 1, plan.seconds)
                times.append(rate.p50_ms)
            return statistics.median(times)

        open_ms = median()
        stage.gateway.run(_ENFORCE, enforced=True)
        try:
            time.sleep(_SETTLE_SECONDS)
            judged_ms = median()
        finally:
            stage.gateway.run(_ENFORCE, enforced=None)
    _, figures = scoring.measure(plan.seconds)
    return Pictures(open_ms, judged_ms, figures)


def table(found: Pictures) -> Table:
    """The figures."""
    added = found.judged_ms - found.open_ms
    rows = [
        ("/view, user who sees all", f"{found.open_ms:.2f} ms"),
        ("/view, judged picture", f"{found.judged_ms:.2f} ms"),
        ("added", f"{added:.2f} ms"),
        *(
            (f"{scoring.SIDE}² {each.format} scored, one core", f"{each.rate:.1f}/s")
            for each in found.figures
        ),
        *(
            (f"scoring process, {each.format}", f"{each.memory:.0f} MB")
            for each in found.figures[:1]
        ),
    ]
    return Table("Explicit images (opennsfw)", ("what", "figure"), rows)


def targets(found: Pictures) -> Iterator[tuple[str, bool, str]]:
    """Each target: what, whether it is met, the figure."""
    added = found.judged_ms - found.open_ms
    yield "judged picture: at most 0.3 ms added to /view", added <= 0.3, f"{added:.2f} ms"
    slowest = min(each.rate for each in found.figures)
    yield "10 pictures of 1024² scored in a second", slowest >= 10, f"{slowest:.1f}/s"
