"""ComfyUI's queue as its owner may see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfyproxy.cachekey import without_cache_key

SHOWN_EXTRA: Final = "extra_pnginfo"


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the gateway recorded of a prompt: whose it is and how they called things."""

    user_id: int
    client_id: str | None
    number: int
    # Nodes whose pictures on the socket are results (SaveImageWebsocket), not previews.
    result_nodes: frozenset[str] = frozenset()
    namespace: str = ""
    created_ms: int = 0
    size_bytes: int = 0


Owners = Mapping[str, Ownership]


def prompt_ids(queue: Any) -> list[str]:
    """The ids of all prompts of a `GET /queue` answer, running ones first."""
    return [item[1] for part in ("queue_running", "queue_pending") for item in _items(queue, part)]


def ids_in(queue: Any, part: str) -> list[str]:
    """The ids of one part: `queue_running` or `queue_pending`, in order of execution."""
    return [item[1] for item in sorted(_items(queue, part), key=_order)]


def visible_queue(queue: Any, owners: Owners, user_id: int | None) -> dict[str, list[Any]]:
    """Keep the entries of one user; with None all, those the gateway knows nothing of too.

    `queue`: {"queue_running": [...], "queue_pending": [...]}, each entry
    [number, prompt_id, graph, extra_data, outputs] (ComfyUI 0.3.64, server.py get_queue).
    Pending entries come in order of execution (ComfyUI: heap order). Entries not shaped
    like that are dropped.
    """
    return {
        part: [
            shown_item(item, owners.get(item[1]))
            for item in sorted(_items(queue, part), key=_order)
            if may_see_prompt(item[1], owners, user_id)
        ]
        for part in ("queue_running", "queue_pending")
    }


def place_in_queue(queue: Any, owners: Owners, user_id: int) -> dict[str, int | None]:
    """Where a user stands: `running` and `pending` prompts of their own; `position` of the next
    of them among all that wait (1 is next; None: none waits); `ahead`, how many prompts of
    anybody, running ones included, come before it."""
    own = {
        part: [may_see_prompt(pid, owners, user_id) for pid in ids_in(queue, part)]
        for part in ("queue_running", "queue_pending")
    }
    running, pending = own["queue_running"], own["queue_pending"]
    first = pending.index(True) if True in pending else None
    return {
        "running": sum(running),
        "pending": sum(pending),
        "position": None if first is None else first + 1,
        "ahead": 0 if first is None else first + len(running),
    }


def may_see_prompt(prompt_id: str, owners: Owners, user_id: int | None) -> bool:
    """Whether a prompt is that user's; None stands for who may see everybody's."""
    if user_id is None:
        return True
    owner = owners.get(prompt_id)
    return owner is not None and owner.user_id == user_id


def shown_item(item: list[Any], owner: Ownership | None) -> list[Any]:
    """A queue or history tuple as its owner sent it: own number, own client id, no secrets."""
    number, prompt_id, graph, extra_data, *rest = item
    # Of the rest only the outputs: newer ComfyUI keeps secrets behind them.
    return [
        number if owner is None else owner.number,
        prompt_id,
        without_cache_key(graph),
        shown_extra(extra_data, None if owner is None else owner.client_id),
        *rest[:1],
    ]


def shown_extra(extra_data: Any, client_id: str | None) -> dict[str, Any]:
    """Of `extra_data`, what may ever come back: the picture's metadata and the own client id.

    All else may be a secret (`auth_token_comfy_org`, `api_key_comfy_org`, unknown ones).
    """
    shown: dict[str, Any] = {}
    if isinstance(extra_data, dict) and SHOWN_EXTRA in extra_data:
        shown[SHOWN_EXTRA] = extra_data[SHOWN_EXTRA]
    if client_id is not None:
        shown["client_id"] = client_id
    return shown


def _items(queue: Any, part: str) -> list[list[Any]]:
    items = queue.get(part) if isinstance(queue, dict) else None
    if not isinstance(items, list):
        return []
    return [
        item
        for item in items
        if isinstance(item, list) and len(item) >= 4 and isinstance(item[1], str)
    ]


def _order(item: list[Any]) -> float:
    return item[0] if isinstance(item[0], (int, float)) else 0.0
