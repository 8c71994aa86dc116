"""Pictures that users upload and save, and the refusal of prompts that name another's."""

import io
from typing import Any

from PIL import Image

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import Graph, received

ADVICE = "Choose a file of your own, or a name inside your own folder."


def png(color: tuple[int, int, int]) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(data, "PNG")
    return data.getvalue()


def upload(client: Client, name: str, color: tuple[int, int, int], **fields: str) -> str:
    """Upload a picture; its name as LoadImage takes it."""
    answer = client.post(
        "/upload/image",
        files={"image": (name, png(color))},
        data={"overwrite": "true", **fields},
    ).json()
    return f"{answer['subfolder']}/{answer['name']}"


def color_of(client: Client, entry: dict[str, Any]) -> tuple[int, ...]:
    """The colour of the one picture that node 2 saved, as its owner sees it."""
    (image,) = entry["outputs"]["2"]["images"]
    answer = client.get("/view", params=image)
    assert answer.status_code == 200, answer.text
    return tuple(Image.open(io.BytesIO(answer.content)).getpixel((0, 0)))


def check_refused(
    client: Client, comfy: FakeComfyThread, graph: Graph, *places: tuple[str, str]
) -> None:
    """403 FILE_NOT_ALLOWED with exactly these (node, input) marked; ComfyUI was not asked."""
    before = len(received(comfy))
    answer = client.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 403, (graph, answer.text)
    node_errors: dict[str, Any] = {}
    for node_id, name in places:
        node = node_errors.setdefault(
            node_id,
            {"class_type": graph[node_id]["class_type"], "errors": [], "dependent_outputs": []},
        )
        node["errors"].append(
            {
                "type": "file_not_allowed",
                "message": ADVICE,
                "details": name,
                "extra_info": {"input_name": name},
            }
        )
    assert answer.json() == {
        "error": f"The prompt names a file that is not yours. {ADVICE}",
        "code": "FILE_NOT_ALLOWED",
        "node_errors": node_errors,
    }
    assert len(received(comfy)) == before
