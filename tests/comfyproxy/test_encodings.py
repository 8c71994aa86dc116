"""Which encoding a client gets, and which files gain by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.encodings import OFFERED, chosen, is_compressible
from comfyproxy.frontendfiles import is_named_by_content


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("GZIP;Q=0.5", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("br;q=0, gzip;q=0", ""),
        ("identity", ""),
        ("*", "br"),
        ("*;q=0", ""),
        ("br;q=0, *", "gzip"),
        ("deflate, zstd", ""),
        ("gzip;q=nonsense", "gzip"),
        (",,;;q", ""),
    ],
)
def test_client_gets_the_best_that_it_takes(accepted: str, expected: str) -> None:
    assert chosen(accepted) == expected


@given(st.text(max_size=2000))
def test_anything_may_be_sent(accepted: str) -> None:
    assert chosen(accepted) in (*OFFERED, "")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("text/javascript; charset=utf-8", True),
        ("application/javascript", True),
        ("text/html", True),
        ("application/json", True),
        ("application/manifest+json", True),
        ("image/svg+xml", True),
        ("font/ttf", True),
        ("application/wasm", True),
        ("image/png", False),
        ("font/woff2", False),
        ("video/mp4", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_text_gains_by_compression_and_pictures_do_not(kind: str, expected: bool) -> None:
    assert is_compressible(kind.encode()) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/assets/index-DMOk5skT.js", True),
        ("/assets/a-b-c_d-VhqaWob4.mjs", True),
        ("/assets/vendor-BQ4KtpF-.css", True),
        ("/assets/inter-00000000.woff2", True),
        ("/assets/custom-rollback.js", False),
        ("/assets/custom-Rollback.js", False),
        ("/assets/custom-node-map.js", False),
        ("/assets/sorted-custom-node-map.json", False),
        ("/assets/short-DMOk5sk.js", False),
        ("/assets/deep/index-DMOk5skT.js", False),
        ("/extensions/pack/index-DMOk5skT.js", False),
        ("/index-DMOk5skT.js", False),
    ],
)
def test_only_what_vite_named_by_its_content_is_kept_for_ever(path: str, expected: bool) -> None:
    assert is_named_by_content(path) is expected
