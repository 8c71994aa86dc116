"""Names of files: where prefixes lead, what loaders open, what the metadata and cache hold."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.fakecomfy import FakeComfyThread
from tests.fakecomfy.embeddings import resolve
from tests.fakecomfy.folders import Folders

from .conftest import picture
from .graphs import post, run, save, wait_idle
from .replay import load, send

ROWS = load("files.json")


def _outcome(url: str, graph: dict[str, Any], base: Path) -> dict[str, Any]:
    """Sends a prompt; the outcome in the form of the recorded rows."""
    answer = post(url, graph)
    if answer.status != 200:
        errors = answer.json()["node_errors"]["1"]["errors"]
        return {"status": 400, "error": errors[0]["type"], "details": errors[0]["details"]}
    wait_idle(url)
    prompt_id = answer.json()["prompt_id"]
    entry = send(url, "GET", f"/history/{prompt_id}").json()[prompt_id]
    status = entry["status"]
    found: dict[str, Any] = {"status": 200, "run": status["status_str"]}
    if status["status_str"] == "error":
        message = status["messages"][-1][1]["exception_message"]
        found["exception_message"] = message.replace(str(base), "<BASE>")
    else:
        found["outputs"] = entry["outputs"]
    return found


def _matches(row: dict[str, Any], found: dict[str, Any], base: Path) -> None:
    for key in ("status", "run", "error", "details", "exception_message"):
        want = row.get(key)
        got = found.get(key)
        if isinstance(got, str):
            got = got.replace(str(base), "<BASE>")
        assert got == want, (key, row)


def test_prompt_saves_with_prefixes_files_land_as_recorded(
    fake: FakeComfyThread, base: Path
) -> None:
    today = time.strftime("%Y-%m-%d")
    for number, row in enumerate(ROWS["filename_prefix"]):
        prefix = row["filename_prefix"].replace("<BASE>", str(base))
        graph = save(number, prefix)
        graph["1"]["inputs"].update(width=16, height=8)
        graph["1"]["inputs"]["batch_size"] = 2 if "batch_num" in prefix else 1
        found = _outcome(fake.url, graph, base)
        _matches(row, found, base)
        if "outputs" not in row:
            continue
        for want, got in zip(
            row["outputs"]["2"]["images"], found["outputs"]["2"]["images"], strict=True
        ):
            name, folder = got["filename"], got["subfolder"]
            if prefix == "%hour%":
                assert re.fullmatch(r"\d\d_00001_\.png", name)
            else:
                assert name == want["filename"]
            wanted = want["subfolder"].replace("<BASE>", str(base)).replace("2026-11-23", today)
            assert folder == wanted
            assert (base / "output" / folder / name).is_file()


@pytest.fixture
def inputs(base: Path) -> Path:
    for name in (
        "input/f-in.png",
        "output/f-out.png",
        "temp/f-temp.png",
        "input/users/alice/f-insub.png",
        "output/users/alice/f-sub.png",
        "input/with space.png",
        "input/a/b/x.png",
        "outside.png",
    ):
        picture(base / name)
    for name in ("3d", "abs", "clipspace", "users/alice"):
        (base / "input" / name).mkdir(parents=True, exist_ok=True)
    return base


def _loading(node: str, **inputs: Any) -> dict[str, Any]:
    graph = save()
    graph["1"] = {"class_type": node, "inputs": inputs}
    return graph


@pytest.mark.parametrize("row", ROWS["LoadImage"], ids=lambda row: repr(row["image"]))
def test_prompt_loads_picture_outcome_is_as_recorded(
    fake: FakeComfyThread, inputs: Path, row: dict[str, Any]
) -> None:
    picture(inputs / "temp/f-temp.png")  # the folder was emptied when the server started
    image = row["image"]
    if isinstance(image, str):
        image = image.replace("<BASE>", str(inputs))
    if image == ".":
        row = {**row, "exception_message": row["exception_message"]}
    _matches(row, _outcome(fake.url, _loading("LoadImage", image=image), inputs), inputs)


@pytest.mark.parametrize(
    "row",
    [r for r in ROWS["other_loaders"] if r["node"] in ("LoadImageOutput", "LoadImageMask")]
    + [r for r in ROWS["other_loaders"] if r["node"].startswith("LoadImageSet")],
    ids=lambda row: f"{row['node']} {row.get('image', row.get('folder'))}",
)
def test_prompt_loads_with_other_nodes_outcome_is_as_recorded(
    fake: FakeComfyThread, inputs: Path, row: dict[str, Any]
) -> None:
    if row["node"] == "LoadImageSetFromFolderNode":
        graph = _loading(row["node"], folder=row["folder"], resize_method="None")
    elif row["node"] == "LoadImageMask":
        # A mask cannot be saved as it is; that it is loaded at all is what counts.
        graph = _loading(row["node"], image=row["image"], channel="alpha")
        graph["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    else:
        graph = _loading(row["node"], image=row["image"])
    _matches(row, _outcome(fake.url, graph, inputs), inputs)


@pytest.mark.parametrize(
    ("node", "graph"),
    [
        ("LoadLatent", {"1": ("LoadLatent", {"latent": "../outside.png"})}),
        ("LoadAudio", {"1": ("LoadAudio", {"audio": "../outside.png"})}),
    ],
)
def test_prompt_loads_wrong_kind_of_file_fails_while_running(
    fake: FakeComfyThread, inputs: Path, node: str, graph: dict[str, Any]
) -> None:
    prompt = {n: {"class_type": c, "inputs": i} for n, (c, i) in graph.items()}
    prompt["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    row = next(r for r in ROWS["other_loaders"] if r["node"] == node)
    _matches(row, _outcome(fake.url, prompt, inputs), inputs)


def _checkpoint(name: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


@pytest.mark.parametrize("row", ROWS["ckpt_name"], ids=lambda row: repr(row["ckpt_name"]))
def test_prompt_names_model_only_list_values_pass(
    fake: FakeComfyThread, base: Path, row: dict[str, Any]
) -> None:
    found = _outcome(fake.url, _checkpoint(row["ckpt_name"]), base)
    if row["status"] == 200:
        # The recorded dummies failed to load, which the simulation's do not.
        assert found["run"] == "success"
    else:
        _matches(row, found, base)


@pytest.mark.parametrize("row", ROWS["model_name"], ids=lambda row: repr(row["model_name"]))
def test_prompt_names_model_in_newer_combo_spellings_resolve(
    fake: FakeComfyThread, base: Path, row: dict[str, Any]
) -> None:
    graph = {
        "1": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": row["model_name"]}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    found = _outcome(fake.url, graph, base)
    if row["exception_message"] == "\n":
        assert found["run"] == "success"
    else:
        _matches(row, found, base)


@pytest.mark.parametrize("row", ROWS["embeddings_in_texts"], ids=lambda row: repr(row["text"]))
def test_text_names_embeddings_lookups_are_as_recorded(base: Path, row: dict[str, Any]) -> None:
    folders = Folders(base)
    root = base / "models/embeddings"
    text = row["text"].replace("<EMBEDDINGS>", str(root))
    if "error" in row:
        with pytest.raises(IndexError, match="list index out of range"):
            resolve(folders, text)
        return
    looked_up, opened = resolve(folders, text)
    assert [n.replace(str(root), "<EMBEDDINGS>") for n in looked_up] == row["looked_up"]
    assert [Path(p).relative_to(root).as_posix() for p in opened] == row["opened"]


def test_text_node_feeds_prefix_path_is_known_only_at_run_time(fake: FakeComfyThread) -> None:
    graph = save()
    graph["3"] = {"class_type": "PrimitiveString", "inputs": {"value": "rec/computed"}}
    graph["2"]["inputs"]["filename_prefix"] = ["3", 0]
    entry = run(fake.url, graph)
    assert entry["outputs"]["2"]["images"][0]["filename"] == "computed_00001_.png"
    graph["3"]["inputs"]["value"] = "../escaped"
    assert run(fake.url, graph)["status"]["status_str"] == "error"


def test_text_node_feeds_model_name_is_refused(fake: FakeComfyThread) -> None:
    graph = _checkpoint(["3", 0])
    graph["3"] = {"class_type": "PrimitiveString", "inputs": {"value": "b.safetensors"}}
    (error,) = post(fake.url, graph).json()["node_errors"]["1"]["errors"]
    assert error["type"] == "return_type_mismatch"
    assert error["details"] == (
        "ckpt_name, received_type(STRING) mismatch input_type"
        "(['a.safetensors', 'b.safetensors', 'sub/c.safetensors'])"
    )


def test_custom_node_feeds_model_name_nobody_checks_it(fake: FakeComfyThread) -> None:
    graph = _checkpoint(["3", 0])
    graph["3"] = {"class_type": "FakeCustomAny", "inputs": {"value": "sub/c.safetensors"}}
    assert run(fake.url, graph)["status"]["status_str"] == "success"


def test_custom_node_feeds_picture_name_is_refused(fake: FakeComfyThread) -> None:
    graph = _loading("LoadImage", image=["3", 0])
    graph["3"] = {"class_type": "FakeCustomAny", "inputs": {"value": "example.png"}}
    (error,) = post(fake.url, graph).json()["node_errors"]["1"]["errors"]
    assert error["type"] == "exception_during_inner_validation"
    assert error["details"] == "'NoneType' object has no attribute 'endswith'"


def test_prompt_saves_picture_metadata_holds_graph_and_pnginfo(
    fake: FakeComfyThread, base: Path
) -> None:
    graph = save(301, "rec/meta")
    graph["1"]["_meta"] = {"title": "T"}
    pnginfo = {"workflow": {"id": "w", "nodes": []}, "other": [1]}
    run(fake.url, graph, extra_data={"extra_pnginfo": pnginfo, "secret": "not in the picture"})
    with Image.open(base / "output/rec/meta_00001_.png") as saved:
        assert set(saved.text) == {"prompt", "workflow", "other"}  # type: ignore[attr-defined]
        assert saved.text["workflow"] == '{"id": "w", "nodes": []}'  # type: ignore[attr-defined]
        assert '"_meta": {"title": "T"}' in saved.text["prompt"]  # type: ignore[attr-defined]


def _saved(entry: dict[str, Any]) -> str:
    return entry["outputs"]["2"]["images"][0]["filename"]


def _cached(entry: dict[str, Any]) -> list[str]:
    return entry["status"]["messages"][1][1]["nodes"]


def test_prompt_repeated_by_anyone_reports_earlier_file(fake: FakeComfyThread, base: Path) -> None:
    first = run(fake.url, save(1, "c/x"), client_id="alice")
    again = run(
        fake.url, save(1, "c/x"), client_id="bob", extra_data={"extra_pnginfo": {"workflow": {}}}
    )
    assert (_cached(first), _cached(again)) == ([], ["1", "2"])
    assert _saved(again) == _saved(first)
    (base / "output/c/x_00001_.png").unlink()
    assert _saved(run(fake.url, save(1, "c/x"))) == "x_00001_.png"
    assert not (base / "output/c/x_00001_.png").exists()


def test_prompt_repeated_after_another_runs_again(fake: FakeComfyThread) -> None:
    run(fake.url, save(1, "c/x"))
    run(fake.url, save(2, "c/y"))
    again = run(fake.url, save(1, "c/x"))
    assert (_cached(again), _saved(again)) == ([], "x_00002_.png")


def test_client_frees_memory_cache_is_empty(fake: FakeComfyThread) -> None:
    run(fake.url, save(1, "c/x"))
    assert send(fake.url, "POST", "/free", json_body={"free_memory": True}).status == 200
    time.sleep(0.05)
    again = run(fake.url, save(1, "c/x"))
    assert (_cached(again), _saved(again)) == ([], "x_00002_.png")


def test_undeclared_input_is_ignored_but_part_of_the_cache_key(fake: FakeComfyThread) -> None:
    run(fake.url, save(1, "c/x"))
    graph = save(1, "c/x")
    graph["2"]["inputs"]["owner"] = "alice"
    again = run(fake.url, graph)
    assert (_cached(again), _saved(again)) == (["1"], "x_00002_.png")


def test_loaded_file_changes_prompt_runs_again(fake: FakeComfyThread, base: Path) -> None:
    graph = _loading("LoadImage", image="example.png")
    run(fake.url, graph)
    assert _cached(run(fake.url, graph)) == ["1", "2"]
    picture(base / "input/example.png", (4, 4))
    assert _cached(run(fake.url, graph)) == []


def test_preview_node_keeps_its_random_name_for_everyone(fake: FakeComfyThread) -> None:
    names = []
    for colour in (1, 2):
        graph = save(colour)
        graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
        (entry,) = run(fake.url, graph, client_id=str(colour))["outputs"]["2"]["images"]
        assert entry["type"] == "temp"
        names.append(entry["filename"])
    assert re.fullmatch(r"ComfyUI_temp_[a-z]{5}_00001_\.png", names[0])
    assert names[1] == names[0].replace("00001", "00002")


def test_checkpoint_save_writes_unreported_model(fake: FakeComfyThread) -> None:
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
        "2": {
            "class_type": "CheckpointSave",
            "inputs": {
                "model": ["1", 0],
                "clip": ["1", 1],
                "vae": ["1", 2],
                "filename_prefix": "checkpoints/mine",
            },
        },
    }
    assert run(fake.url, graph)["outputs"] == {}
    names = send(fake.url, "GET", "/models/checkpoints").json()
    assert "mine_00001_.safetensors" in names


def test_sampling_graph_runs_to_a_picture(fake: FakeComfyThread, base: Path) -> None:
    graph = _checkpoint("a.safetensors")
    sampler = {"seed": 5, "steps": 3, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal"}
    links = {"model": ["1", 0], "positive": ["4", 0], "negative": ["4", 0]}
    size = {"width": 64, "height": 32, "batch_size": 2}
    graph.update(
        {
            "4": {
                "class_type": "CLIPTextEncode",
                "inputs": {"text": "a cat", "clip": ["1", 1]},
            },
            "5": {"class_type": "EmptyLatentImage", "inputs": size},
            "6": {
                "class_type": "KSampler",
                "inputs": {**sampler, **links, "latent_image": ["5", 0], "denoise": 1.0},
            },
            "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["1", 2]}},
            "8": {
                "class_type": "SaveImage",
                "inputs": {"images": ["7", 0], "filename_prefix": "s"},
            },
        }
    )
    entry = run(fake.url, graph)
    assert [f["filename"] for f in entry["outputs"]["8"]["images"]] == [
        "s_00001_.png",
        "s_00002_.png",
    ]
    with Image.open(base / "output/s_00001_.png") as saved:
        assert saved.size == (64, 32)
