"""Bytes that are not what their name says are told apart, whatever they are."""

import contextlib
import io
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloads.contentcheck import (
    MAX_HEADER,
    MAX_PARSED,
    check_file,
    check_safetensors,
    check_start,
    check_type,
)
from downloads.errors import WrongContent
from tests.downloads.servers import safetensors


def framed(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def accepted(content: bytes) -> bool:
    try:
        check_safetensors(io.BytesIO(content), len(content))
    except WrongContent:
        return False
    return True


def tensor(begin: Any = 0, end: Any = 4, shape: Any = None, dtype: Any = "F32") -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape or [1], "data_offsets": [begin, end]}}


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (safetensors(1000), True),
        (framed({}), True),
        (framed(tensor(), b"1234"), True),
        (framed(tensor(), b"123"), False),
        (framed(tensor(3, 2), b"1234"), False),
        (framed(tensor(-1), b"1234"), False),
        (framed(tensor(True), b"1234"), False),
        (framed(tensor(0.0), b"1234"), False),
        (framed(tensor(shape="x"), b"1234"), False),
        (framed(tensor(dtype=5), b"1234"), False),
        (framed({"w": 5}), False),
        (framed({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}), False),
        (framed([]), False),
        (framed(b"{not json"), False),
        (framed(b"\xff\xfe"), False),
        (framed({"__metadata__": {"a": "b"}}), True),
        (framed({"__metadata__": {"a": 1}}), False),
        (framed({"__metadata__": {"a": {}}}), False),
        (framed({"__metadata__": ["a"]}), False),
        (framed({"__metadata__": None}), False),
        (framed(b"[" * 200_000), False),
        (framed(b'{"a":' * 200_000), False),
        (framed(b'{"w": ' + b"9" * 5000 + b"}"), False),
        (b"", False),
        (b"1234", False),
        ((10).to_bytes(8, "little") + b"{}", False),
        (MAX_HEADER.to_bytes(8, "little") + b"{}", False),
        (b"\xff" * 100, False),
        (b"<!DOCTYPE html><html></html>", False),
    ],
)
def test_a_safetensors_header_is_judged(content: bytes, good: bool) -> None:
    assert accepted(content) is good


def test_a_header_that_no_model_needs_is_refused_before_the_rest_is_fetched() -> None:
    start = (MAX_PARSED + 1).to_bytes(8, "little") + b'{"__metadata__":['
    for check in (
        lambda: check_start("a.safetensors", start, 10 * MAX_PARSED),
        lambda: check_safetensors(io.BytesIO(start), 10 * MAX_PARSED),
    ):
        with pytest.raises(WrongContent) as caught:
            check()
        assert "8 MB" in caught.value.sentence
    assert accepted(framed(b"{}" + b" " * (MAX_PARSED - 2)))


def test_headers_are_parsed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, most, both = 0, 0, threading.Barrier(2, timeout=0.3)

    def slow(text: bytes) -> Any:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        # Two at once would meet here.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait()
        busy -= 1
        return {}

    monkeypatch.setattr("downloads.contentcheck.json.loads", slow)
    threads = [threading.Thread(target=accepted, args=(framed(b"{}"),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(content: bytes) -> None:
    assert accepted(content) in (True, False)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dtype", "shape", "data_offsets", "w", "__metadata__"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON, st.binary(max_size=20))
def test_any_header_is_judged(header: Any, data: bytes) -> None:
    assert accepted(framed(header, data)) in (True, False)


@given(st.integers(1, 400))
def test_a_file_that_is_cut_off_is_refused(cut: int) -> None:
    assert not accepted(safetensors(500)[:-cut])


@pytest.mark.parametrize(
    ("name", "content", "good"),
    [
        ("a.json", b'{"a": 1}', True),
        ("a.json", b"<!doctype html>", False),
        ("a.yaml", b"model: x", True),
        ("a.gguf", b"GGUF\x03\0\0\0", True),
        ("a.gguf", b"{}", False),
        ("a.ckpt", b"PK\x03\x04", True),
        ("a.ckpt", b"\x80\x02}", True),
        ("a.ckpt", b'\xef\xbb\xbf\n {"error": 1}', False),
        ("a.pt", b"<?xml version='1.0'?>", False),
        ("a.onnx", b"", False),
        ("a.safetensors", safetensors(50), True),
    ],
)
def test_a_file_is_judged_by_its_format(name: str, content: bytes, good: bool) -> None:
    if good:
        check_file(name, io.BytesIO(content), len(content))
    else:
        with pytest.raises(WrongContent):
            check_file(name, io.BytesIO(content), len(content))


def test_a_content_type_of_pages_is_refused() -> None:
    check_type("a.json", "application/json")
    check_type("a.safetensors", "")
    check_type("a.safetensors", "text/plain")
    for kind in ("text/html; charset=utf-8", "application/json", "application/problem+json"):
        with pytest.raises(WrongContent):
            check_type("a.safetensors", kind)
