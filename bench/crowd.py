"""What others cost: queue and history of one user beside a thousand prompts of somebody else's."""

import time
from dataclasses import dataclass
from typing import Final

import orjson

from bench import rawhttp
from bench.measures import Compared, Plan, compared
from bench.stage import Stage

FOREIGN: Final = 1000
HISTORY: Final = 10_000
OWN: Final = 10
_PARSED: Final = 20


@dataclass(frozen=True)
class Asked:
    """One question at one connection."""

    name: str
    p50_ms: Compared
    answer_bytes: Compared


@dataclass(frozen=True)
class Crowd:
    """The questions, and what it takes to parse ComfyUI's answer about everybody's queue."""

    asked: list[Asked]
    parse_ms: float


def crowd(stage: Stage, plan: Plan) -> Crowd:
    """Fills queue and history, so it comes last."""
    alone = _ask(stage, plan, "queue, no foreign item", "/queue", "/queue")
    stage.fill_queue(FOREIGN)
    beside = _ask(stage, plan, f"queue, {FOREIGN} foreign items", "/queue", "/queue")
    raw = stage.ask_comfy_raw("/queue")
    started = time.perf_counter()
    for _ in range(_PARSED):
        orjson.loads(raw)
    parse_ms = (time.perf_counter() - started) / _PARSED * 1000
    stage.fill_history(HISTORY, own=OWN)
    newest = "/history?max_items=64"
    few = _ask(stage, plan, f"newest 64 of {OWN} own among {HISTORY}", newest, newest)
    every = _ask(stage, plan, f"all {OWN} own among {HISTORY}", "/history", "/history")
    return Crowd([alone, beside, few, every], parse_ms)


def _ask(stage: Stage, plan: Plan, name: str, direct: str, gateway: str) -> Asked:
    rounds, sizes = [], []
    for _ in range(plan.rounds):
        found = []
        for port, path in ((stage.direct, direct), (stage.gateway.port, gateway)):
            message = rawhttp.request("GET", path, stage.token)
            rate = stage.measure(rawhttp.small_requests, port, message, 1, plan.seconds)
            found.append((rate.p50_ms, float(stage.answer_bytes(port, path))))
        rounds.append((found[0][0], found[1][0]))
        sizes.append((found[0][1], found[1][1]))
    return Asked(name, compared(rounds), compared(sizes))
