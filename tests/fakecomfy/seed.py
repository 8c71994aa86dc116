"""Plants demo models, a picture, a workflow and a custom node pack in an empty base folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from . import safetensors
from .folders import Folders

_MODELS: dict[str, dict[str, str] | None] = {
    "checkpoints/sd15.safetensors": {
        "modelspec.title": "Demo SD 1.5",
        "modelspec.architecture": "stable-diffusion-v1",
    },
    "checkpoints/sdxl.safetensors": {"modelspec.title": "Demo SDXL"},
    "checkpoints/portraits/real.safetensors": {"note": "in a subfolder"},
    "loras/detail.safetensors": {"ss_tag_frequency": '{"demo": {"detail": 3}}'},
    "loras/people/alice lora.safetensors": None,
    "loras/style.safetensors": None,
    "vae/ft-mse.safetensors": None,
    "embeddings/easynegative.safetensors": None,
    "embeddings/deep/hands.safetensors": None,
    "diffusion_models/flux-demo.safetensors": None,
    "text_encoders/clip_l.safetensors": None,
    "text_encoders/t5xxl.safetensors": None,
    "clip_vision/clip_vision_h.safetensors": None,
    "upscale_models/4x-demo.safetensors": None,
    "controlnet/canny.safetensors": None,
}


def plant(folders: Folders) -> None:
    """Adds what is missing; files that are there stay as they are."""
    base = Path(folders.base)
    for name, metadata in _MODELS.items():
        path = base / "models" / name
        if not path.exists():
            safetensors.write(path, metadata)
    _picture(base / "models/checkpoints/sd15.png", (200, 120, 40))
    _picture(base / "input/example.png", (40, 120, 200))
    _write(base / "user/default/workflows/Start.json", _workflow())
    pack = base / "custom_nodes/fake_pack"
    _write(pack / "__init__.py", "# A custom node pack would be here.\n")
    _write(pack / "web/fake.js", "// front-end part of fake_pack\n")
    _write(pack / "example_workflows/Demo.json", _workflow())
    _write(pack / "locales/en/main.json", {"fakePack": {"hello": "Hello"}})


def _write(path: Path, content: str | dict[str, Any]) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    path.write_text(text, encoding="utf-8")


def _picture(path: Path, colour: tuple[int, int, int]) -> None:
    if path.exists():
        return
    picture = Image.new("RGB", (128, 96), colour)
    picture.paste((255, 255, 255), (16, 16, 112, 80))
    picture.paste(colour, (32, 32, 96, 64))
    picture.save(path)


def _workflow() -> dict[str, Any]:
    """A page workflow that runs as it is: an empty picture, saved."""
    nodes = [
        {
            "id": 1,
            "type": "EmptyImage",
            "pos": [40, 40],
            "size": [270, 130],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
            "properties": {"Node name for S&R": "EmptyImage"},
            "widgets_values": [256, 256, 1, 3368703],
        },
        {
            "id": 2,
            "type": "SaveImage",
            "pos": [380, 40],
            "size": [270, 270],
            "flags": {},
            "order": 1,
            "mode": 0,
            "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
            "outputs": [],
            "properties": {},
            "widgets_values": ["start"],
        },
    ]
    return {
        "id": "5f0e2b3a-7a3e-4c1b-9a51-000000000001",
        "revision": 0,
        "last_node_id": 2,
        "last_link_id": 1,
        "nodes": nodes,
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }
