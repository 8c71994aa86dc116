"""Recorded requests, sent again one after the other, get the recorded answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakecomfy import FakeComfyThread

from .conftest import picture, plant
from .graphs import wait_idle
from .replay import Answer, compare, load, send

FILES = ("http_prompt", "http_userdata", "http_models", "http_misc", "http_view")
SAMPLES = {name: load(f"{name}.json") for name in FILES}


def _plant_for_view(base: Path) -> None:
    """Files of the same names and sizes as those on the recorded instance."""
    for path, size in (
        (picture(base / "output/v.png", (16, 16), "RGBA"), 190),
        (picture(base / "output/users/alice/v.png", (16, 17), "RGBA"), 191),
    ):
        content = path.read_bytes()
        path.write_bytes(content + b"\0" * (size - len(content)))
    for name in ("temp/t.png", "input/i.png", "output/ünï.png", 'output/q"uote.png'):
        picture(base / name)
    for name in ("x.txt", "clip.mp4"):
        (base / "output" / name).write_text("t")


def _fill_in(value: Any, base: Path, url: str, view: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _fill_in(v, base, url, view) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill_in(v, base, url, view) for v in value]
    if not isinstance(value, str):
        return value
    for mark, text in (
        ("<ETAG>", view.get("Etag", "")),
        ("<LAST-MODIFIED>", view.get("Last-Modified", "")),
        ("<BASE>", str(base)),
        ("http://127.0.0.1:8190", url),
    ):
        value = value.replace(mark, text)
    return value


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    found: dict[str, list[tuple[dict[str, Any], Answer]]] = {}
    for name, samples in SAMPLES.items():
        base = tmp_path_factory.mktemp(name)
        found[name] = []
        with FakeComfyThread(base) as server:
            plant(base)
            if name == "http_view":
                _plant_for_view(base)
            if name == "http_models":
                picture(base / "output/rec/p1_00001_.png")
                for file in ("harness_nodes.py", "websocket_image_save.py"):
                    (base / "custom_nodes" / file).write_text("#")
            view = send(server.url, "GET", "/view?filename=v.png").headers
            for sample in samples:
                filled = _fill_in(sample, base, server.url, view)
                request = filled["request"]
                body = request.get("body")
                if "json" in request and request["json"] is None:
                    body = "null"
                path = sample["request"]["path"].replace("<BASE>", str(base))
                answer = send(
                    server.url,
                    request["method"],
                    path,
                    body,
                    request.get("headers"),
                    request.get("json"),
                )
                found[name].append((filled, answer))
                if request["method"] == "POST" and answer.status == 200:
                    wait_idle(server.url)
    yield found


@pytest.mark.parametrize(
    ("file", "index"),
    [
        pytest.param(name, i, id=f"{name}: {sample['name']}")
        for name, samples in SAMPLES.items()
        for i, sample in enumerate(samples)
    ],
)
def test_client_repeats_recorded_request_gets_recorded_answer(
    answers: dict[str, Any], file: str, index: int
) -> None:
    sample, answer = answers[file][index]
    assert compare(sample, answer) == []


def test_client_views_files_gets_recorded_content_types(fake: FakeComfyThread, base: Path) -> None:
    types = load("view_types.json")
    for name in types:
        (base / "output" / name).write_text("x")
    found = {}
    for name in types:
        answer = send(fake.url, "GET", f"/view?filename={name}")
        found[name] = answer.headers["Content-Type"]
        assert "X-Content-Type-Options" not in answer.headers
        assert answer.headers["Content-Disposition"] == f'filename="{name}"'
    assert found == types


def test_client_views_symlink_gets_file_outside(fake: FakeComfyThread, base: Path) -> None:
    outside = base / "outside.txt"
    outside.write_text("secret")
    (base / "output/link.txt").symlink_to(outside)
    assert send(fake.url, "GET", "/view?filename=link.txt").text == "secret"


def test_client_asks_absolute_form_target_gets_route(fake: FakeComfyThread) -> None:
    assert send(fake.url, "GET", "http://other/queue").status == 200


@pytest.mark.parametrize("path", ["/queue", "/nope", "/internal/logs", "/api/api", "/"])
def test_client_sends_options_anywhere_gets_empty_200(fake: FakeComfyThread, path: str) -> None:
    answer = send(fake.url, "OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")


def test_client_sends_too_large_body_gets_413(base: Path) -> None:
    with FakeComfyThread(base, max_upload_size=1000) as server:
        answer = send(server.url, "POST", "/prompt", "x" * 1001)
        features = send(server.url, "GET", "/features").json()
    assert (answer.status, answer.text) == (413, "Maximum request body size 1000 exceeded.")
    assert features["max_upload_size"] == 1000
