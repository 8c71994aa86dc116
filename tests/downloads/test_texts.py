"""What sites say becomes text that a database, JSON and a page can hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloads.texts import clean, cleaned
from downloads.web import Web
from tests.downloads.servers import Reply, Server

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_json_becomes_what_json_and_utf8_can_hold(value: Any) -> None:
    text = json.dumps(cleaned(value), ensure_ascii=False, allow_nan=False)
    assert "\0" not in text and "\\u0000" not in text
    assert cleaned(json.loads(text)) == json.loads(text)
    text.encode()


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a\0b", "a b"),
        ("a\r\nb", "a b"),
        ("x\ud800", "x "),
        ("模型 é \U0001f600", "模型 é \U0001f600"),
    ],
)
def test_good_text_stays_as_it_is(text: str, good: str) -> None:
    assert clean(text) == good


def test_answers_of_a_site_come_clean(site: Server, web: Web) -> None:
    site.routes["/a"] = Reply(200, b'{"a": ["x\\u0000\\ud83d", NaN, 1e999, "\\ud83d\\ude00"]}')
    found = web.get_json(f"{site.url}/a")[1]
    assert found == {"a": ["x ", None, None, "\U0001f600"]}
    # As deep as the parser goes, and deeper than what cleans: an answer or none, never a fault.
    for depth in (100, 900, 5000):
        site.routes["/b"] = Reply(200, b"[" * depth + b"]" * depth)
        assert isinstance(web.get_json(f"{site.url}/b")[1], list | None)
