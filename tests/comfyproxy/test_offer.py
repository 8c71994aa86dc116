"""What ComfyUI answers, taken apart: only when it changed, within bounds, never half."""

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from accounts.errors import UpstreamUnreachable
from accounts.grants import Grants
from comfyproxy import offer, upstream
from comfyproxy.filters.models import KnownModels, Model, everything, nothing
from comfyproxy.kept import Kept
from comfyproxy.nodeinfo import MAX_MODEL_SETS_BYTES, Sight
from comfyproxy.offer import MAX_ENCODED_BYTES, Catalog, fetch
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN
from tests.comfyproxy.names import BOB, OWN

LOADER = {"input": {"required": {"ckpt_name": [CHECKPOINTS]}}}
ANSWERS: dict[str, Any] = {
    "/object_info": {"Loader": LOADER, "Plain": {"input": {}}},
    "/models": ["checkpoints", "a/b"],
    "/models/checkpoints": CHECKPOINTS,
    "/models/a%2Fb": ["x.pt"],
    "/internal/files/input": ["top.png"],
}


class Upstream:
    """Answers as ComfyUI does, one after the other."""

    def __init__(self) -> None:
        self.answers = {path: (200, orjson.dumps(answer)) for path, answer in ANSWERS.items()}
        self.asked: list[str] = []

    async def get_body(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        return self.answers.get(path, (404, b""))

    async def stream(self, method: str, path: str) -> Any:
        status, body = await self.get_body(path)
        return _Stream(status, body)


class _Stream:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body

    async def read(self, limit: int) -> bytes:
        return self._body

    def close(self) -> None: ...


@pytest.fixture
def comfyui(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    found = Upstream()
    monkeypatch.setattr(upstream, "get_body", found.get_body)
    monkeypatch.setattr(upstream, "stream", found.stream)
    yield found


async def test_nodes_are_asked_for_before_models(comfyui: Upstream) -> None:
    found = await fetch(None)
    assert comfyui.asked[0] == "/object_info"
    assert set(comfyui.asked) == set(ANSWERS)
    assert found.models.folders == {"checkpoints": tuple(CHECKPOINTS), "a/b": ("x.pt",)}
    assert set(found.specs) == {"Loader", "Plain"}
    assert "Loader" in found.specs and "Other" not in found.specs
    assert found.specs["Loader"].inputs["ckpt_name"].folders == {"checkpoints"}
    assert gc.isenabled()


async def test_what_has_not_changed_is_not_made_anew(comfyui: Upstream) -> None:
    first = await fetch(None)
    answer = await first.object_info(Sight(everything, None))
    again = await fetch(first)
    assert again.fetched_at > first.fetched_at
    assert again.nodes is first.nodes and again.specs is first.specs
    assert await again.object_info(Sight(everything, None)) is answer
    # Other nodes, the same models.
    comfyui.answers["/object_info"] = (200, orjson.dumps({"Loader": LOADER}))
    other = await fetch(again)
    assert set(other.specs) == {"Loader"}
    assert other.models is first.models
    # The same nodes, other models: what was read before is not known any more, but its bytes.
    comfyui.answers["/models/a%2Fb"] = (200, b'["x.pt", "y.pt"]')
    third = await fetch(other)
    assert third.models.find("y.pt") == (Model("a/b", "y.pt"),)
    assert set(third.specs) == {"Loader"}
    comfyui.answers["/internal/files/input"] = (200, b"[]")
    assert (await fetch(third)).nodes is not third.nodes


async def test_folders_that_are_models_are_known_from_their_node(comfyui: Upstream) -> None:
    node = {"input": {"required": {"model_path": [["sd3", "sub/xl"]], "other": [["no"]]}}}
    comfyui.answers["/object_info"] = (200, orjson.dumps({"DiffusersLoader": node}))
    comfyui.answers["/models"] = (200, b'["checkpoints", "diffusers"]')
    comfyui.answers["/models/diffusers"] = (200, b"[]")
    found = await fetch(None)
    assert found.models.folders["diffusers"] == ("sd3", "sub/xl")
    assert found.models.find("sd3") == ()
    assert found.models.find_plain("./sd3", {"diffusers"}) == (Model("diffusers", "sd3"),)
    assert found.specs["DiffusersLoader"].inputs["model_path"].folders == {"diffusers"}
    seen = found.nodes.one("DiffusersLoader", Sight(Grants(frozenset({("diffusers", "sd3")})), ""))
    shown = orjson.loads(seen)["DiffusersLoader"]["input"]["required"]
    assert shown == {"model_path": [["sd3"]], "other": [["no"]]}
    # A new one comes with the node's list alone.
    node["input"]["required"]["model_path"][0].append("new")
    comfyui.answers["/object_info"] = (200, orjson.dumps({"DiffusersLoader": node}))
    assert (await fetch(found)).models.folders["diffusers"] == ("sd3", "sub/xl", "new")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/object_info", (500, b"")),
        ("/object_info", (404, b"")),
        ("/object_info", (200, b"[]")),
        ("/object_info", (200, b"no json")),
        ("/models", (200, b"{}")),
        ("/models", (503, b"[]")),
        ("/models/checkpoints", (200, b"null")),
        ("/internal/files/input", (500, b"")),
    ],
)
async def test_half_an_answer_is_none(
    path: str, answer: tuple[int, bytes], comfyui: Upstream
) -> None:
    known = await fetch(None)
    comfyui.answers[path] = answer
    for before in (None, known):
        with pytest.raises(UpstreamUnreachable):
            await fetch(before)
    assert gc.isenabled()


