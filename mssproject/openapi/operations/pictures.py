"""Explicit pictures: tag one, look after them all."""

from typing import Final

from mssproject.openapi.operation import Operation, Operations, ok
from mssproject.openapi.shapes import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    Shape,
    always,
    array,
    nullable,
    obj,
    one_of,
    said,
)

TAG: Final = "Explicit pictures"

_TYPE: Final = one_of("output", "input", "temp")
_SCAN: Final[Shape] = nullable(
    obj(
        status=TEXT,
        total=INTEGER,
        done=INTEGER,
        flagged=INTEGER,
        started_at=TIME,
        finished_at=nullable(TIME),
    )
)
_ITEM: Final[Shape] = obj(
    filename=TEXT,
    subfolder=TEXT,
    type=_TYPE,
    sha256=TEXT,
    tag=nullable(TEXT),
    score=nullable(NUMBER),
    label=nullable(TEXT),
    reason=nullable(TEXT),
    quarantined=BOOLEAN,
    seen_at=TIME,
)
_CLASSIFIER: Final[Shape] = obj(
    configured=TEXT,
    name=nullable(TEXT),
    version=nullable(TEXT),
    threshold=NUMBER,
    unknown=one_of("block", "show"),
)


def _done(**more: Shape) -> Shape:
    return obj(status=always("ok"), classifier=_CLASSIFIER, **more)


OPERATIONS: Final[Operations] = {
    "POST /mss-login-gallery/mark-nsfw": Operation(
        "Say of a picture whether it is explicit",
        ok(obj(status=always("ok"), filename=TEXT, subfolder=TEXT, type=_TYPE, is_nsfw=BOOLEAN)),
        "Needs `can_access_api`. Its owner may say that it is; only administrators that it is not. "
        "It holds for every copy of the same content.",
        obj(
            {
                "subfolder": TEXT,
                "type": said("`output` if not said.", _TYPE),
                "score": {**NUMBER, "minimum": 0, "maximum": 1},
                "label": {**TEXT, "maxLength": 60},
            },
            filename=TEXT,
            is_nsfw=BOOLEAN,
        ),
        refused={
            404: ("NOT_FOUND",),
            502: ("UPSTREAM_UNREACHABLE",),
            504: ("UPSTREAM_TIMEOUT",),
        },
    ),
    "POST /mss-login/api/nsfw-management": Operation(
        "Look after explicit pictures",
        ok(
            {
                "anyOf": [
                    _done(scan=_SCAN),
                    _done(items=array(_ITEM), scan=_SCAN),
                    _done(cleared=INTEGER, tags=INTEGER),
                    _done(queued=INTEGER),
                ]
            },
            "What that action tells.",
        ),
        "For administrators. `scan` looks at all pictures (`stop: true` ends that), `list` tells "
        "what is known (`flagged: true`: only what is taken for explicit), `clear` forgets scores "
        "(`tags: true`: and what people said), `fix` has what could not be judged looked at again.",
        obj(
            {"stop": BOOLEAN, "flagged": BOOLEAN, "tags": BOOLEAN},
            action=one_of("scan", "list", "clear", "fix"),
        ),
    ),
}
