"""A gateway that downloads models, and the sites that it asks, for the wire tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cast import ADMIN, ALICE, BOB, OWNER, POWER
from tests.client import Client
from tests.downloads.servers import Asked, Reply, Server, json_reply, ranged, redirect, sha256
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.refusals import faults, wait_until

API = "/mss-login/api/model-download"
KEY = "civitai-key-of-paula-12345"
GIVE_CAPABILITY = """
from django.contrib.auth.models import Permission
from accounts.models import User
user = User.objects.get(username=username)
user.user_permissions.add(Permission.objects.get(codename="can_download_models"))
"""


class Sites:
    """CivitAI and Hugging Face, and the storage that both lead to. `slow`: seconds before each
    64 kB."""

    def __init__(self) -> None:
        self.civitai, self.huggingface, self.storage = Server(), Server(), Server()
        self.slow = 0.0
        self._contents: dict[str, bytes] = {}

    def __enter__(self) -> "Sites":
        for server in (self.civitai, self.huggingface, self.storage):
            server.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        for server in (self.civitai, self.huggingface, self.storage):
            server.__exit__(None, None, None)

    def _store(self, name: str, content: bytes) -> str:
        def serve(asked: Asked) -> Reply:
            # As CivitAI's storage: a foreign login is refused.
            if "Authorization" in asked.headers:
                return Reply(400, b"<Error/>")
            return ranged(asked, content, pause=self.slow)

        self.storage.routes[f"/{name}"] = serve
        return f"{self.storage.url}/{name}"

    def on_civitai(self, version: int, name: str, content: bytes, kind: str = "LORA") -> None:
        """A model version with one file; needs a key to be downloaded."""
        file = {
            "id": version * 10,
            "name": name,
            "type": "Model",
            "primary": True,
            "sizeKB": len(content) / 1024,
            "metadata": {"format": "SafeTensor"},
            "hashes": {"SHA256": sha256(content).upper()},
            "downloadUrl": f"{self.civitai.url}/api/download/models/{version}",
        }
        about = {
            "id": version,
            "modelId": version + 1,
            "name": "v1",
            "model": {"name": "A model", "type": kind},
            "files": [file],
        }
        self.civitai.routes[f"/api/v1/model-versions/{version}"] = json_reply(about)
        place = self._store(f"civitai-{version}", content)

        def download(asked: Asked) -> Reply:
            if asked.headers.get("Authorization") != f"Bearer {KEY}":
                return json_reply({"error": "Unauthorized"}, 401)
            return redirect(place, 307)

        self.civitai.routes[f"/api/download/models/{version}"] = download

    def on_huggingface(self, repo: str, name: str, content: bytes) -> None:
        place = self._store(f"hf-{name}", content)
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{sha256(content)}"'}
        self.huggingface.routes[f"/{repo}/resolve/main/{name}"] = Reply(
            302, headers={"Location": place, **linked}
        )


@contextmanager
def downloading(
    folder: Path, comfy: FakeComfyThread, sites: Sites, **env: str
) -> Iterator[Gateway]:
    """A gateway that may write into ComfyUI's models folder. Alice may download, too."""
    env = {
        "COMFYUI_MODELS_DIR": str(Path(comfy.base_dir) / "models"),
        "CIVITAI_URL": sites.civitai.url,
        "HF_ENDPOINT": sites.huggingface.url,
        **env,
    }
    cast = (OWNER, ADMIN, POWER, ALICE, BOB)
    with serving(folder, comfy.url, cast, **env) as server:
        server.run(GIVE_CAPABILITY, username=ALICE.username)
        yield server
        assert faults(server.log(), [KEY]) == []


def ask(client: Client, **wish: Any) -> str:
    answer = client.post(f"{API}/download", json=wish)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "queued"
    return str(answer.json()["job_id"])


def job_of(client: Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{API}/jobs/{job_id}").json()["job"]
    return found


def ended(client: Client, job_id: str, seconds: float = 30) -> dict[str, Any]:
    wait_until(lambda: not job_of(client, job_id)["can_cancel"], seconds)
    return job_of(client, job_id)