async def test_folder_that_comfyui_cannot_read_is_told(comfyui: Upstream) -> None:
    known = await fetch(None)
    assert known.unread == frozenset()
    comfyui.answers["/models/checkpoints"] = (500, b"")
    for before in (None, known):
        found = await fetch(before)
        assert found.unread == {"checkpoints"}
        assert found.models.folders == {"checkpoints": (), "a/b": ("x.pt",)}
    comfyui.answers["/models/checkpoints"] = (200, orjson.dumps(CHECKPOINTS))
    assert (await fetch(found)).unread == frozenset()


async def test_a_folder_that_went_meanwhile_is_empty(comfyui: Upstream) -> None:
    del comfyui.answers["/models/checkpoints"], comfyui.answers["/internal/files/input"]
    found = await fetch(None)
    assert found.models.folders == {"checkpoints": (), "a/b": ("x.pt",)}


async def test_finished_answers_are_kept_for_those_who_asked_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = {"Images": {"input": {"required": {"image": [["top.png"], {"image_upload": True}]}}}}
    found = Catalog.read(info, KNOWN, frozenset({"top.png"}), 0.0)
    sights = [Sight(nothing, OWN, (f"{OWN}/{number}.png",)) for number in range(20)]
    size = len((await found.object_info(sights[0])).zipped)
    monkeypatch.setattr(offer, "MAX_ENCODED_BYTES", size * 11)
    found = Catalog.read(info, KNOWN, frozenset({"top.png"}), 0.0)
    first = await found.object_info(sights[0])
    for sight in sights[1:]:
        assert await found.object_info(sights[0]) is first
        await found.object_info(sight)
    assert found._encoded.bytes <= size * 11
    assert 5 < len(found._encoded) < 20
    # Files that no list takes make no other answer, but are not looked into for that.
    assert await found.object_info(Sight(nothing, BOB, sights[0].own_inputs)) is first


def test_what_is_kept_has_a_bound_and_the_newest_stays() -> None:
    kept: Kept[str, bytes] = Kept(10, len)
    kept.put("a", b"1234")
    kept.put("b", b"1234")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (b"1234", b"1234", None)
    kept.put("a", b"12345")
    assert (kept.bytes, list(kept)) == (9, ["b", "a"])
    kept.get("b")
    kept.put("c", b"12")
    assert (kept.bytes, list(kept)) == (6, ["b", "c"])
    kept.put("d", b"x" * 50)
    assert (kept.bytes, list(kept), len(kept)) == (50, ["d"], 1)


async def test_a_hundred_sets_of_grants_take_a_bounded_amount_of_memory() -> None:
    models = KnownModels(
        {
            "checkpoints": tuple(
                f"group {n % 20}/model number {n:05}.safetensors" for n in range(1000)
            ),
            "loras": tuple(f"style {n % 50}/lora number {n:05}.safetensors" for n in range(2000)),
        }
    )
    info = {
        f"{folder}{n}": {"input": {"required": {"x": [list(names), {}], "n": ["INT", {}]}}}
        for folder, names in models.folders.items()
        for n in range(8)
    }
    found = Catalog.read(info, models, frozenset(), 0.0)
    assert len(orjson.dumps(info)) > 800_000
    sights = [
        Sight(
            Grants(
                frozenset({("checkpoints", f"group {n % 20}/*"), ("loras", f"style {n % 49}*")})
                | frozenset(("loras", name) for name in models.folders["loras"][n::3])
            ),
            f"u-{n:010}",
        )
        for n in range(100)
    ]
    tracemalloc.start()
    try:
        answers = [await found.object_info(sight) for sight in sights]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len({answer.etag for answer in answers}) == 100
    # Most of it pieces that the answers were joined from, the rest who was given what.
    assert held < 30_000_000, f"{held / 1e6:.1f} MB"
    assert found._encoded.bytes <= MAX_ENCODED_BYTES
    assert found.nodes._with_models.bytes <= MAX_MODEL_SETS_BYTES


async def test_a_prompt_is_prepared_for_once(comfyui: Upstream) -> None:
    found = await fetch(None)
    assert found.specs.unread(["Loader", "Plain", "NoSuchNode"]) == ["Loader", "Plain"]
    assert not found.models.is_ready_for_mentions
    await found.prepare_for({"Loader", "NoSuchNode"})
    assert found.specs.unread(["Loader", "Plain"]) == ["Plain"]
    assert found.models.is_ready_for_mentions
    assert found.specs["Loader"] is found.specs.get("Loader")
    assert found.specs.get("NoSuchNode") is None
