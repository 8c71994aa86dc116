"""Files and prefixes in prompts: mapped into their owner's folders, refused where foreign."""

from copy import deepcopy
from typing import Any

import pytest

from accounts.errors import BadRequest
from comfyproxy.cachekey import INPUT
from comfyproxy.files import FileRef
from comfyproxy.prompts.mapping import (
    FileUse,
    Refused,
    candidates,
    file_uses,
    foreign_mentions,
    rewritten,
)
from comfyproxy.prompts.shape import Graph
from comfyproxy.prompts.uses import Place
from tests.comfyproxy.graphs import SPECS, at, node, one
from tests.comfyproxy.names import BOB, OWN

Files = dict[tuple[Place, str], FileRef]


def uses(graph: Graph) -> list[tuple[str, FileRef | None]]:
    """(text, file or None where refused)."""
    return [
        (use.text, use.ref if isinstance(use, FileUse) else None) for use in file_uses(graph, SPECS)
    ]


def owned(graph: Graph) -> Files:
    """Every file as if its owner had it in their own folder."""
    return {
        (use.place, use.text): candidates(use.ref, OWN, sees_all=False)[0]
        for use in file_uses(graph, SPECS)
        if isinstance(use, FileUse)
    }


def mapped(graph: Graph, files: Files | None = None) -> Graph:
    before = deepcopy(graph)
    result, refused = rewritten(
        graph, SPECS, OWN, owned(graph) if files is None else files, sees_all=False
    )
    assert graph == before, "the client's own graph was changed"
    assert refused == []
    return result


def refused(graph: Graph, sees_all: bool = False) -> list[Place]:
    places = [use.place for use in file_uses(graph, SPECS) if isinstance(use, Refused)]
    places += [r.place for r in foreign_mentions(graph, SPECS, OWN, sees_all=sees_all)]
    places += [r.place for r in rewritten(graph, SPECS, OWN, {}, sees_all=sees_all)[1]]
    return places


