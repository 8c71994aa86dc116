"""ComfyUI's own words about a prompt, without server paths, models or the gateway's input."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.cachekey import INPUT
from comfyproxy.filters.errors import shown_refusal
from comfyproxy.filters.history import cut_paths, shown_error
from comfyproxy.filters.models import KnownModels, everything, nothing

KNOWN = KnownModels(
    {"checkpoints": ("a.safetensors", "sub/b.safetensors", "it's.safetensors"), "vae": ("v.pt",)}
)
LISTED = str(["a.safetensors", "sub/b.safetensors", "it's.safetensors"])


def refusal(*errors: dict[str, Any]) -> dict[str, Any]:
    return {
        "error": {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "\n".join(str(error["details"]) for error in errors),
            "extra_info": {},
        },
        "node_errors": {
            "4": {"errors": list(errors), "dependent_outputs": ["9"], "class_type": "Loader"}
        },
    }


def not_in_list(value: str, quoted: str, listed: list[str]) -> dict[str, Any]:
    return {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"ckpt_name: '{value}' not in {quoted}",
        "extra_info": {
            "input_name": "ckpt_name",
            "input_config": [listed, {"tooltip": "x"}],
            "received_value": value,
        },
    }


def test_alice_names_an_unknown_model_the_list_of_models_stays_hidden() -> None:
    body = refusal(not_in_list("nope", LISTED, list(KNOWN.folders["checkpoints"])))
    assert shown_refusal(body, KNOWN, nothing) == refusal(not_in_list("nope", "[]", []))
    assert shown_refusal(body, KNOWN, everything) == body


def test_alice_puts_quotes_into_her_value_the_list_stays_hidden() -> None:
    for value in ("'", "''", '"', "'\"", "it's", "['", "', '"):
        body = refusal(not_in_list(value, LISTED, ["a.safetensors"]))
        text = str(shown_refusal(body, KNOWN, nothing))
        for name in ("a.safetensors", "b.safetensors", "s.safetensors"):
            assert name not in text


def test_other_values_of_the_list_stay() -> None:
    body = refusal(not_in_list("x", "['None', 'v.pt', 'pixel_space']", ["None", "v.pt", "y"]))
    assert shown_refusal(body, KNOWN, nothing) == refusal(
        not_in_list("x", "['None', 'pixel_space']", ["None", "y"])
    )


def test_alice_links_a_text_into_a_list_the_type_that_comfyui_quotes_is_emptied() -> None:
    details = f"ckpt_name, received_type(STRING) mismatch input_type({LISTED})"
    body = refusal({"type": "return_type_mismatch", "details": details, "extra_info": {}})
    seen = shown_refusal(body, KNOWN, nothing)
    assert seen["node_errors"]["4"]["errors"][0]["details"] == (
        "ckpt_name, received_type(STRING) mismatch input_type([])"
    )
    assert "safetensors" not in str(seen)


def test_the_gateways_own_input_is_taken_out_wherever_it_is_echoed() -> None:
    body = {"node_errors": {"1": {"inputs": {"a": 1, INPUT: "u-alice00000"}, INPUT: "x"}}}
    body["list"] = [{INPUT: "x"}, {"b": INPUT}]  # type: ignore[assignment]
    assert shown_refusal(body, KNOWN, nothing) == {
        "node_errors": {"1": {"inputs": {"a": 1}}},
        "list": [{}, {"b": INPUT}],
    }


PATHS = [
    ('  File "/srv/ComfyUI/execution.py", line 1', '  File "…/ComfyUI/execution.py", line 1'),
    ('File "/home/o\'brien/my comfy/nodes.py"', 'File "…/my comfy/nodes.py"'),
    ("No such file: '/home/me/my dir/input/x y.png'", "No such file: '…/input/x y.png'"),
    ("Error:/home/me/comfy/x.png", "Error:…/comfy/x.png"),
    ("output_dir: /home/me\n  commonpath: /", "output_dir: …/me\n  commonpath: /"),
    ("at C:\\Users\\John Doe\\ComfyUI\\nodes.py", "at …/ComfyUI/nodes.py"),
    ("'C:\\\\Users\\\\me\\\\ComfyUI\\\\x.py'", "'…/ComfyUI/x.py'"),
    ("\\\\server\\share\\dir\\x", "…/dir/x"),
    ("file:///home/me/pics/x.png", "file:…/pics/x.png"),
    ("(/opt/comfy/custom_nodes/pack/a.py:3)", "(…/pack/a.py:3)"),
    ("a=/opt/comfy/x;b", "a=…/comfy/x;b"),
    ("from /opt/comfy/x to /var/comfy/y", "from …/comfy/x to …/comfy/y"),
]
NO_PATHS = [
    "u-alice00000/a/b/c/x.png",
    "Invalid image file: u-alice00000/a/b/c.png",
    "https://example.com/a/b/c/d",
    "see //example.com now",
    "and/or 16/9 w/ </b> 1/2/3",
    "./a/b/c ~/a/b",
    "/prompt",
    "C:/x",
    "…/ComfyUI/nodes.py",
    "a \\ b",
    "",
]


@pytest.mark.parametrize(("text", "cut"), PATHS)
def test_a_server_path_keeps_its_end_only(text: str, cut: str) -> None:
    assert cut_paths(text) == cut
    assert cut_paths({"a": [text, {"b": text}]}) == {"a": [cut, {"b": cut}]}
    assert shown_refusal({"a": text}, KNOWN, everything) == {"a": cut}


@pytest.mark.parametrize("text", NO_PATHS)
def test_a_text_without_a_server_path_stays(text: str) -> None:
    assert cut_paths(text) == text


@given(st.text(alphabet="ab/\\:. '\"C…", max_size=30))
def test_any_text_is_cut_once_and_for_all(text: str) -> None:
    assert cut_paths(cut_paths(text)) == cut_paths(text)


@given(st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), min_size=3, max_size=6))
def test_any_path_loses_what_stands_before_its_last_two_parts(parts: list[str]) -> None:
    for text in (f"x: /{'/'.join(parts)}", f"'{chr(92).join(['C:', *parts])}'"):
        kept = cut_paths(text)
        assert kept.count("/") == 2 and f"…/{parts[-2]}/{parts[-1]}" in kept


def test_an_execution_error_loses_paths_and_the_gateways_input() -> None:
    data = {
        "prompt_id": "a",
        "exception_message": "at /srv/comfy/a/b.py",
        "current_inputs": {"x": [1], INPUT: ["u-alice00000"]},
    }
    assert shown_error(data) == {
        "prompt_id": "a",
        "exception_message": "at …/a/b.py",
        "current_inputs": {"x": [1]},
    }
    for odd in (None, [], "x", 7, {"current_inputs": [INPUT]}):
        assert shown_error(odd) == odd


@pytest.mark.parametrize("long", ["'" * 9_000_000, " /a" * 3_000_000, "x" * 9_000_000])
def test_long_texts_of_clients_are_shortened_before_they_are_looked_through(long: str) -> None:
    body = {"details": f"ckpt_name: '{long}' not in ['a.safetensors']", "deep": [long] * 3}
    started = time.monotonic()
    shown = shown_refusal(body, KNOWN, nothing)
    # By far less than what one look through all of it takes.
    assert time.monotonic() - started < 2
    assert len(str(shown)) < 100_000
    assert "a.safetensors" not in str(shown)
    assert len(str(cut_paths({"current_inputs": {"a": [long] * 30}}))) < 1_000_000


def test_name_is_not_left_in_half_where_a_text_is_shortened() -> None:
    for length in range(15_900, 16_000):
        body = {"details": f"x: '{'y' * length}' not in ['sub/b.safetensors', 'b']"}
        text = shown_refusal(body, KNOWN, nothing)["details"]
        assert "sub" not in text and "safetensors" not in text


def test_words_that_a_list_lost_are_not_quoted_beside_it() -> None:
    known = KnownModels({"diffusers": ("sdxl", "deep/flux")})
    body = {
        "details": "model_path: 'x' not in ['sdxl', 'deep/flux']",
        "extra_info": {"input_config": [["sdxl", "deep/flux"], {}]},
    }
    assert shown_refusal(body, known, nothing) == {
        "details": "model_path: 'x' not in []",
        "extra_info": {"input_config": [[], {}]},
    }


def test_how_many_values_there_are_for_everybody_is_not_told() -> None:
    body = {"details": "ckpt_name: 'x' not in (list of length 57)"}
    assert shown_refusal(body, KNOWN, nothing) == {"details": "ckpt_name: 'x' not in (a long list)"}


def test_what_the_gateway_added_is_in_no_text_that_repeats_the_prompt() -> None:
    own = f"'{INPUT}': 'u-0123456789'"
    written = f"{{'9': {{'inputs': {{'a': 1, {own}}}}}, '8': {{'inputs': {{{own}, 'b': 2}}}}}}"
    shown = shown_error({"current_inputs": {"prompt": [written], INPUT: "u-0123456789"}})
    assert INPUT not in str(shown) and "u-0123456789" not in str(shown)
    assert "'a': 1" in str(shown) and "'b': 2" in str(shown)
