"""Node behaviours for latents, audio, video and 3D: files passed through, not decoded."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from . import safetensors
from .nodes_image import file_exists, file_hash
from .registry import NodeOutput, node
from .values import Latent

if TYPE_CHECKING:
    from .executor import NodeContext

_AUDIO_STARTS = (b"fLaC", b"RIFF", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3")


def _read(context: NodeContext, name: str) -> bytes:
    with open(context.folders.annotated_path(name), "rb") as file:
        return file.read()


def _save(context: NodeContext, prefix: str, extension: str, data: bytes) -> dict[str, str]:
    folder, name, counter, subfolder = context.folders.save_path(prefix, context.folders.output)
    file = f"{name}_{counter:05}_{extension}"
    with open(os.path.join(folder, file), "wb") as out:
        out.write(data)
    return {"filename": file, "subfolder": subfolder, "type": "output"}


@node(
    "LoadLatent",
    validates=("latent",),
    validate=file_exists("latent", "latent"),
    is_changed=file_hash("latent"),
)
def load_latent(context: NodeContext, latent: str) -> NodeOutput:
    path = context.folders.annotated_path(latent)
    header = safetensors.read_header(path, 1024 * 1024)
    if header is None:
        raise ValueError("Error while deserializing header: header too large")
    size = json.loads(header.get("__metadata__", {}).get("size", "[512, 512, 1, null]"))
    return NodeOutput((Latent(*size),))


@node("SaveLatent")
def save_latent(
    context: NodeContext,
    samples: Latent,
    filename_prefix: str = "ComfyUI",
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> NodeOutput:
    folder, name, counter, subfolder = context.folders.save_path(
        filename_prefix, context.folders.output
    )
    size = [samples.width, samples.height, samples.batch, samples.seed]
    metadata = {"prompt": json.dumps(prompt), "size": json.dumps(size)}
    for key in extra_pnginfo or ():
        metadata[key] = json.dumps(extra_pnginfo[key])
    file = f"{name}_{counter:05}_.latent"
    safetensors.write(os.path.join(folder, file), metadata)
    entry = {"filename": file, "subfolder": subfolder, "type": "output"}
    return NodeOutput(ui={"latents": [entry]})


@node(
    "LoadAudio",
    validates=("audio",),
    validate=file_exists("audio", "audio"),
    is_changed=file_hash("audio"),
)
def load_audio(context: NodeContext, audio: str) -> NodeOutput:
    data = _read(context, audio)
    if not data.startswith(_AUDIO_STARTS):
        raise ValueError("No audio stream found in the file.")
    return NodeOutput((data,))


@node("SaveAudio")
def save_audio(
    context: NodeContext,
    audio: bytes,
    filename_prefix: str = "ComfyUI",
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> NodeOutput:
    return NodeOutput(ui={"audio": [_save(context, filename_prefix, ".flac", audio)]})


@node(
    "LoadVideo",
    validates=("file",),
    validate=file_exists("video", "file"),
    is_changed=file_hash("file"),
)
def load_video(context: NodeContext, file: str) -> NodeOutput:
    return NodeOutput((_read(context, file),))


@node("SaveVideo")
def save_video(
    context: NodeContext,
    video: bytes,
    filename_prefix: str,
    format: str,
    codec: str,
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> NodeOutput:
    entry = _save(context, filename_prefix, ".mp4", video)
    return NodeOutput(ui={"images": [entry], "animated": [True]})


@node("Load3D")
def load_3d(
    context: NodeContext, model_file: str, image: Any, width: int, height: int
) -> NodeOutput:
    raise NotImplementedError("the simulation does not render 3D models")
