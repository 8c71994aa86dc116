"""What ComfyUI says about itself, and the files that an output names."""

from typing import Any

import pytest

from comfyproxy.files import FileRef
from comfyproxy.filters.extensions import shown_extensions
from comfyproxy.filters.features import shown_features
from comfyproxy.filters.outputs import output_files
from comfyproxy.filters.system_stats import shown_stats


def argv(*given: str, whole: bool, manager: bool) -> list[str]:
    stats = {"system": {"os": "posix", "argv": list(given)}, "devices": [{"name": "cpu"}]}
    shown = shown_stats(stats, whole=whole, manager=manager)
    left: list[str] = shown["system"].pop("argv")
    assert shown == {"system": {"os": "posix"}, "devices": [{"name": "cpu"}]}
    assert stats["system"]["argv"] == list(given), "what came in was changed"  # type: ignore[index]
    return left


def test_command_line_is_for_who_manages_comfyui_and_the_manager_for_who_may_use_it() -> None:
    line = ["main.py", "--base-directory", "/srv/secret"]
    flag = "--enable-manager"
    assert argv(*line, flag, whole=True, manager=True) == [*line, flag]
    assert argv(*line, flag, whole=True, manager=False) == line
    assert argv(*line, flag, whole=False, manager=True) == [flag]
    assert argv(*line, whole=False, manager=True) == []
    assert argv(*line, flag, whole=False, manager=False) == []


@pytest.mark.parametrize(
    "stats", [None, [], "x", {}, {"system": None}, {"system": ["--base", "/srv"]}], ids=str
)
def test_stats_of_another_shape_are_dropped(stats: Any) -> None:
    assert shown_stats(stats, whole=False, manager=True) == {}


def test_scripts_of_the_manager_are_offered_to_who_may_use_it() -> None:
    listed = ["/extensions/core/a.js", "/extensions/ComfyUI-Manager/b.js", 7, "/extensions/x/c.js"]
    assert shown_extensions(listed, manager=True) == [listed[0], listed[1], listed[3]]
    assert shown_extensions(listed, manager=False) == [listed[0], listed[3]]
    for odd in (None, {}, "x"):
        assert shown_extensions(odd, manager=True) == []


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
