"""Text nodes, and the fake custom nodes that misbehave in ways a gateway has to bear."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

from PIL import Image

from .registry import NodeOutput, node
from .values import ImageBatch

if TYPE_CHECKING:
    from .executor import NodeContext

_EXTENSIONS = {"images": ".png", "gifs": ".mp4", "audio": ".flac", "3d": ".glb"}


def _text(context: NodeContext, value: str) -> NodeOutput:
    return NodeOutput((value,))


node("PrimitiveString")(_text)
node("PrimitiveStringMultiline")(_text)


@node("StringConcatenate")
def concatenate(context: NodeContext, string_a: str, string_b: str, delimiter: str) -> NodeOutput:
    return NodeOutput((delimiter.join((string_a, string_b)),))


@node("PreviewAny")
def preview_any(context: NodeContext, source: Any = None) -> NodeOutput:
    if isinstance(source, str):
        text = source
    elif source is None:
        text = "None"
    else:
        try:
            text = json.dumps(source)
        except TypeError:
            text = str(source)
    return NodeOutput(ui={"text": [text]})


@node("FakeText")
def fake_text(context: NodeContext, text: str, node_id: str) -> NodeOutput:
    return NodeOutput((text,), {"text": [text]})


@node("FakeSlow")
def fake_slow(
    context: NodeContext, image: ImageBatch, seconds: float, steps: int, preview: bool, salt: str
) -> NodeOutput:
    for step in range(1, steps + 1):
        context.sleep(seconds / steps)
        context.progress(step, steps, ("JPEG", image.images[0], 512) if preview else None)
    return NodeOutput((image,))


@node("FakeFail")
def fake_fail(context: NodeContext, image: ImageBatch, message: str) -> NodeOutput:
    raise RuntimeError(message)


@node("FakeFiles")
def fake_files(context: NodeContext, filename_prefix: str, kinds: str) -> NodeOutput:
    """Files of several kinds under the keys asked for, as custom nodes invent their own."""
    folder, name, counter, subfolder = context.folders.save_path(
        filename_prefix, context.folders.output
    )
    ui: dict[str, list[Any]] = {}
    for kind in filter(None, kinds.split(",")):
        file = f"{name}_{counter:05}_{_EXTENSIONS.get(kind, '.bin')}"
        path = os.path.join(folder, file)
        if kind == "images":
            Image.new("RGB", (16, 16), (0, 128, 255)).save(path)
        else:
            with open(path, "wb") as out:
                out.write(f"fake {kind}".encode())
        entry = {"filename": file, "subfolder": subfolder, "type": "output"}
        ui.setdefault(kind, []).append(entry)
        counter += 1
    return NodeOutput(ui=ui)


@node("FakeReport")
def fake_report(context: NodeContext, filename: str, subfolder: str, type: str) -> NodeOutput:
    """Reports whatever file its inputs name, as nodes do that show a chosen picture again."""
    return NodeOutput(ui={"images": [{"filename": filename, "subfolder": subfolder, "type": type}]})


@node("FakeReportMany")
def fake_report_many(context: NodeContext, count: int, type: str) -> NodeOutput:
    """Reports that many files, none of which is there."""
    files = [
        {"filename": f"{context.node_id}_{number}.png", "subfolder": "", "type": type}
        for number in range(count)
    ]
    return NodeOutput(ui={"images": files})


@node("FakeFixedFile")
def fake_fixed_file(context: NodeContext, image: ImageBatch, label: str, type: str) -> NodeOutput:
    """Writes the same name every time, at the top of the folder."""
    file = f"{label}_fixed.png"
    root = context.folders.temp if type == "temp" else context.folders.output
    os.makedirs(root, exist_ok=True)
    image.images[0].save(os.path.join(root, file))
    return NodeOutput(ui={"images": [{"filename": file, "subfolder": "", "type": type}]})


@node("FakePassPreview")
def fake_pass_preview(context: NodeContext, image: ImageBatch) -> NodeOutput:
    """Shows a picture in passing, though it is no output node: ComfyUI's cache shares it."""
    os.makedirs(context.folders.temp, exist_ok=True)
    file = f"pass_{random.randrange(10**9):09}.png"
    image.images[0].save(os.path.join(context.folders.temp, file))
    entry = {"filename": file, "subfolder": "", "type": "temp"}
    return NodeOutput((image,), {"images": [entry]})


@node("FakeCustomAny")
def fake_custom_any(context: NodeContext, value: Any) -> NodeOutput:
    return NodeOutput((value,))


@node("FakeCustomEvent")
def fake_custom_event(
    context: NodeContext, text: str, event: str, to_everyone: bool, node_id: str
) -> NodeOutput:
    sid = None if to_everyone else context.client_id
    context.send(event, {"node": node_id, "text": text}, sid)
    return NodeOutput((text,))


@node("FakeTextProgress")
def fake_text_progress(
    context: NodeContext, text: str, to_everyone: bool, node_id: str
) -> NodeOutput:
    context.send_text(text, None if to_everyone else context.client_id)
    return NodeOutput((text,))


@node("FakeLog")
def fake_log(context: NodeContext, text: str) -> NodeOutput:
    context.log(text)
    return NodeOutput((text,))
