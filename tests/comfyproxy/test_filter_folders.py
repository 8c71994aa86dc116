"""Lists of files and folders, without what lies in another user's namespace."""

from typing import Any

import pytest

from comfyproxy.filters.folders import names_any, without_foreign
from tests.comfyproxy.names import BOB, OWN

INFO = {
    "folder": [["plain", OWN, f"{OWN}/a", BOB, f"{BOB}/a", BOB.upper(), f"{BOB}\\a"]],
    "image": ["COMBO", {"options": ["top.png", f"{BOB}/x.png"], "default": f"{BOB}/x.png"}],
    "nested": [[[BOB, "a"]], {"deep": {"default": OWN, "list": [BOB]}}],
    "name": "Loader",
}


def test_alice_sees_her_own_folders_and_the_unowned_ones_and_not_bobs() -> None:
    assert without_foreign(INFO, OWN) == {
        "folder": [["plain", OWN, f"{OWN}/a"]],
        "image": ["COMBO", {"options": ["top.png"], "default": ""}],
        "nested": [[["a"]], {"deep": {"default": OWN, "list": []}}],
        "name": "Loader",
    }


@pytest.mark.parametrize("value", ["x", "'", "''", "', '", "['", '"'])
def test_alice_is_refused_a_folder_the_list_in_the_text_is_without_bobs(value: str) -> None:
    listed = [BOB, "plain", f"{BOB}/a", OWN, f"{BOB}/b"]
    text = f"folder: '{value}' not in {listed}"
    assert without_foreign({"details": text}, OWN) == {
        "details": f"folder: '{value}' not in {['plain', OWN]}"
    }
    assert BOB not in str(without_foreign([f"not in {[BOB]}"], OWN))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (INFO, True),
        ([OWN], True),
        ({"default": OWN}, True),
        ({"a": {"b": [[f"{BOB}/x"]]}}, True),
        ({"a": ["top.png"], "b": "text", "c": [None, 7]}, False),
        ({"name": OWN}, False),
        (None, False),
    ],
    ids=str,
)
def test_a_definition_that_lists_users_folders_is_known(value: Any, found: bool) -> None:
    assert names_any(value) is found
