"""Thousands of models: `object_info` from the gateway beside ComfyUI's own, checks of prompts."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from accounts.grants import Grants
from bench import rawhttp
from bench.measures import CONNECTIONS, Compared, Plan, compared
from bench.stage import Stage
from bench.table import Table
from bench.watch import Watch
from comfyproxy.filters.models import KnownModels
from comfyproxy.prompts.specs import node_spec
from comfyproxy.prompts.uses import hidden_models, names_unknown_model

MODELS: Final = 3000
INFO_BYTES: Final = 2_000_000
NODES: Final = 300
GRANT_SETS: Final = 100
# The gateway's own limit for who insists on fresh data, and a bit.
_OLD_ENOUGH_SECONDS: Final = 2.2
_LEAST_ROUNDS: Final = 3
# The first of them pay for what is made once, as in measures.
_CHECKS: Final = 200
_WARM_UP_CHECKS: Final = 50
_PATH: Final = "/object_info"


@dataclass(frozen=True)
class Offered:
    """`object_info` at so many connections: whole, and unchanged since the client's copy."""

    connections: int
    per_second: Compared
    p50_ms: Compared
    unchanged_per_second: float


@dataclass(frozen=True)
class Models:
    """All figures. `started_ms`: the first answer of a gateway that has just started;
    `changed_ms`: the first after something changed, for who insists on it."""

    answer_bytes: Compared
    offered: list[Offered]
    started_ms: Compared
    changed_ms: Compared
    prompt_ms: float
    sets_mb: float


def models(stage: Stage, plan: Plan) -> Models:
    """What a page loads first, beside an installation that has much."""
    stage.fill_models(MODELS, INFO_BYTES)
    started, changed = [], []
    for number in range(1, max(plan.rounds, _LEAST_ROUNDS) + 1):
        with stage.just_started() as gateway:
            started.append(_first(stage, gateway.port))
        stage.fill_models(MODELS + number, INFO_BYTES)
        time.sleep(_OLD_ENOUGH_SECONDS)
        changed.append(_first(stage, stage.gateway.port, Cache_Control="no-cache"))
    offered = [_offered(stage, plan, connections) for connections in CONNECTIONS]
    sizes = tuple(
        float(len(stage.raw(port, _PATH, Accept_Encoding="gzip")))
        for port in (stage.direct, stage.gateway.port)
    )
    return Models(
        answer_bytes=compared([(sizes[0], sizes[1])]),
        offered=offered,
        started_ms=compared(started),
        changed_ms=compared(changed),
        prompt_ms=_prompt_ms(),
        sets_mb=_sets_mb(stage),
    )


def _message(stage: Stage, token: str = "", **headers: str) -> bytes:
    return rawhttp.request("GET", _PATH, token or stage.token, Accept_Encoding="gzip", **headers)


def _first(stage: Stage, port: int, **headers: str) -> tuple[float, float]:
    """Milliseconds of one answer, direct and of the gateway there."""
    message = _message(stage, **headers)
    behind = stage.measure(rawhttp.answered, port, message)[0]
    return stage.measure(rawhttp.answered, stage.direct, message)[0] * 1000, behind * 1000


def _offered(stage: Stage, plan: Plan, connections: int) -> Offered:
    rounds = []
    for _ in range(plan.rounds):
        rounds.append(
            tuple(
                stage.measure(
                    rawhttp.small_requests, port, _message(stage), connections, plan.seconds
                )
                for port in (stage.direct, stage.gateway.port)
            )
        )
    _, etag = stage.measure(rawhttp.answered, stage.gateway.port, _message(stage))
    unchanged = stage.measure(
        rawhttp.small_requests,
        stage.gateway.port,
        _message(stage, If_None_Match=etag),
        connections,
        plan.seconds,
    )
    return Offered(
        connections,
        compared([(direct.per_second, behind.per_second) for direct, behind in rounds]),
        compared([(direct.p50_ms, behind.p50_ms) for direct, behind in rounds]),
        unchanged.per_second,
    )


