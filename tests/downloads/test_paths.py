"""Names and folders of models: what a server says is a name, never a path."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from downloads.paths import (
    MAX_NAME_BYTES,
    free_name,
    is_model,
    is_pickle,
    marked,
    numbered,
    read_model_folders,
    safe_name,
)

_PIECES = ["..", ".", "/", "\\", "CON", "nul", "COM¹", ":", "\0", "\u202e", " ", "é", "e\u0301"]
_PIECES += [
    ".part",
    ".json",
    ".safetensors",
    "a",
    "模型",
    "\ud800",
    "~",
    "*",
    "x" * 150,
    "\u200d",
    "\U0001f600",
]
NAMES = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(_PIECES)).map("".join))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("model.safetensors", "model.safetensors"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("", "model"),
        (".", "model"),
        ("..", "model"),
        ("/", "model"),
        (".safetensors", "model.safetensors"),
        ("...safetensors", "model.safetensors"),
        (".hidden.safetensors", "hidden.safetensors"),
        ("CON", "_CON"),
        ("con.safetensors", "_con.safetensors"),
        ("NUL.tar.pt", "_NUL.tar.pt"),
        ("COM¹.pt", "_COM¹.pt"),
        ("console.pt", "console.pt"),
        ("a\0b\n.pt", "ab.pt"),
        ('a<b>:"|?*.pt', "a_b______.pt"),
        ("model .safetensors. . ", "model.safetensors"),
        ("evil\u202egpj.safetensors", "evilgpj.safetensors"),
        ("模型é.safetensors", "模型é.safetensors"),
        ("e\u0301.pt", "\u00e9.pt"),
        ("v1.0", "v1.0"),
        ("half.safetensors.part", "half.safetensors_part"),
        ("half.PART.json", "half_PART.json"),
        ("part.json", "part.json"),
        ("Model v1.5 final", "Model v1.5 final"),
    ],
)
def test_a_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_extension() -> None:
    assert safe_name("模" * 300 + ".safetensors").endswith("模.safetensors")
    assert len(safe_name("模" * 300 + ".safetensors").encode()) <= MAX_NAME_BYTES
    assert len(safe_name("x." + "y" * 300).encode()) <= MAX_NAME_BYTES


@given(NAMES)
@example("\u2024\u2024.pt")
@example("x" * (MAX_NAME_BYTES - 10) + ".partial.json")
@example("con\u200d.pt")
@example("a. .\u3000")
def test_any_name_comes_out_safe_and_stays_so(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert len(safe.encode()) <= MAX_NAME_BYTES
    assert not set(safe) & set('<>:"/\\|?*')
    assert safe == safe.strip(" ").rstrip(".") and not safe.startswith(".")
    assert all(unicodedata.category(c)[0] != "C" for c in safe)
    assert safe.split(".")[0].rstrip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert Path(safe).name == safe
    assert not safe.lower().endswith((".part", ".part.json"))
    assert safe_name(safe) == safe


@given(NAMES, st.integers(1, 5))
def test_a_free_name_is_free_and_safe(name: str, taken: int) -> None:
    base = safe_name(name)
    others = [numbered(base, number).swapcase() for number in range(taken)]
    free = free_name(base, others)
    assert free.casefold() not in {other.casefold() for other in others}
    assert safe_name(free) == free


def test_a_users_name_is_no_other_users_without_its_extension() -> None:
    assert marked("a.fp16.safetensors", "u-abcdefghij") == "a.fp16.abcdef.safetensors"
    assert marked("a.fp16.safetensors", "u-bcdefghijk") == "a.fp16.bcdefg.safetensors"
    assert marked("a.abcdef.pt", "u-abcdefghij") == "a.abcdef.pt"
    assert marked("v1", "u-abcdefghij") == "v1.abcdef"


@given(NAMES, st.from_regex(r"u-[a-z0-9]{10}", fullmatch=True))
def test_a_marked_name_is_safe_and_marked_once(name: str, namespace: str) -> None:
    base = safe_name(name)
    found = marked(base, namespace)
    assert safe_name(found) == found == marked(found, namespace)
    assert len(found.encode()) <= MAX_NAME_BYTES
    assert Path(found).suffix == Path(base).suffix or not Path(base).suffix
    mark = "." + namespace[2:8]
    assert mark in (Path(found).suffix, Path(Path(found).stem).suffix)


def test_a_taken_name_gets_a_number_before_its_extension() -> None:
    assert free_name("a.fp16.safetensors", []) == "a.fp16.safetensors"
    assert free_name("a.fp16.safetensors", ["A.FP16.safetensors"]) == "a.fp16 (1).safetensors"
    assert free_name("a.pt", ["a.pt", "a (1).pt"]) == "a (2).pt"


def test_formats_are_known_by_their_extensions() -> None:
    assert is_pickle("a.CKPT") and is_pickle("a.safetensors.pt") and not is_pickle("a.sft")
    assert is_model("a.gguf") and not is_model("a.py") and not is_model("safetensors")


def test_folders_are_as_comfyui_names_them() -> None:
    folders = read_model_folders("/c/models", ["loras", "ipadapter", "unet", "custom_nodes", ".x"])
    assert folders["loras"] == ["/c/models/loras"]
    assert folders["text_encoders"] == ["/c/models/text_encoders", "/c/models/clip"]
    assert folders["ipadapter"] == ["/c/models/ipadapter"]
    assert not {"unet", "clip", "custom_nodes", ".x"} & set(folders)
    assert folders["diffusion_models"] == ["/c/models/diffusion_models", "/c/models/unet"]


def test_extra_folders_come_behind_unless_they_are_the_default() -> None:
    extra = {
        "a111": {
            "base_path": "webui",
            "loras": "models/Lora\nmodels/LyCORIS\n",
            "clip": "models/clip/",
            "custom_nodes": "nodes",
        },
        "fast": {"is_default": True, "base_path": "/fast", "checkpoints": "a\nb", "odd": "x"},
        "same": {"is_default": True, "vae": "/c/models/vae"},
        "rel": {"vae": "vaes/../v"},
    }
    folders = read_model_folders("/c/models", [], extra, yaml_dir="/c")
    assert folders["loras"] == [
        "/c/models/loras",
        "/c/webui/models/Lora",
        "/c/webui/models/LyCORIS",
    ]
    assert folders["text_encoders"][-1] == "/c/webui/models/clip"
    # As ComfyUI inserts them, one by one at the front.
    assert folders["checkpoints"] == ["/fast/b", "/fast/a", "/c/models/checkpoints"]
    assert folders["odd"] == ["/fast/x"]
    assert folders["vae"] == ["/c/models/vae", "/c/v"]
    assert "custom_nodes" not in folders


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["base_path", "is_default", "loras", "clip"]) | st.integers(),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_yaml_gives_folders(extra: object) -> None:
    folders = read_model_folders("/c/models", [], extra)
    assert all(paths and all(p.startswith("/") for p in paths) for paths in folders.values())
