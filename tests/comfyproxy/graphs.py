"""Small prompts and what their nodes declare, for the tests of `comfyproxy.prompts`."""

from typing import Any

from comfyproxy.filters.models import KnownModels
from comfyproxy.prompts.shape import Graph
from comfyproxy.prompts.specs import node_spec
from comfyproxy.prompts.uses import Place

KNOWN = KnownModels(
    {
        "checkpoints": ("base.safetensors", "sdxl/Big Model.safetensors"),
        "loras": ("style.safetensors", "people/bob.safetensors"),
        "embeddings": ("easy.pt", "deep/emb2.safetensors", "hand(v4).pt", "b[1].pt", "x,y.bin"),
        "vae": ("vae.pt",),
        "custom_nodes": ("my_pack/node.py",),
        "configs": ("v1.yaml",),
    }
)
CHECKPOINTS = list(KNOWN.folders["checkpoints"])

_INFO: dict[str, dict[str, Any]] = {
    "LoadImage": {"required": {"image": [["top.png"], {"image_upload": True}]}},
    "LoadImageOutput": {
        "required": {
            "image": [
                "COMBO",
                {
                    "image_upload": True,
                    "image_folder": "output",
                    "remote": {"route": "/internal/files/output"},
                },
            ]
        }
    },
    "LoadLatent": {"required": {"latent": [[]]}},
    "LoadFolder": {"required": {"folder": [["plain", "u-alice00000"]]}},
    "Load3D": {
        "required": {"model_file": [[], {"file_upload": True}], "image": ["LOAD_3D", {}]},
    },
    "WebcamCapture": {"required": {"image": ["WEBCAM", {}]}},
    "CheckpointLoaderSimple": {"required": {"ckpt_name": [CHECKPOINTS]}},
    "LoraLoader": {"required": {"lora_name": ["COMBO", {"options": ["style.safetensors"]}]}},
    "KSampler": {
        "required": {
            "cfg": ["FLOAT", {"default": 8.0}],
            "steps": ["INT", {}],
            "sampler_name": [["euler", "ddim"]],
        }
    },
    "CLIPTextEncode": {"required": {"text": ["STRING", {"multiline": True}]}},
    "PrimitiveString": {"required": {"value": ["STRING", {}]}},
    "StringConcatenate": {"required": {"string_a": ["STRING", {}], "string_b": ["STRING", {}]}},
    "SaveImage": {
        "required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}
    },
    "SaveLoRANode": {"required": {"prefix": ["STRING", {"default": "loras/x"}]}},
    "SaveOptional": {"optional": {"filename_prefix": ["STRING", {"default": "video/clip"}]}},
    "SaveAbsolute": {"optional": {"filename_prefix": ["STRING", {"default": "/tmp/out"}]}},
    "PreviewImage": {"required": {"images": ["IMAGE"]}},
}
_OUTPUTS = ("SaveImage", "SaveLoRANode", "SaveOptional", "SaveAbsolute", "PreviewImage")

SPECS = {
    name: node_spec(
        {"input": groups, "output_node": name in _OUTPUTS}, KNOWN, frozenset({"top.png"})
    )
    for name, groups in _INFO.items()
}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def one(class_type: str, **inputs: Any) -> Graph:
    """A prompt of one node, `1`."""
    return {"1": node(class_type, **inputs)}


def at(name: str) -> Place:
    """An input of node `1`."""
    return Place("1", name)


def chain(length: int) -> Graph:
    """Nodes `0` … `length - 1`, each linked to the one before."""
    graph = {"0": node("EmptyImage")}
    for index in range(1, length):
        graph[str(index)] = node("ImageInvert", image=[str(index - 1), 0])
    return graph
