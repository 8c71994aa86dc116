"""Node behaviours that load, change and save pictures."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo

from .folders import Folders, is_content_type
from .registry import NodeOutput, node
from .values import ImageBatch, MaskBatch

if TYPE_CHECKING:
    from .executor import NodeContext

_RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def file_exists(kind: str, name: str) -> Any:
    """A class's own check that the file named by an input exists, wherever it lies."""

    def check(folders: Folders, inputs: dict[str, Any]) -> bool | str:
        value = inputs[name]
        if not os.path.exists(folders.annotated_path(value)):
            return f"Invalid {kind} file: {value}"
        return True

    return check


def file_hash(name: str) -> Any:
    """A class's fingerprint: the content of the file named by an input."""

    def fingerprint(folders: Folders, inputs: dict[str, Any]) -> str:
        with open(folders.annotated_path(inputs[name]), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    return fingerprint


@node("EmptyImage")
def empty_image(
    context: NodeContext, width: int, height: int, batch_size: int = 1, color: int = 0
) -> NodeOutput:
    rgb = ((color >> 16) & 0xFF, (color >> 8) & 0xFF, color & 0xFF)
    picture = Image.new("RGB", (width, height), rgb)
    return NodeOutput((ImageBatch([picture] * batch_size),))


@node("ImageInvert")
def image_invert(context: NodeContext, image: ImageBatch) -> NodeOutput:
    return NodeOutput((ImageBatch([ImageOps.invert(p) for p in image.images]),))


@node("ImageBatch")
def image_batch(context: NodeContext, image1: ImageBatch, image2: ImageBatch) -> NodeOutput:
    size = (image1.width, image1.height)
    second = [p if p.size == size else p.resize(size) for p in image2.images]
    return NodeOutput((ImageBatch(image1.images + second),))


@node("ImageScale")
def image_scale(
    context: NodeContext, image: ImageBatch, upscale_method: str, width: int, height: int, crop: str
) -> NodeOutput:
    if width == 0 and height == 0:
        return NodeOutput((image,))
    if width == 0:
        width = max(1, round(image.width * height / image.height))
    elif height == 0:
        height = max(1, round(image.height * width / image.width))
    method = _RESAMPLING[upscale_method]
    if crop == "center":
        pictures = [ImageOps.fit(p, (width, height), method) for p in image.images]
    else:
        pictures = [p.resize((width, height), method) for p in image.images]
    return NodeOutput((ImageBatch(pictures),))


@node("GetImageSize")
def get_image_size(context: NodeContext, image: ImageBatch, unique_id: str) -> NodeOutput:
    text = f"width: {image.width}, height: {image.height}\n batch size: {len(image.images)}"
    # Without a client id, so every connected client reads it: that is core's own behaviour.
    context.send_text(text, sid=None)
    return NodeOutput((image.width, image.height, len(image.images)))


def _load(context: NodeContext, image: str) -> NodeOutput:
    pictures: list[Image.Image] = []
    masks: list[Image.Image] = []
    with Image.open(context.folders.annotated_path(image)) as opened:
        for frame in ImageSequence.Iterator(opened):
            turned = ImageOps.exif_transpose(frame)
            rgb = turned.convert("RGB")
            if pictures and rgb.size != pictures[0].size:
                continue
            if "A" in turned.getbands():
                mask = ImageOps.invert(turned.getchannel("A"))
            else:
                mask = Image.new("L", (64, 64), 0)
            pictures.append(rgb)
            masks.append(mask)
    return NodeOutput((ImageBatch(pictures), MaskBatch(masks)))


for _name in ("LoadImage", "LoadImageOutput"):
    node(
        _name,
        validates=("image",),
        validate=file_exists("image", "image"),
        is_changed=file_hash("image"),
    )(_load)


@node(
    "LoadImageMask",
    validates=("image",),
    validate=file_exists("image", "image"),
    is_changed=file_hash("image"),
)
def load_image_mask(context: NodeContext, image: str, channel: str) -> NodeOutput:
    with Image.open(context.folders.annotated_path(image)) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.getbands() != ("R", "G", "B", "A"):
            picture = picture.convert("RGBA")
        band = picture.getchannel(channel[0].upper())
    if channel == "alpha":
        band = ImageOps.invert(band)
    return NodeOutput((MaskBatch([band]),))


@node("LoadImageSetFromFolderNode")
def load_image_set(context: NodeContext, folder: str, resize_method: str = "None") -> NodeOutput:
    directory = os.path.join(context.folders.input, folder)
    names = [n for n in context.folders.top_level_files(directory) if is_content_type(n, {"image"})]
    pictures = []
    for name in names:
        with Image.open(os.path.join(directory, name)) as opened:
            pictures.append(opened.convert("RGB"))
    if not pictures:
        raise ValueError(f"No valid images found in {directory}")
    size = pictures[0].size
    return NodeOutput((ImageBatch([p if p.size == size else p.resize(size) for p in pictures]),))


def _write_pngs(
    context: NodeContext,
    images: ImageBatch,
    prefix: str,
    kind: str,
    prompt: Any,
    extra_pnginfo: Any,
) -> NodeOutput:
    root = context.folders.temp if kind == "temp" else context.folders.output
    folder, name, counter, subfolder = context.folders.save_path(
        prefix, root, images.width, images.height
    )
    results = []
    for number, picture in enumerate(images.images):
        metadata = PngInfo()
        if prompt is not None:
            metadata.add_text("prompt", json.dumps(prompt))
        if extra_pnginfo is not None:
            for key in extra_pnginfo:
                metadata.add_text(key, json.dumps(extra_pnginfo[key]))
        file = f"{name.replace('%batch_num%', str(number))}_{counter:05}_.png"
        level = 1 if kind == "temp" else 4
        picture.save(os.path.join(folder, file), pnginfo=metadata, compress_level=level)
        results.append({"filename": file, "subfolder": subfolder, "type": kind})
        counter += 1
    return NodeOutput(ui={"images": results})


@node("SaveImage")
def save_image(
    context: NodeContext,
    images: ImageBatch,
    filename_prefix: str = "ComfyUI",
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> NodeOutput:
    return _write_pngs(context, images, filename_prefix, "output", prompt, extra_pnginfo)


@node("PreviewImage")
def preview_image(
    context: NodeContext, images: ImageBatch, prompt: Any = None, extra_pnginfo: Any = None
) -> NodeOutput:
    # The random part belongs to the node object, which lives as long as its node id and class
    # stay in the prompts, whoever sends those.
    if "append" not in context.state:
        letters = "".join(random.choice("abcdefghijklmnopqrstupvxyz") for _ in range(5))
        context.state["append"] = f"_temp_{letters}"
    prefix = "ComfyUI" + context.state["append"]
    return _write_pngs(context, images, prefix, "temp", prompt, extra_pnginfo)


@node("SaveImageWebsocket", is_changed=lambda folders, inputs: time.time())
def save_image_websocket(context: NodeContext, images: ImageBatch) -> NodeOutput:
    total = len(images.images)
    for step, picture in enumerate(images.images):
        context.progress(step, total, ("PNG", picture, None))
    return NodeOutput()
