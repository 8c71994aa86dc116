"""For load tests: thousands of models and the nodes of a well-used installation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .registry import Behaviour, NodeClass, NodeOutput

if TYPE_CHECKING:
    from .core import Core

# How models spread over folders, and how many nodes of custom packs list each of these.
_SHARES = {"loras": 12, "checkpoints": 4, "embeddings": 2, "controlnet": 1, "vae": 1}
_LISTING = {"loras": 4, "checkpoints": 4, "embeddings": 2, "controlnet": 3, "vae": 4}
# ComfyUI 0.3.64 took 43 ms for 390 nodes, of which hardly 3 were for their 327 kB of JSON.
_SECONDS_PER_NODE = 0.0001
_SUFFIX = "a model with a name of common length v{:04}.safetensors"


def fill(core: Core, models: int, size: int) -> None:
    """Adds empty model files, up to so many, and node classes until /object_info has that many
    bytes. Called again with more models it adds those only."""
    core.registry.seconds_per_node = _SECONDS_PER_NODE
    for folder, name in _names(models):
        path = Path(core.folders.base) / "models" / folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for folder, nodes in _LISTING.items():
        for number in range(nodes):
            source = {"$list": f"models:{folder}", "extra": ["None"] if number % 2 else []}
            listed = ["COMBO", {"options": source}] if number % 3 else [source, {"tooltip": "x"}]
            _add(core, f"Crowd_{folder}_{number}", {"name": listed, "model": ["MODEL", {}]})
    length = len(json.dumps(core.registry.all_info()))
    number = 0
    while length < size:
        name = f"Crowd_{number}"
        _add(core, name, _PLAIN)
        length += len(json.dumps(core.registry.info(name)))
        number += 1


def _names(models: int) -> list[tuple[str, str]]:
    """(folder, name) of each."""
    folders = [folder for folder, share in _SHARES.items() for _ in range(share)]
    return [
        (folders[number % len(folders)], f"group {number % 23}/{_SUFFIX.format(number)}")
        for number in range(models)
    ]


_PLAIN: dict[str, Any] = {
    "samples": ["LATENT", {"tooltip": "What the sampler made of the noise, before decoding."}],
    "strength": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.01}],
    "steps": ["INT", {"default": 20, "min": 1, "max": 10000, "tooltip": "How many steps."}],
    "method": [[f"method_{number}" for number in range(45)], {"default": "method_3"}],
    "mode": ["COMBO", {"options": ["simple", "karras", "exponential", "beta", "normal"]}],
    "text": ["STRING", {"multiline": True, "default": "a picture of a cat, best quality"}],
}


def _add(core: Core, name: str, inputs: dict[str, Any]) -> None:
    definition = {
        "input": {"required": inputs, "optional": {"mask": ["MASK", {}]}},
        "input_order": {"required": list(inputs), "optional": ["mask"]},
        "output": ["LATENT", "IMAGE"],
        "output_is_list": [False, False],
        "output_name": ["LATENT", "IMAGE"],
        "name": name,
        "display_name": name.replace("_", " "),
        "description": "Does to pictures what nodes of custom packs do. " * 4,
        "python_module": "custom_nodes.crowd",
        "category": "crowd/more",
        "output_node": False,
    }
    behaviour = Behaviour(lambda context, **inputs: NodeOutput())
    core.registry.classes[name] = NodeClass(name, definition, behaviour)
