"""Pictures within what a model's file says about itself, and the picture that stands for one."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.filters.modelfiles import without_pictures
from comfyproxy.filters.placeholder import placeholder

TAIL = "A" * 60


@pytest.mark.parametrize(
    "value",
    [
        "data:image/jpeg;base64,/9j/4AAQ",
        '["iVBORw0KGgoAAAANSUhEUg' + TAIL + '"]',
        "/9j/4AAQSkZJRg" + TAIL,
        "UklGRiQAAABXRUJQ" + TAIL,
        "R0lGODlhAQABAIAAAP" + TAIL,
        "AAAAIGZ0eXBhdmlm" + TAIL,
    ],
)
def test_metadata_loses_values_that_hold_a_picture(value: str) -> None:
    found = without_pictures({"thumb": value, "ss_name": "kept", "steps": 5})
    assert found == {"ss_name": "kept", "steps": 5}


@pytest.mark.parametrize("value", ["a/9j/b", "iVBORw0KGg", "words", "sha256:UklGR", "", "x" * 5000])
def test_metadata_keeps_what_only_looks_a_little_like_one(value: str) -> None:
    assert without_pictures({"a": value}) == {"a": value}


@pytest.mark.parametrize("value", [None, [], 5, "text"])
def test_metadata_that_is_no_object_stays_what_it_is(value: object) -> None:
    assert without_pictures(value) == value


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("C",)), max_size=300))
def test_any_sentence_is_a_well_formed_picture(sentence: str) -> None:
    root = ElementTree.fromstring(placeholder(sentence))
    words = " ".join(" ".join(part.itertext()) for part in root).split()
    assert "".join(words) == "".join(sentence.split())
