"""Userdata requests as the frontend makes them, for the wire tests."""

from typing import Any
from urllib.parse import quote

import requests

from tests.client import Client


def address(path: str) -> str:
    """A file's address: its whole name in one segment."""
    return f"/api/userdata/{quote(path, safe='')}"


def save(client: Client, path: str, data: bytes = b"{}", **params: Any) -> requests.Response:
    return client.post(address(path), data=data, params=params)


def saved(client: Client, path: str, data: bytes = b"{}") -> None:
    answer = save(client, path, data)
    assert answer.status_code == 200, answer.text


def read(client: Client, path: str) -> requests.Response:
    return client.get(address(path))


# The simulated ComfyUI's own workflow, which everybody sees.
COMFYUIS = "Start.json"


def names(client: Client, folder: str = "workflows", **params: Any) -> list[Any]:
    """What the client is shown there, ComfyUI's own workflow aside."""
    return [name for name in shown(client, folder, **params) if COMFYUIS not in str(name)]


def shown(client: Client, folder: str = "workflows", **params: Any) -> list[Any]:
    """What the client is shown there."""
    answer = client.get("/api/userdata", params={"dir": folder, "recurse": "true", **params})
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()
    return found


def move(client: Client, source: str, target: str, **params: Any) -> requests.Response:
    return client.post(f"{address(source)}/move/{quote(target, safe='')}", params=params)


def share(admin: Client, username: str, workflow: str) -> None:
    """Have an administrator share somebody's workflow with all."""
    answer = admin.post(
        "/mss-login/api/user-env",
        json={"action": "promote_workflow", "user": username, "workflow": workflow},
    )
    assert answer.status_code == 200, answer.text
