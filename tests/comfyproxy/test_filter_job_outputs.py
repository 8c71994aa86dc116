"""How many outputs a job has, and which of them stands for it in a list."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.filters.joboutputs import MAX_TEXT, shown_outputs, summary_of

SAVED = {"filename": "saved.png", "subfolder": "u-alice00000", "type": "output"}
TEMP = {"filename": "temp.png", "subfolder": "", "type": "temp"}
NOTES = {"filename": "notes.MD", "subfolder": "", "type": "output"}
LATENT = {"filename": "x.latent", "subfolder": "", "type": "output"}
MESH = {"filename": "a/x.GLB", "type": "output", "subfolder": "", "mediaType": "3d"}


def preview(outputs: dict[str, Any]) -> dict[str, Any] | None:
    return summary_of(outputs).preview


def test_saved_pictures_go_before_temporary_ones_before_text_files_before_texts() -> None:
    nodes: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("1", {"images": [SAVED]}, {**SAVED, "mediaType": "images"}),
        ("2", {"images": [TEMP]}, {**TEMP, "mediaType": "images"}),
        ("3", {"files": [NOTES]}, {**NOTES, "mediaType": "files"}),
        ("4", {"text": ["words"]}, {"content": "words", "mediaType": "text"}),
        ("5", {"latents": [LATENT]}, {}),
    ]
    for first in range(4):
        for order in permutations(nodes[first:]):
            found = preview({node_id: outputs for node_id, outputs, _ in order})
            assert found == {**nodes[first][2], "nodeId": nodes[first][0]}
    assert preview({"5": nodes[4][1]}) is None


@pytest.mark.parametrize(
    ("key", "item", "count", "previewable", "kind"),
    [
        ("images", SAVED, 1, 1, "images"),
        ("audio", {"filename": "a.flac", "type": "output"}, 1, 1, "audio"),
        ("gifs", {"filename": "a.mp4", "format": "video/h264-mp4", "type": "output"}, 1, 1, "gifs"),
        ("gifs", {"filename": "a.gif", "format": "image/gif", "type": "output"}, 1, 0, None),
        ("result", "a/x.GLB", 1, 1, "3d"),
        ("result", "a/x.txt", 0, 0, None),
        ("files", {"filename": "x.json", "type": "output"}, 1, 1, "files"),
        ("text", {"filename": "x.bin"}, 1, 1, "text"),
        ("latents", LATENT, 1, 0, None),
        ("images", {**SAVED, "mediaType": "own"}, 1, 1, "own"),
        ("images", None, 0, 0, None),
        ("text", None, 0, 0, None),
        ("text", 7.5, 0, 0, "text"),
        ("animated", SAVED, 0, 0, None),
    ],
)
def test_outputs_are_counted_and_shown_by_their_kind(
    key: str, item: Any, count: int, previewable: int, kind: str | None
) -> None:
    found = summary_of({"1": {key: [item]}})
    assert (found.count, found.previewable) == (count, previewable)
    assert (found.preview or {}).get("mediaType") == kind


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ("x" * MAX_TEXT, {"content": "x" * MAX_TEXT}),
        ("x" * (MAX_TEXT + 1), {"content": "x" * MAX_TEXT, "truncated": True}),
        (["in a tuple"], {"content": "in a tuple"}),
        ([], {"content": ""}),
        ("", {"content": ""}),
        (True, {"content": "True"}),
    ],
    ids=["longest", "longer", "tuple", "nothing", "empty", "bool"],
)
def test_a_text_stands_for_a_job_that_has_nothing_else(item: Any, shown: dict[str, Any]) -> None:
    assert preview({"1": {"text": [item, "second"]}}) == {
        **shown,
        "nodeId": "1",
        "mediaType": "text",
    }


def test_outputs_in_detail_name_3d_files_as_files_and_keep_the_rest() -> None:
    outputs = {
        "1": {"images": [SAVED, None], "animated": [True], "3d": ["a/x.GLB", "plain", 5]},
        "2": {"text": "no list"},
        "3": None,
    }
    assert shown_outputs(outputs) == {
        "1": {"images": [SAVED], "animated": [True], "3d": [MESH, "plain", 5]},
        "2": {"text": "no list"},
        "3": None,
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["1", "images", "text", "animated", "filename", "format", "type"]),
                inner,
                max_size=3,
            )
        ),
    )
)
def test_any_json_has_a_summary(outputs: Any) -> None:
    found = summary_of(outputs)
    assert 0 <= found.previewable <= found.count
    # To show it twice changes nothing more.
    assert summary_of(shown_outputs(outputs)).count == found.count