def _prompt_ms() -> float:
    """Processor time of the checks of a prompt that concern models."""
    names = {
        # Without spaces: at one the name of an embedding in a text ends.
        folder: tuple(
            f"group_{n % 23}/a_model_with_a_name_v{n:04}.safetensors" for n in range(count)
        )
        for folder, count in (("checkpoints", 600), ("loras", 1800), ("embeddings", 600))
    }
    known = KnownModels(names)
    loaders = {
        folder: {"input": {"required": {"name": [list(listed)], "strength": ["FLOAT", {}]}}}
        for folder, listed in names.items()
    }
    text = {"input": {"required": {"text": ["STRING", {}], "clip": ["CLIP"]}}}
    infos: dict[str, Any] = {**loaders, "text": text}
    specs = {name: node_spec(info, known, frozenset()) for name, info in infos.items()}
    given = Grants(frozenset((folder, f"group_{n}/*") for folder in names for n in range(23)))
    graph = {str(number): _node(number, names) for number in range(NODES)}
    times = []
    for _ in range(_CHECKS):
        begin = time.process_time()
        unknown = names_unknown_model(graph, specs, known)
        hidden = list(hidden_models(graph, specs, known, given))
        times.append((time.process_time() - begin) * 1000)
        if unknown or hidden:
            raise RuntimeError("the prompt was to be accepted")
    return statistics.median(times[_WARM_UP_CHECKS:])


def _node(number: int, names: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    link = [str(max(number - 1, 0)), 0]
    if number % 3 == 0:
        words = f"a picture of cat number {number}, best quality, 8k"
        if number % 9 == 0:
            words += f", embedding:{names['embeddings'][number][:-12]}"
        return {"class_type": "text", "inputs": {"text": words, "clip": link}}
    if number % 3 == 1:
        folder = "loras" if number % 2 else "checkpoints"
        inputs = {"name": names[folder][number], "strength": 1.0, "model": link}
        return {"class_type": folder, "inputs": inputs}
    inputs = {f"value{n}": f"a word {n}" for n in range(6)} | {"model": link, "seed": number}
    return {"class_type": "Custom", "inputs": inputs}


def _sets_mb(stage: Stage) -> float:
    """What the gateway's process grows by as people ask who were each given something else."""
    tokens = stage.people_with_models(
        [
            [("loras", f"group {number % 23}/*"), ("checkpoints", f"*{number:02}.safetensors")]
            + [("loras", f"*v{number + 100 * n:04}.safetensors") for n in range(12)]
            for number in range(GRANT_SETS)
        ]
    )
    with Watch(stage.gateway.pid) as watch:
        for token in tokens:
            stage.measure(rawhttp.answered, stage.gateway.port, _message(stage, token))
    return watch.peak_mb - watch.before_mb


def table(found: Models) -> Table:
    """All figures."""
    columns = ("/object_info", "direct", "gateway", "ratio")
    size = found.answer_bytes
    rows = [("bytes sent", f"{size.direct / 1000:.0f} kB", f"{size.gateway / 1000:.0f} kB", "")]
    for what, ms in (
        ("first answer after the gateway's start", found.started_ms),
        ("first answer after a change", found.changed_ms),
    ):
        rows.append((what, f"{ms.direct:.0f} ms", f"{ms.gateway:.0f} ms", f"{ms.ratio:.2f}"))
    for item in found.offered:
        rate, p50 = item.per_second, item.p50_ms
        at = f"{item.connections} connection{'s' if item.connections > 1 else ''}"
        rows += [
            (f"answers/s, {at}", f"{rate.direct:.0f}", f"{rate.gateway:.0f}", f"{rate.ratio:.1f}"),
            (f"p50, {at}", f"{p50.direct:.1f} ms", f"{p50.gateway:.1f} ms", f"{p50.ratio:.2f}"),
            (f"unchanged (304)/s, {at}", "", f"{item.unchanged_per_second:.0f}", ""),
        ]
    rows += [
        (f"models in a prompt of {NODES} nodes, checked", "", f"{found.prompt_ms:.2f} ms", ""),
        (f"{GRANT_SETS} sets of grants, memory", "", f"{found.sets_mb:.1f} MB", ""),
    ]
    return Table(f"{INFO_BYTES // 1_000_000} MB of nodes, {MODELS} models", columns, rows)


def targets(found: Models) -> Iterator[tuple[str, bool, str]]:
    """(name, whether it is met, figure) of each."""
    for item in found.offered:
        ratio = item.per_second.ratio
        at = f"{item.connections} connections"
        yield f"object_info: 10 times direct at {at}", ratio >= 10, f"{ratio:.1f}"
    ratio = found.started_ms.ratio
    yield "object_info: first answer at most twice direct", ratio <= 2, f"{ratio:.2f}"
    prompt = found.prompt_ms
    yield f"models of {NODES} nodes checked within 5 ms", prompt <= 5, f"{prompt:.2f} ms"
    sets = found.sets_mb
    yield f"{GRANT_SETS} sets of grants: at most 60 MB more", sets <= 60, f"{sets:.1f} MB"
