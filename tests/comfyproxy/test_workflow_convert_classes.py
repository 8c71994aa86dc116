"""Definitions of node classes that only the page can make something of are refused."""

from typing import Any

import pytest

from tests.comfyproxy.workflows.graphs import Graph, refusal


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("Camera", {"input": {"required": {"image": ["WEBCAM", {}]}}}),
        ("Curves", {"input": {"required": {"c": ["CURVE", {}]}}}),
        ("Slots", {"input": {"required": {"c": ["COMFY_DYNAMICSLOT_V3", {}]}}}),
        ("CustomCombo", {"input": {"required": {}}}),
        ("Listed", {"input": {"required": {"c": ["COMBO", {"remote": {"route": "/x"}}]}}}),
        ("Audio", {"input": {"required": {"audio": [[], {"audio_upload": True}]}}}),
        ("Numbered", {"input": {"required": {"1": ["INT", {}]}}}),
        ("Named", {"input": {"required": {"x": ["INT", {"name": "y"}]}}}),
        ("Odd", {"input": {"required": {"x": "INT"}}}),
        ("Odder", {"input": []}),
        ("None", None),
        (
            "Growing",
            {
                "input": {
                    "required": {
                        "g": [
                            "COMFY_AUTOGROW_V3",
                            {"template": {"input": {"required": {"f": ["FLOAT"]}}}},
                        ]
                    }
                }
            },
        ),
    ],
)
def test_class_has_widgets_that_only_the_page_knows_it_is_refused(
    name: str, definition: Any
) -> None:
    graph = Graph()
    graph.node(name, [])
    assert refusal(graph.saved(), {name: definition})[0] == "1"
