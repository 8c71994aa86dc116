"""Node behaviours that load models and pretend to sample."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from PIL import Image

from . import embeddings, safetensors
from .registry import NodeOutput, node
from .values import ImageBatch, Latent, Model

if TYPE_CHECKING:
    from .executor import NodeContext


def _model(context: NodeContext, kind: str, folder: str, name: str) -> Model:
    path = context.folders.model_path_or_raise(folder, name)
    context.log(f"Requested to load {name}")
    return Model(kind, path)


@node("CheckpointLoaderSimple")
def load_checkpoint(context: NodeContext, ckpt_name: str) -> NodeOutput:
    parts = (_model(context, kind, "checkpoints", ckpt_name) for kind in ("MODEL", "CLIP", "VAE"))
    return NodeOutput(tuple(parts))


@node("ImageOnlyCheckpointLoader")
def load_video_checkpoint(context: NodeContext, ckpt_name: str) -> NodeOutput:
    kinds = ("MODEL", "CLIP_VISION", "VAE")
    return NodeOutput(tuple(_model(context, kind, "checkpoints", ckpt_name) for kind in kinds))


@node("StyleModelLoader")
def load_style(context: NodeContext, style_model_name: str) -> NodeOutput:
    return NodeOutput((_model(context, "STYLE_MODEL", "style_models", style_model_name),))


@node("GLIGENLoader")
def load_gligen(context: NodeContext, gligen_name: str) -> NodeOutput:
    return NodeOutput((_model(context, "GLIGEN", "gligen", gligen_name),))


@node("LoraLoader")
def load_lora(
    context: NodeContext,
    model: Model,
    clip: Model,
    lora_name: str,
    strength_model: float,
    strength_clip: float,
) -> NodeOutput:
    lora = _model(context, "LORA", "loras", lora_name)
    return NodeOutput(tuple(Model(m.kind, m.path, [*m.loras, lora.path]) for m in (model, clip)))


@node("LoraLoaderModelOnly")
def load_lora_model_only(
    context: NodeContext, model: Model, lora_name: str, strength_model: float
) -> NodeOutput:
    lora = _model(context, "LORA", "loras", lora_name)
    return NodeOutput((Model(model.kind, model.path, [*model.loras, lora.path]),))


@node("VAELoader")
def load_vae(context: NodeContext, vae_name: str) -> NodeOutput:
    if vae_name == "pixel_space":
        return NodeOutput((Model("VAE", ""),))
    return NodeOutput((_model(context, "VAE", "vae", vae_name),))


@node("UNETLoader")
def load_unet(context: NodeContext, unet_name: str, weight_dtype: str) -> NodeOutput:
    return NodeOutput((_model(context, "MODEL", "diffusion_models", unet_name),))


@node("CLIPLoader")
def load_clip(
    context: NodeContext, clip_name: str, type: str, device: str = "default"
) -> NodeOutput:
    return NodeOutput((_model(context, "CLIP", "text_encoders", clip_name),))


@node("DualCLIPLoader")
def load_dual_clip(
    context: NodeContext, clip_name1: str, clip_name2: str, type: str, device: str = "default"
) -> NodeOutput:
    _model(context, "CLIP", "text_encoders", clip_name2)
    return NodeOutput((_model(context, "CLIP", "text_encoders", clip_name1),))


@node("ControlNetLoader")
def load_controlnet(context: NodeContext, control_net_name: str) -> NodeOutput:
    return NodeOutput((_model(context, "CONTROL_NET", "controlnet", control_net_name),))


@node("CLIPVisionLoader")
def load_clip_vision(context: NodeContext, clip_name: str) -> NodeOutput:
    return NodeOutput((_model(context, "CLIP_VISION", "clip_vision", clip_name),))


@node("UpscaleModelLoader")
def load_upscale_model(context: NodeContext, model_name: str) -> NodeOutput:
    return NodeOutput((_model(context, "UPSCALE_MODEL", "upscale_models", model_name),))


@node("FakeNewStyleLoader")
def load_new_style(context: NodeContext, model_name: str, extra_name: str) -> NodeOutput:
    model = _model(context, "MODEL", "checkpoints", model_name)
    if extra_name != "[None]":
        model.loras.append(_model(context, "LORA", "loras", extra_name).path)
    return NodeOutput((model,))


@node("CLIPTextEncode")
def clip_text_encode(context: NodeContext, text: str, clip: Model) -> NodeOutput:
    looked_up, opened = embeddings.resolve(context.folders, text)
    for path in opened:
        context.log(f"loaded embedding {path}")
    if looked_up and not opened:
        context.log(f"warning, embedding:{looked_up[-1]} does not exist, ignoring")
    return NodeOutput(({"text": text, "clip": clip.path},))


@node("EmptyLatentImage")
def empty_latent(context: NodeContext, width: int, height: int, batch_size: int) -> NodeOutput:
    return NodeOutput((Latent(width, height, batch_size),))


def _picture(seed: int, width: int, height: int) -> Image.Image:
    """A picture that the seed decides: a few colours spread smoothly."""
    colours = random.Random(seed).randbytes(4 * 4 * 3)
    small = Image.frombytes("RGB", (4, 4), colours)
    return small.resize((width, height), Image.Resampling.BICUBIC)


@node("KSampler")
def ksampler(
    context: NodeContext,
    model: Model,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Any,
    negative: Any,
    latent_image: Latent,
    denoise: float = 1.0,
) -> NodeOutput:
    preview = _picture(seed, max(8, latent_image.width // 8), max(8, latent_image.height // 8))
    for step in range(1, steps + 1):
        context.progress(step, steps, ("JPEG", preview, 512))
    latent = Latent(latent_image.width, latent_image.height, latent_image.batch, seed)
    return NodeOutput((latent,))


@node("VAEDecode")
def vae_decode(context: NodeContext, samples: Latent, vae: Model) -> NodeOutput:
    if samples.seed is None:
        pictures = [Image.new("RGB", (samples.width, samples.height), (127, 127, 127))]
        return NodeOutput((ImageBatch(pictures * samples.batch),))
    pictures = [
        _picture(samples.seed + number, samples.width, samples.height)
        for number in range(samples.batch)
    ]
    return NodeOutput((ImageBatch(pictures),))


def _save_model(context: NodeContext, prefix: str, prompt: Any, extra_pnginfo: Any) -> NodeOutput:
    folder, name, counter, _ = context.folders.save_path(prefix, context.folders.output)
    safetensors.write(f"{folder}/{name}_{counter:05}_.safetensors", {"format": "pt"})
    # Nothing is reported: such files show up only in the model lists.
    return NodeOutput()


@node("CheckpointSave")
def checkpoint_save(
    context: NodeContext,
    model: Model,
    clip: Model,
    vae: Model,
    filename_prefix: str,
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> NodeOutput:
    return _save_model(context, filename_prefix, prompt, extra_pnginfo)


@node("VAESave")
def vae_save(
    context: NodeContext,
    vae: Model,
    filename_prefix: str,
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> NodeOutput:
    return _save_model(context, filename_prefix, prompt, extra_pnginfo)
