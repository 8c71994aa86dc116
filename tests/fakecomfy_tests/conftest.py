"""Servers with the folders that the recorded answers were made with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image

from tests.fakecomfy import FakeComfy, FakeComfyThread, safetensors

# As on the instance that was recorded.
MODELS = {
    "checkpoints/a.safetensors": {
        "modelspec.title": "Dummy A",
        "modelspec.architecture": "dummy",
    },
    "checkpoints/b.safetensors": None,
    "checkpoints/sub/c.safetensors": {"note": "in a subfolder"},
    "loras/people/alice lora.safetensors": None,
    "loras/style1.safetensors": None,
    "vae/v1.safetensors": None,
    "embeddings/emb1.safetensors": None,
    "embeddings/deep/emb2.safetensors": None,
    "unet/dm1.safetensors": {"note": "legacy folder name: unet"},
    "text_encoders/te1.safetensors": None,
    "upscale_models/up1.safetensors": None,
    "controlnet/cn1.safetensors": None,
    "clip_vision/cv1.safetensors": None,
}


def picture(path: Path, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 77 if mode == "L" else (10, 20, 30, 40)[: len(mode)]).save(path)
    return path


def plant(base: Path) -> None:
    for name, metadata in MODELS.items():
        safetensors.write(base / "models" / name, metadata)
    picture(base / "models/checkpoints/a.png")
    picture(base / "input/example.png")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    plant(tmp_path)
    return tmp_path


@pytest.fixture
def fake(base: Path) -> Iterator[FakeComfyThread]:
    with FakeComfyThread(base) as server:
        yield server


@pytest.fixture(scope="module")
def module_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("comfy")
    plant(base)
    return base


@pytest.fixture(scope="module")
def module_fake(module_base: Path) -> Iterator[FakeComfyThread]:
    with FakeComfyThread(module_base) as server:
        yield server


@pytest_asyncio.fixture
async def comfy(base: Path) -> AsyncIterator[FakeComfy]:
    async with FakeComfy(base) as server:
        yield server


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client