class TestFiles:
    @pytest.mark.parametrize(
        ("class_type", "name", "text", "ref", "sent"),
        [
            ("LoadImage", "image", "x.png", ("input", "", "x.png"), f"{OWN}/x.png"),
            ("LoadImage", "image", "x.png [input]", ("input", "", "x.png"), f"{OWN}/x.png [input]"),
            ("LoadImage", "image", "x.png [temp]", ("temp", "", "x.png"), f"{OWN}/x.png [temp]"),
            ("LoadImage", "image", "a//x.png", ("input", "a", "x.png"), f"{OWN}/a/x.png"),
            ("LoadImage", "image", f"{OWN}/x.png", ("input", OWN, "x.png"), f"{OWN}/x.png"),
            ("LoadImage", "image", f"./{OWN}//x.png", ("input", OWN, "x.png"), f"{OWN}/x.png"),
            (
                "LoadImage",
                "image",
                "clipspace/m.png [input]",
                ("input", "clipspace", "m.png"),
                f"{OWN}/clipspace/m.png [input]",
            ),
            ("LoadImageOutput", "image", "x.png", ("output", "", "x.png"), f"{OWN}/x.png [output]"),
            (
                "LoadImageOutput",
                "image",
                f"{OWN}/x.png [output]",
                ("output", OWN, "x.png"),
                f"{OWN}/x.png [output]",
            ),
            (
                "WebcamCapture",
                "image",
                "webcam/1.png [temp]",
                ("temp", "webcam", "1.png"),
                f"{OWN}/webcam/1.png [temp]",
            ),
            # A list of files that is empty just now: the annotation tells.
            ("LoadLatent", "latent", "x [output]", ("output", "", "x"), f"{OWN}/x [output]"),
        ],
    )  # fmt: skip
    def test_a_name_moves_into_its_owners_folder(
        self, class_type: str, name: str, text: str, ref: tuple[str, str, str], sent: str
    ) -> None:
        graph = one(class_type, **{name: text})
        assert uses(graph) == [(text, FileRef(*ref))]
        assert mapped(graph)["1"]["inputs"][name] == sent
        again = one(class_type, **{name: sent})
        assert mapped(again)["1"]["inputs"][name] == sent

    @pytest.mark.parametrize(
        ("value", "sent"),
        [
            ({"__value__": "x.png"}, {"__value__": f"{OWN}/x.png"}),
            ({"__value__": ["x.png", "y.png"]}, {"__value__": [f"{OWN}/x.png", f"{OWN}/y.png"]}),
            (
                {"image": "a/x.png [temp]", "camera_info": {"zoom": 1}, "recording": ""},
                {
                    "image": f"{OWN}/a/x.png [temp]",
                    "camera_info": {"zoom": 1},
                    "recording": "",
                },
            ),
            (["x.png"], [f"{OWN}/x.png"]),
            (7, 7),
            (None, None),
            ("", ""),
            (".", "."),
        ],
        ids=str,
    )
    def test_names_are_mapped_wherever_they_stand_in_an_input(self, value: Any, sent: Any) -> None:
        assert mapped(one("Load3D", image=value))["1"]["inputs"]["image"] == sent

    def test_the_file_that_was_found_is_the_one_that_is_sent(self) -> None:
        graph = one("LoadImage", image="top.png")
        unowned: Files = {(at("image"), "top.png"): FileRef("input", "", "top.png")}
        assert mapped(graph, unowned) == graph

    @pytest.mark.parametrize(
        "text",
        [
            "../secret.png",
            "/etc/passwd",
            "a/../../x.png",
            "..\\x.png",
            "C:\\x.png",
            f"{OWN}/../{BOB}/x.png",
            "../x.png [output]",
            "blake3:00ff",
        ],
    )
    @pytest.mark.parametrize("class_type", ["LoadImage", "Load3D", "WebcamCapture"])
    def test_a_name_that_leaves_its_folder_is_refused_for_everyone(
        self, class_type: str, text: str
    ) -> None:
        for value in (text, {"__value__": text}, {"recording": text}, [text]):
            graph = one(class_type, image=value)
            assert (text, None) in uses(graph)
            assert at("image") in refused(graph, sees_all=True)

    def test_a_link_that_can_be_read_is_replaced_by_the_file(self) -> None:
        primitive = {"2": node("PrimitiveString", value="x.png")}
        for link in (["2", 0], {"__value__": ["2", 0]}):
            graph = one("LoadImage", image=link) | primitive
            assert uses(graph) == [("x.png", FileRef("input", "", "x.png"))]
            assert mapped(graph)["1"]["inputs"]["image"] == f"{OWN}/x.png"

    def test_a_link_that_cannot_be_read_is_refused(self) -> None:
        graph = one("LoadImage", image=["2", 0]) | {"2": node("AnyCustomNode", x="y")}
        assert uses(graph) == [("", None)]
        # Into a list that is none of files it is ComfyUI's to judge.
        assert uses(one("KSampler", sampler_name=["2", 0]) | {"2": node("AnyCustomNode")}) == []

    def test_what_only_looks_like_a_link_does_not_smuggle_a_text_in(self) -> None:
        graph = one("LoadImage", image=[["2", 0]]) | {
            "2": node("PrimitiveString", value="../../etc/x.png")
        }
        assert mapped(graph)["1"]["inputs"]["image"] == [[f"{OWN}/2", 0]]

    def test_inputs_of_other_kinds_keep_their_texts(self) -> None:
        graph = {
            "1": node("CLIPTextEncode", text="x.png [output]"),
            "2": node("KSampler", sampler_name="euler", cfg="7.5", steps=3),
            "3": node("AnyCustomNode", image="x.png"),
        }
        assert uses(graph) == []
        assert mapped(graph) == graph


class TestCandidates:
    @pytest.mark.parametrize(
        ("ref", "alice", "admin"),
        [
            (("input", OWN, "x"), [OWN], [OWN]),
            (("input", "", "x"), [OWN, ""], [OWN, ""]),
            (("input", "a", "x"), [f"{OWN}/a"], [f"{OWN}/a", "a"]),
            (("temp", "", "x"), [OWN], [OWN, ""]),
            (("output", "", "x"), [OWN], [OWN, ""]),
            (("input", BOB, "x"), [], [BOB]),
            (("output", f"{BOB}/a", "x"), [], [f"{BOB}/a"]),
            (("input", BOB.upper(), "x"), [], [BOB.upper()]),
            (("input", f"{BOB} ", "x"), [], [f"{BOB} "]),
            (("input", OWN.upper(), "x"), [], [OWN.upper()]),
            # The folder itself, named like a file.
            (("input", "", BOB), [OWN], [OWN, ""]),
            (("input", "", f"{BOB}."), [OWN], [OWN, ""]),
            (("input", "", OWN), [""], [""]),
        ],
    )
    def test_a_name_means_the_callers_own_file_first_and_never_anothers(
        self, ref: tuple[str, str, str], alice: list[str], admin: list[str]
    ) -> None:
        for sees_all, folders in ((False, alice), (True, admin)):
            found = candidates(FileRef(*ref), OWN, sees_all=sees_all)
            assert found == tuple(FileRef(ref[0], folder, ref[2]) for folder in folders)


