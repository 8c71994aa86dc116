"""Definitions in encoded pieces: joined, they are what filtering the whole would give."""

import gzip
from typing import Any

import orjson
import pytest

from comfyproxy.filters.folders import without_foreign
from comfyproxy.filters.inputs import file_lists, with_own
from comfyproxy.filters.modellists import without_models
from comfyproxy.filters.models import everything, nothing
from comfyproxy.nodeinfo import NodeInfo, Sight
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN
from tests.comfyproxy.names import BOB, OWN

TOP = frozenset({"top.png"})


def loader(*lists: Any) -> dict[str, Any]:
    return {"input": {"required": {f"x{at}": raw for at, raw in enumerate(lists)}}, "name": "é"}


INFO: dict[str, Any] = {
    "Zeta": loader([["euler", "ddim"]], ["INT", {"default": 1}]),
    "Checkpoints": loader([CHECKPOINTS, {"default": CHECKPOINTS[0]}]),
    "Images": loader([["top.png"], {"image_upload": True}]),
    "Alpha": loader(["STRING"]),
    "Folders": loader([["plain", OWN, BOB]], ["COMBO", {"options": [BOB.upper()]}]),
    "Both": loader([["vae.pt", "pixel_space"]], [["top.png"]], [[BOB, OWN]]),
    "Default": loader(["STRING", {"default": "vae.pt"}]),
    "Text": {"description": f"u-turn in {BOB}, base.safetensors", "input": {}},
    "Odd": None,
}


def nodes(info: dict[str, Any]) -> NodeInfo:
    pieces = {name: orjson.dumps(node) for name, node in info.items()}
    return NodeInfo.read(info, pieces, KNOWN, TOP)


NODES = nodes(INFO)
PICTURES = (f"{OWN}/b.png", f"{OWN}/a.png")


def granted(folder: str, name: str) -> bool:
    return (folder, name) in (("checkpoints", "base.safetensors"), ("vae", "vae.pt"))


def filtered(sight: Sight) -> dict[str, Any]:
    """The whole answer, one filter after the other."""
    shown: Any = dict(without_models(INFO, KNOWN, sight.allowed))
    if sight.namespace is not None:
        shown = without_foreign(shown, sight.namespace)
    for name, info in INFO.items():
        if lists := file_lists(info, KNOWN, TOP):
            shown[name] = with_own(shown[name], lists, sight.own_inputs)
    return dict(shown)


SIGHTS = [
    Sight(allowed, namespace, own)
    for allowed in (nothing, everything, granted)
    for namespace in (OWN, BOB, "u-charlie000", None)
    for own in ((), PICTURES)
]


@pytest.mark.parametrize("sight", SIGHTS, ids=range(len(SIGHTS)))
def test_the_joined_pieces_are_the_whole_filtered(sight: Sight) -> None:
    answer = NODES.all(sight)
    shown = orjson.loads(answer.plain())
    assert shown == filtered(sight)
    assert list(shown) == list(INFO), "the page may list nodes in this order"
    assert gzip.decompress(answer.zipped) == answer.plain()
    for name in INFO:
        assert orjson.loads(NODES.one(name, sight)) == {name: shown[name]}
    # Again, from what is kept; and callers who need not be told apart get the same.
    assert NODES.all(sight) == answer
    alike = [other for other in SIGHTS if NODES.key(other) == NODES.key(sight)]
    assert sight in alike
    assert all(NODES.all(other) == answer for other in alike)


def test_charlie_is_told_of_nobodys_folders_and_of_no_model() -> None:
    plain = NODES.all(Sight(nothing, "u-charlie000")).plain().decode()
    shown = orjson.loads(plain)
    assert shown.pop("Text") == INFO["Text"]
    text = orjson.dumps(shown).decode()
    for hidden in (OWN, BOB, BOB.upper(), "base.safetensors", "vae.pt"):
        assert hidden not in text
    assert NODES.one("NoSuchNode", Sight(everything, None)) == b"{}"


def test_answers_have_the_same_etag_exactly_if_they_are_equal() -> None:
    by_etag: dict[str, set[bytes]] = {}
    for sight in SIGHTS:
        answer = NODES.all(sight)
        by_etag.setdefault(answer.etag, set()).add(answer.plain())
    assert all(len(answers) == 1 for answers in by_etag.values())
    assert len(by_etag) == len({plain for answers in by_etag.values() for plain in answers})
    # A file that no list takes changes nothing.
    alice = Sight(nothing, OWN)
    assert NODES.all(alice) == NODES.all(Sight(nothing, OWN, (f"{OWN}/notes.txt",)))


def test_callers_are_told_apart_by_their_namespace_only_where_nodes_name_users() -> None:
    alice, bob = Sight(nothing, OWN), Sight(nothing, BOB)
    assert NODES.key(alice) != NODES.key(bob)
    plain = nodes({"Images": INFO["Images"]})
    assert plain.key(alice) == plain.key(bob)
    assert plain.key(Sight(nothing, OWN, PICTURES)) != plain.key(alice)
    assert plain.key(Sight(everything, OWN)) != plain.key(alice)
