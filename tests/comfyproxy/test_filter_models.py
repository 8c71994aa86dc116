"""Which models a text names, and which folders a list of names is a list of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.filters.models import (
    KnownModels,
    Model,
    allowed_names,
    choice_name,
    is_hidden,
    looks_like_model,
    normal_name,
    nothing,
)
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN


def granted(folder: str, name: str) -> bool:
    return (folder, name) == ("checkpoints", "base.safetensors")


def test_a_base_name_that_two_models_share_is_shown_to_who_may_use_one_of_them() -> None:
    known = KnownModels({"checkpoints": ("a/x.pt",), "loras": ("x.pt",)})
    assert known.find("x.pt") == (Model("checkpoints", "a/x.pt"), Model("loras", "x.pt"))
    assert known.find("a/x.pt") == (Model("checkpoints", "a/x.pt"),)
    assert not is_hidden("x.pt", known, lambda folder, name: folder == "loras")
    assert is_hidden("a/x.pt", known, lambda folder, name: folder == "loras")


def test_names_of_a_folder_are_kept_by_grant_except_where_there_are_no_models() -> None:
    assert allowed_names("checkpoints", CHECKPOINTS, granted) == ["base.safetensors"]
    assert allowed_names("checkpoints", CHECKPOINTS, nothing) == []
    assert allowed_names("loras", ["base.safetensors"], granted) == []
    assert allowed_names("configs", ["v1.yaml"], nothing) == ["v1.yaml"]
    assert KNOWN.find("v1.yaml") == () and KNOWN.find("my_pack/node.py") == ()


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("a", "a"),
        ("./a", "a"),
        ("//a", "a"),
        ("///a//b/", "a/b"),
        ("../../a", "a"),
        ("x/../a", "a"),
        ("x/..", ""),
        ("a\\b", "a/b"),
        (" a \n", "a"),
        ("a . ", "a"),
        ("a/..b", "a/..b"),
        ("e\u0301.pt", "é.pt"),
        ("a.pt::$DATA", "a.pt"),
        ("a.pt::$data", "a.pt"),
        ("", ""),
        ("..", ""),
    ],
)
def test_a_models_name_has_one_spelling(name: str, normal: str) -> None:
    assert normal_name(name) == normal


@given(st.text(alphabet="ab./\\ X", max_size=12))
def test_any_name_becomes_plain_segments_below_a_root(name: str) -> None:
    normal = normal_name(name)
    assert normal_name(f"x/../{normal}") == normal
    assert normal == "" or not {"", ".", ".."} & set(normal.split("/"))


def test_a_text_looks_like_a_model_by_its_extension() -> None:
    for text in ("x.safetensors", "X.CKPT", "a/b.gguf", "x.pt", "x" * 500 + ".pt", "x.pt/"):
        assert looks_like_model(text)
    for text in ("x.pt/.", "x.pt/y/..", " x.pt. ", "x.pt::$DATA", "./" * 300 + "x.pt\\."):
        assert looks_like_model(text)
    for text in ("x", "x.png", "safetensors", "x.pt is good", "x.pt/x.png"):
        assert not looks_like_model(text)


@given(st.sampled_from(sorted(name for names in KNOWN.folders.values() for name in names)))
def test_a_name_as_it_is_listed_means_the_same_as_in_any_other_spelling(name: str) -> None:
    assert KNOWN.find(name) == KNOWN.find(f"./{name}") == KNOWN.find(name.upper())


_ODD = st.text(alphabet="aA. /\\\t\n", max_size=8)


@given(st.builds("{}{}{}".format, _ODD, st.sampled_from(sorted(KNOWN.folders["vae"])), _ODD))
def test_a_name_is_found_whatever_stands_around_it_that_makes_no_other(text: str) -> None:
    assert (Model("vae", "vae.pt") in KNOWN.find(text)) is (
        f"/{normal_name(text)}".casefold().endswith("/vae.pt")
    )


TWINS = KnownModels(
    {
        "checkpoints": ("a.pt", "b.pt", "sub/c.pt"),
        "loras": ("a.pt", "b.pt", "l.pt"),
        "vae": ("a.pt",),
        "empty": (),
        "custom_nodes": ("a.pt", "n.py"),
    }
)


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["sub/c.pt"], {"checkpoints"}),
        (["a.pt", "b.pt", "sub/c.pt"], {"checkpoints"}),
        (["l.pt", "a.pt"], {"loras"}),
        # One folder's whole list, though others have these names too.
        (["a.pt"], {"vae"}),
        (["a.pt", "a.pt"], {"vae"}),
        # Parts of two folders that cannot be told apart.
        (["a.pt", "b.pt"], {"checkpoints", "loras"}),
        # Several folders as a whole.
        (["a.pt", "b.pt", "sub/c.pt", "l.pt"], {"checkpoints", "loras", "vae"}),
        # Parts of several, other spellings, unknown names, nothing.
        (["l.pt", "sub/c.pt"], set()),
        (["./a.pt"], set()),
        (["A.pt"], set()),
        (["c.pt"], set()),
        (["a.pt", "unknown.pt"], set()),
        (["n.py"], set()),
        ([], set()),
    ],
    ids=lambda value: "-".join(sorted(value)) or "none",
)
def test_names_are_a_list_of_the_folders_that_hold_them(
    names: list[str], folders: set[str]
) -> None:
    assert TWINS.sources(names) == folders


def test_a_folder_holds_a_name_letter_by_letter() -> None:
    assert TWINS.holds("checkpoints", "sub/c.pt")
    for folder, name in (("checkpoints", "c.pt"), ("loras", "sub/c.pt"), ("checkpoints", "A.pt")):
        assert not TWINS.holds(folder, name)
    assert not TWINS.holds("custom_nodes", "n.py")


def test_a_folder_is_found_by_its_former_name() -> None:
    known = KnownModels({"diffusion_models": (), "clip": (), "text_encoders": ()})
    assert known.folder("unet") == known.folder("diffusion_models") == "diffusion_models"
    # What ComfyUI lists itself goes first.
    assert known.folder("clip") == "clip"
    for unknown in ("CLIP", "vae", "", "diffusion_models/"):
        assert known.folder(unknown) is None


def test_of_a_longer_path_every_known_end_counts_for_who_has_to_be_sure() -> None:
    known = KnownModels({"checkpoints": ("x.pt",), "loras": ("checkpoints/x.pt",)})
    both = {Model("checkpoints", "x.pt"), Model("loras", "checkpoints/x.pt")}
    assert set(known.find_all("/srv/models/checkpoints/x.pt")) == both
    assert known.find("/srv/models/checkpoints/x.pt") == (Model("loras", "checkpoints/x.pt"),)
    # A path that is known as it stands means that file alone.
    for text in ("checkpoints/x.pt", "./checkpoints/x.pt", "CHECKPOINTS\\x.pt"):
        assert known.find_all(text) == (Model("loras", "checkpoints/x.pt"),)
    assert set(known.find_all("x.pt")) == both
    assert known.find_all("y.pt") == known.find_all("") == ()


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("a", "a"),
        ({"key": "a", "inputs": {}}, "a"),
        ({"content": "a", "image": None}, "a"),
        ({"value": "a", "label": "b"}, "a"),
        ({"key": 1, "value": "a"}, None),
        ({"options": ["a"]}, None),
        (1, None),
        (None, None),
        (["a"], None),
    ],
    ids=str,
)
def test_a_member_of_a_list_is_called_what_it_says(member: object, name: str | None) -> None:
    assert choice_name(member) == name
