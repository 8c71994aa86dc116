"""What ComfyUI says about itself, and the files that an output names."""

from typing import Any

import pytest

from comfyproxy.files import FileRef
from comfyproxy.filters.features import shown_features
from comfyproxy.filters.outputs import output_files
from comfyproxy.filters.system_stats import without_argv

STATS = {
    "system": {"os": "posix", "argv": ["main.py", "--base-directory", "/srv/secret"]},
    "devices": [{"name": "cpu"}],
}


def test_the_command_line_is_emptied_and_all_else_stays() -> None:
    assert without_argv(STATS) == {
        "system": {"os": "posix", "argv": []},
        "devices": [{"name": "cpu"}],
    }
    assert STATS["system"]["argv"], "what came in was changed"  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "stats", [None, [], "x", {}, {"system": None}, {"system": ["--base", "/srv"]}], ids=str
)
def test_stats_of_another_shape_are_dropped(stats: Any) -> None:
    assert without_argv(stats) == {}


def test_assets_are_off_where_comfyui_has_them_and_absent_where_not() -> None:
    flags = {"supports_preview_metadata": True, "max_upload_size": 1}
    assert shown_features(flags) == flags
    assert shown_features({**flags, "assets": True}) == {**flags, "assets": False}
    for odd in (None, [], "x", 7):
        assert shown_features(odd) == {}


IMAGE = {"filename": "x.png", "subfolder": "a", "type": "output"}


@pytest.mark.parametrize(
    ("outputs", "files"),
    [
        ({"9": {"images": [IMAGE]}}, [FileRef("output", "a", "x.png")]),
        (
            {"images": [IMAGE, {**IMAGE, "filename": "y"}], "animated": [True]},
            [FileRef("output", "a", "x.png"), FileRef("output", "a", "y")],
        ),
        (
            {"audio": [IMAGE], "gifs": [{**IMAGE, "type": "temp", "format": "video/mp4"}]},
            [FileRef("output", "a", "x.png"), FileRef("temp", "a", "x.png")],
        ),
        ({"3d": [{"filename": "m.glb", "type": "output"}]}, [FileRef("output", "", "m.glb")]),
        ({"x": [{**IMAGE, "subfolder": None}]}, [FileRef("output", "", "x.png")]),
        ({"deep": {"er": [[{"in": IMAGE}]]}}, [FileRef("output", "a", "x.png")]),
        ({"text": ["x.png"], "result": ["a/x.glb", {"zoom": 1}]}, []),
        ({"x": [{"filename": 7, "type": "output"}, {"filename": "x"}, {"type": "output"}]}, []),
        (None, []),
        ("x.png", []),
        ([], []),
    ],
    ids=str,
)
def test_every_file_that_an_output_names_is_found_in_order(
    outputs: Any, files: list[FileRef]
) -> None:
    assert list(output_files(outputs)) == files
