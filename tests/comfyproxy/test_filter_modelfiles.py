"""Pictures of models: which model is meant, and whose pictures ComfyUI might show for it."""

import pytest

from comfyproxy.filters.modelfiles import may_tell_of, pictured

NAMES = ("a.safetensors", "a.ckpt", "sub/a.safetensors", "b.v1.pt", "plain", "[ab].pt")


def every(name: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("a.safetensors", "a.safetensors"),
        ("a.ckpt", "a.ckpt"),
        ("a.webp", "a.safetensors"),
        ("a", "a.safetensors"),
        ("sub/a.webp", "sub/a.safetensors"),
        ("b.v1.webp", "b.v1.pt"),
        ("plain", "plain"),
        ("plain.webp", "plain"),
        ("[ab].webp", "[ab].pt"),
        ("b.webp", None),
        ("A.webp", None),
        ("sub\\a.webp", None),
        ("sub", None),
        ("../a.webp", None),
        ("", None),
        (".webp", None),
    ],
)
def test_a_model_is_meant_by_its_name_with_any_extension(asked: str, found: str | None) -> None:
    assert pictured(asked, NAMES, every) == found
    assert pictured(asked, NAMES, lambda name: False) is None


def test_of_models_that_differ_by_their_extension_the_allowed_one_is_meant() -> None:
    def allowed(name: str) -> bool:
        return name == "a.ckpt"

    assert pictured("a.webp", NAMES, allowed) == "a.ckpt"
    assert pictured("a.safetensors", NAMES, allowed) is None


@pytest.mark.parametrize(
    ("name", "other", "tells"),
    [
        ("a.ckpt", "a.safetensors", True),
        ("a.ckpt", "a.v2.safetensors", True),
        ("a.ckpt", "A.SAFETENSORS", True),
        ("[ab].pt", "b.safetensors", True),
        ("[A-z].pt", "Q.safetensors", True),
        ("a*.pt", "a hidden one.safetensors", True),
        ("a.ckpt", "a.pt", False),
        ("a.ckpt", "ab.safetensors", False),
        ("a.ckpt", "sub/a.safetensors", False),
        ("sub/a.ckpt", "a.safetensors", False),
    ],
)
def test_a_picture_may_come_out_of_a_neighbour(name: str, other: str, tells: bool) -> None:
    names = (name, other)
    assert may_tell_of(name, names, lambda each: each == name) is not tells
    assert may_tell_of(name, names, every)