class TestForeign:
    @pytest.mark.parametrize(
        "graph",
        [
            one("LoadImage", image=f"{BOB}/x.png"),
            one("LoadImage", image={"__value__": f"{BOB}/x.png [output]"}),
            one("LoadFolder", folder=BOB),
            one("LoadFolder", folder=f"{BOB} [input]"),
            one("CLIPTextEncode", text=f"{BOB}/x.png"),
            one("AnyCustomNode", x=["a", {"b": f"input/{BOB}"}]),
            one("AnyCustomNode", x={f"{BOB}/x": 1}),
            one("LoadLatent", latent=f"{BOB}/x"),
        ],
        ids=str,
    )
    def test_a_text_into_anothers_folder_is_refused_but_for_who_sees_all(
        self, graph: Graph
    ) -> None:
        (name,) = graph["1"]["inputs"]
        assert at(name) in refused(graph)
        assert [r.place for r in foreign_mentions(graph, SPECS, OWN, sees_all=True)] == []

    @pytest.mark.parametrize(
        ("class_type", "name"),
        [("LoadFolder", "folder"), ("KSampler", "sampler_name"), ("LoraLoader", "lora_name")],
    )
    @pytest.mark.parametrize("text", ["../x", "a/../x", "/etc", "..\\x", "\\x", "..", "C:\\x"])
    def test_a_listed_value_that_leaves_its_folder_is_refused_for_everyone(
        self, class_type: str, name: str, text: str
    ) -> None:
        for value in (text, {"__value__": [text]}):
            assert refused(one(class_type, **{name: value}), sees_all=True) == [at(name)]

    @pytest.mark.parametrize("text", ["../x", "/etc/passwd", "a/../b", "see ../readme"])
    def test_free_texts_may_say_what_they_like(self, text: str) -> None:
        assert refused(one("CLIPTextEncode", text=text)) == []


class TestNumbers:
    """ComfyUI turns a text into a number in place; NaN in its queue is no JSON for anybody."""

    @pytest.mark.parametrize("text", ["nan", "NaN", " inf ", "-Infinity", "1e999", "9" * 400])
    @pytest.mark.parametrize("name", ["cfg", "steps"])
    def test_client_sends_an_endless_number_gets_400(self, name: str, text: str) -> None:
        for value in (text, {"__value__": text}):
            with pytest.raises(BadRequest) as refusal:
                rewritten(one("KSampler", **{name: value}), SPECS, OWN, {}, sees_all=True)
            assert refusal.value.fields == {"field": f"prompt.1.inputs.{name}"}

    @pytest.mark.parametrize("value", ["1", "1e3", "-0.5", "many", "", 7, 1.5, None, ["nan"]])
    def test_client_sends_any_other_value_it_is_comfyuis_to_judge(self, value: Any) -> None:
        graph = one("KSampler", cfg=value)
        assert mapped(graph) == graph

    def test_client_writes_nan_in_a_text_it_is_a_text(self) -> None:
        graph = one("CLIPTextEncode", text="nan")
        assert mapped(graph) == graph


def test_the_whole_is_mapped_once_and_for_all() -> None:
    graph = {
        "1": node("LoadImage", image="x.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="a/b"),
        "3": node("PreviewImage", images=["1", 0], **{INPUT: BOB}),
    }
    once = mapped(graph)
    assert once == {
        "1": node("LoadImage", image=f"{OWN}/x.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix=f"{OWN}/a/b", **{INPUT: OWN}),
        "3": node("PreviewImage", images=["1", 0], **{INPUT: OWN}),
    }
    assert mapped(once) == once
