"""Binary frames of ComfyUI's socket: previews, results and texts of one's own run only."""

import json
import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.relay import RunState, Sort, Verdict, judge_binary

OWN, FOREIGN = "own-prompt", "foreign-prompt"
JPEG, PNG = 1, 2
PICTURE = b"\xff\xd8 picture \x00\x01"


def metadata_frame(metadata: Any, picture: bytes = PICTURE, length: int | None = None) -> bytes:
    encoded = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    return struct.pack(">II", 4, len(encoded) if length is None else length) + encoded + picture


def preview(**changed: Any) -> bytes:
    whole = {"node_id": "1", "prompt_id": OWN, "image_type": "image/jpeg"}
    return metadata_frame({**whole, **changed})


def judge(frame: bytes, running: str | None = None, nodes: Iterable[str] = ()) -> Verdict:
    return judge_binary(
        frame,
        RunState(running, nodes=set(nodes)),
        lambda prompt_id: prompt_id == OWN,
        lambda prompt_id: frozenset({"7"}),
    )


@pytest.mark.parametrize(
    ("image_type", "number"), [("image/jpeg", JPEG), ("image/png", PNG), ("x", JPEG), (None, JPEG)]
)
def test_ones_own_preview_passes_in_both_forms(image_type: str | None, number: int) -> None:
    frame = preview(image_type=image_type)
    plain = struct.pack(">II", 1, number) + PICTURE
    for running in (None, OWN):
        assert judge(frame, running) == Verdict(Sort.PREVIEW, frame, plain=plain)


def test_a_picture_of_a_result_node_is_a_result() -> None:
    frame = preview(node_id="7", image_type="image/png")
    plain = struct.pack(">II", 1, PNG) + PICTURE
    assert judge(frame) == Verdict(Sort.RESULT, frame, plain=plain)
    for node_id in (7, None, ["7"], {"7": 1}):
        assert judge(preview(node_id=node_id)).sort is Sort.PREVIEW


@pytest.mark.parametrize(
    "frame",
    [
        preview(prompt_id=FOREIGN),
        preview(prompt_id=FOREIGN, node_id="7"),
        preview(prompt_id=None),
        preview(prompt_id=[OWN]),
        metadata_frame({"node_id": "1"}),
        metadata_frame([OWN]),
        metadata_frame(OWN),
        metadata_frame(b"no json"),
        metadata_frame(b""),
        metadata_frame({"prompt_id": OWN}, length=3),
        metadata_frame({"prompt_id": OWN}, length=0xFFFFFFFF),
        metadata_frame({"prompt_id": OWN}, length=0),
    ],
)
def test_a_picture_of_another_or_of_nobody_is_dropped_even_during_ones_own_run(
    frame: bytes,
) -> None:
    for running in (None, OWN):
        assert judge(frame, running).sort is Sort.DROP


def test_a_picture_that_names_no_prompt_passes_during_ones_own_run_only() -> None:
    frame = struct.pack(">II", 1, JPEG) + PICTURE
    assert judge(frame).sort is Sort.DROP
    assert judge(frame, OWN) == Verdict(Sort.PREVIEW, frame, plain=frame)


def test_a_text_that_names_no_prompt_passes_if_its_node_is_of_ones_own_run() -> None:
    frame = struct.pack(">II", 3, 1) + b"1" + "64 é 48".encode()
    assert judge(frame).sort is Sort.DROP
    assert judge(frame, OWN).sort is Sort.DROP
    assert judge(frame, OWN, nodes={"2"}).sort is Sort.DROP
    assert judge(frame, OWN, nodes={"1", "2"}) == Verdict(Sort.EVENT, frame)


@pytest.mark.parametrize(
    "frame", [b"", b"\0", b"\0\0\0\x01", b"\0\0\0\x01\0\0\0", struct.pack(">II", 2, 1) + PICTURE,
              struct.pack(">II", 0, 1), struct.pack(">II", 99, 1) + PICTURE,
              struct.pack("<II", 1, 1) + PICTURE],
)  # fmt: skip
def test_a_frame_of_no_known_kind_is_dropped(frame: bytes) -> None:
    assert judge(frame, OWN).sort is Sort.DROP


@given(st.integers(0, 5), st.binary(max_size=60))
def test_any_bytes_are_judged_and_no_unnamed_ones_pass_outside_a_run(
    event: int, rest: bytes
) -> None:
    for frame in (rest, struct.pack(">I", event) + rest):
        assert judge(frame).sort is Sort.DROP
        assert judge(frame, OWN).sort in (Sort.DROP, Sort.PREVIEW, Sort.EVENT)
