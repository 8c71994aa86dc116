"""API.md section 7: what a phone does, from the password to the picture, over real HTTP and /ws."""

import json
from io import BytesIO

import websockets.sync.client
from PIL import Image

from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.gateway import Gateway


def graph(color: int, prefix: str = "phone") -> dict[str, object]:
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": color},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": prefix},
        },
    }


def test_phone_goes_from_password_to_picture(gateway: Gateway) -> None:
    credentials = {"username": ALICE.username, "password": PASSWORD, "label": "phone"}
    made = Client(gateway.url).post("/mss-login/generate_token", json=credentials)
    assert made.status_code == 200
    phone = Client(gateway.url, made.json()["token"])
    assert phone.get("/mss-login/api/me").json()["username"] == ALICE.username
    assert "SaveImage" in phone.get("/object_info").json()

    address = f"{gateway.ws_url}/ws?clientId=phone-1&token={phone.token}"
    with websockets.sync.client.connect(address) as socket:
        hello = json.loads(socket.recv(10))
        assert hello["data"]["sid"] == "phone-1"
        sent = phone.post("/prompt", json={"prompt": graph(0x3366CC), "client_id": "phone-1"})
        assert sent.status_code == 200
        prompt_id = sent.json()["prompt_id"]
        events = []
        while not events or events[-1] != ("executing", None):
            message = json.loads(socket.recv(10))
            if message["data"].get("prompt_id") == prompt_id:
                events.append((message["type"], message["data"].get("node")))
            if message["type"] == "executed":
                picture = message["data"]["output"]["images"][0]
        assert ("execution_success", None) in events

    entry = phone.get(f"/history/{prompt_id}").json()[prompt_id]
    assert entry["outputs"]["2"]["images"] == [picture]
    answer = phone.get("/view", params=picture)
    assert answer.status_code == 200
    image = Image.open(BytesIO(answer.content))
    assert (image.size, image.getpixel((0, 0))) == ((64, 48), (0x33, 0x66, 0xCC))


def test_phone_polls_instead_of_listening(alice: Client) -> None:
    prompt_id = alice.post("/prompt", json={"prompt": graph(7)}).json()["prompt_id"]
    entry: dict[str, object] = {}
    for _ in range(100):
        entry = alice.get(f"/history/{prompt_id}").json()
        if entry:
            break
    assert list(entry) == [prompt_id]
