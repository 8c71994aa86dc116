"""Node definitions, the page, demo files, several users, logs: all that is around prompts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.fakecomfy import FakeComfyThread

from .conftest import picture
from .graphs import fail, run, save
from .replay import load, send


def _bare(value: Any) -> Any:
    """A definition without its tooltips, which the recorded ones lack."""
    if isinstance(value, dict):
        return {k: _bare(v) for k, v in value.items() if k != "tooltip"}
    return [_bare(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("want", load("object_info.json"), ids=lambda d: d["name"])
def test_client_asks_for_node_gets_recorded_definition(
    module_fake: FakeComfyThread, module_base: Path, want: dict[str, Any]
) -> None:
    name = want["name"]
    (got,) = send(module_fake.url, "GET", f"/api/object_info/{name}").json().values()
    got = _bare(got)
    if name in ("LoadImage", "LoadImageMask"):
        assert got["input"]["required"]["image"] == [["example.png"], {"image_upload": True}]
        want["input"]["required"]["image"] = got["input"]["required"]["image"]
    if name == "LoadImageSetFromFolderNode":
        want["input"]["required"]["folder"][0] = []
    if name == "KSampler":
        recorded = want["input"]["required"]["sampler_name"][0]
        samplers = got["input"]["required"]["sampler_name"][0]
        assert (samplers[:20], len(samplers)) == (recorded[:20], 42)
        want["input"]["required"]["sampler_name"][0] = samplers
    assert got == want


def test_every_node_is_complete_and_listed(module_fake: FakeComfyThread) -> None:
    nodes = send(module_fake.url, "GET", "/object_info").json()
    assert {"FakeSlow", "FakeFail", "FakeNewStyleLoader", "FakeCustomAny"} <= set(nodes)
    for name, node in nodes.items():
        assert node["name"] == name
        order = {kind: list(inputs) for kind, inputs in node["input"].items()}
        assert node["input_order"] == order
        assert len(node["output"]) == len(node["output_name"]) == len(node["output_is_list"])
        assert "$list" not in str(node)


def test_new_picture_and_model_show_up_in_lists(fake: FakeComfyThread, base: Path) -> None:
    picture(base / "input/new.png")
    picture(base / "input/sub/hidden.png")
    (base / "input/notes.txt").write_text("x")
    info = send(fake.url, "GET", "/object_info/LoadImage").json()["LoadImage"]
    assert info["input"]["required"]["image"][0] == ["example.png", "new.png"]
    (base / "models/checkpoints/sub/new.ckpt").write_text("x")
    (base / "models/checkpoints/readme.txt").write_text("x")
    names = send(fake.url, "GET", "/models/checkpoints").json()
    assert names == ["a.safetensors", "b.safetensors", "sub/c.safetensors", "sub/new.ckpt"]


def test_seeded_server_has_models_pictures_and_a_runnable_workflow(tmp_path: Path) -> None:
    with FakeComfyThread(tmp_path, seed=True) as server:
        assert send(server.url, "GET", "/models/checkpoints").json() == [
            "portraits/real.safetensors",
            "sd15.safetensors",
            "sdxl.safetensors",
        ]
        assert send(server.url, "GET", "/embeddings").json() == ["deep/hands", "easynegative"]
        assert send(server.url, "GET", "/userdata?dir=workflows").json() == ["Start.json"]
        assert send(server.url, "GET", "/view?filename=example.png&type=input").status == 200
        assert send(server.url, "GET", "/workflow_templates").json() == {"fake_pack": ["Demo"]}
        assert "/extensions/fake_pack/fake.js" in send(server.url, "GET", "/extensions").json()
        assert send(server.url, "GET", "/extensions/fake_pack/fake.js").status == 200
        template = "/workflow_templates/fake_pack/Demo.json"
        assert send(server.url, "GET", "/api" + template).status == 200
        assert send(server.url, "GET", template).status == 404
        assert send(server.url, "GET", "/i18n").json() == {"en": {"fakePack": {"hello": "Hello"}}}
        for prefix in ("", "/api"):
            assert send(server.url, "GET", prefix + "/fakepack/info").json()["pack"] == "fake_pack"
        preview = "/experiment/models/preview/checkpoints/0/sd15.safetensors"
        assert send(server.url, "GET", preview).headers["Content-Type"] == "image/webp"


def test_built_in_page_is_served_with_comfyui_headers(module_fake: FakeComfyThread) -> None:
    for path in ("/", "/api/"):
        page = send(module_fake.url, "GET", path)
        assert page.status == 200
        assert (page.headers["Cache-Control"], page.headers["Expires"]) == ("no-cache", "0")
        assert page.headers["Pragma"] == "no-cache"
    script = send(module_fake.url, "GET", "/assets/app.js")
    assert script.headers["Content-Type"] == "application/javascript"
    assert script.headers["Cache-Control"] == "no-cache"
    assert 19_000 < len(script.body) < 22_000
    etag = {"If-None-Match": script.headers["Etag"]}
    assert send(module_fake.url, "GET", "/assets/app.js", headers=etag).status == 304
    assert "Cache-Control" not in send(module_fake.url, "GET", "/index.html").headers
    assert send(module_fake.url, "GET", "/favicon.ico").status == 200
    templates = send(module_fake.url, "GET", "/templates/index.json")
    assert templates.headers["Cache-Control"] == "no-cache"
    docs = send(module_fake.url, "GET", "/docs/KSampler/en.md")
    assert docs.headers["Content-Type"] == "application/octet-stream"


def test_installed_page_is_served_on_auto(base: Path) -> None:
    pytest.importorskip("comfyui_frontend_package")
    with FakeComfyThread(base, frontend="auto") as server:
        page = send(server.url, "GET", "/")
        assert "<title>ComfyUI</title>" in page.text
        script = re.search(r'src="\.?/?(assets/[^"]+\.js)"', page.text)
        assert script is not None
        assert send(server.url, "GET", f"/{script.group(1)}").status == 200
        assert len(send(server.url, "GET", "/extensions").json()) > 5


def test_logs_hold_everyones_errors_and_paths(fake: FakeComfyThread, base: Path) -> None:
    run(fake.url, fail("private failure"))
    send(fake.url, "POST", "/prompt", "not json")
    text = send(fake.url, "GET", "/internal/logs").json()
    assert f"Setting output directory to: {base}/output" in text
    assert "!!! Exception during processing !!! private failure" in text
    assert "JSONDecodeError" in text
    raw = send(fake.url, "GET", "/internal/logs/raw").json()
    assert set(raw) == {"entries", "size"}
    assert set(raw["entries"][0]) == {"t", "m"}


def test_internal_files_are_newest_first_and_top_level_only(
    fake: FakeComfyThread, base: Path
) -> None:
    run(fake.url, save(1, "one"))
    run(fake.url, save(2, "two"))
    run(fake.url, save(3, "sub/three"))
    names = send(fake.url, "GET", "/internal/files/output").json()
    assert names == ["two_00001_.png", "one_00001_.png"]
    paths = send(fake.url, "GET", "/internal/folder_paths").json()
    assert len(paths) == 20
    assert paths["loras"] == [f"{base}/models/loras", f"{base}/output/loras"]


def test_system_stats_show_versions_and_server_paths(fake: FakeComfyThread, base: Path) -> None:
    stats = send(fake.url, "GET", "/system_stats").json()
    assert stats["system"]["comfyui_version"] == "0.3.64"
    assert str(base) in stats["system"]["argv"]
    assert str(fake.port) in stats["system"]["argv"]
    assert stats["devices"][0]["type"] == "cpu"


def test_multi_user_mode_trusts_the_header_alone(base: Path) -> None:
    with FakeComfyThread(base, multi_user=True) as server:
        url = server.url
        assert send(url, "GET", "/users").json() == {"storage": "server", "users": {}}
        assert send(url, "GET", "/settings").status == 401
        assert send(url, "GET", "/userdata?dir=workflows").status == 500
        assert send(url, "GET", "/v2/userdata").status == 403
        alice = send(url, "POST", "/users", json_body={"username": "alice"}).json()
        bob = send(url, "POST", "/users", json_body={"username": "Bob M. / x"}).json()
        assert bob.startswith("Bob-M-x_")
        again = send(url, "POST", "/users", json_body={"username": "alice"})
        assert (again.status, again.json()) == (400, {"error": "Duplicate username."})
        for body in ({"username": " "}, {}):
            assert send(url, "POST", "/users", json_body=body).status == 500
        as_alice, as_bob = {"comfy-user": alice}, {"comfy-user": bob}
        send(url, "POST", "/settings", headers=as_alice, json_body={"x": "alice's"})
        assert send(url, "GET", "/settings/x", headers=as_alice).json() == "alice's"
        assert send(url, "GET", "/settings", headers=as_bob).json() == {}
        send(url, "POST", "/userdata/workflows%2Fa.json", "{}", as_alice)
        listed = send(url, "GET", "/userdata?dir=workflows", headers=as_alice)
        assert listed.json() == ["a.json"]
        escape = f"/userdata/..%2F{alice}%2Fworkflows%2Fa.json"
        assert send(url, "GET", escape, headers=as_bob).status == 403
        assert send(url, "GET", "/queue").status == 200


def test_temp_folder_is_emptied_at_start_and_stop(base: Path) -> None:
    picture(base / "temp/old.png")
    with FakeComfyThread(base) as server:
        assert send(server.url, "GET", "/internal/files/temp").json() == []
        graph = save()
        graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
        run(server.url, graph)
        assert len(list((base / "temp").iterdir())) == 1
    assert not (base / "temp").exists()
