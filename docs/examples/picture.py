"""Logs in, runs prompt.json, follows it and saves its pictures. See docs/client-guide.md.

    pip install requests websockets
    python picture.py http://127.0.0.1:8000 USER

Asks for the password, and for a code where a second factor is due. A token that you made on your
account page does instead: GATEWAY_TOKEN=mss_… python picture.py http://127.0.0.1:8000
"""

import json
import os
import sys
import time
import uuid
from getpass import getpass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

LOGGED_OUT = 4401


class RefusedError(Exception):
    """What the gateway answered instead: a code for programs, a sentence for people."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        # A prompt that ComfyUI itself refuses comes with its own shape: `error` is an object.
        fault = body.get("error", f"status {status}")
        self.code = body.get("code") or fault["type"]
        self.sentence = fault if isinstance(fault, str) else fault["message"]
        super().__init__(f"{self.sentence} ({self.code})")


class Gateway:
    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.session = requests.Session()
        if token:
            self.use(token)

    def use(self, token: str) -> None:
        self.token = token
        self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request. Waits and asks again where the gateway says when to come back."""
        for _ in range(3):
            answer = self.session.request(method, self.url + path, timeout=60, **more)
            pause = answer.headers.get("Retry-After")
            if answer.status_code != 429 or pause is None or int(pause) > 30:
                break
            time.sleep(int(pause))
        if answer.status_code >= 400:
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            raise RefusedError(answer.status_code, answer.json() if is_json else {"code": "OTHER"})
        return answer

    def log_in(self, username: str, password: str) -> None:
        """An API token for the password. Keep it; throw the password away."""
        wanted = {"username": username, "password": password, "label": "picture.py"}
        made = self.ask("POST", "/mss-login/generate_token", json=wanted).json()
        if made.get("mfa_setup_required"):
            sys.exit(f"Set up your second factor first: {self.url}/account")
        if made.get("mfa_required"):
            code = input("Code of your app, or a backup code: ").strip()
            kind = "backup_code" if "-" in code else "code"
            proof = {"mfa_temp_token": made["mfa_temp_token"], kind: code}
            made = self.ask("POST", "/mss-login/generate_token", json=proof).json()
        self.use(made["token"])

    def run(self, prompt: dict[str, Any]) -> list[dict[str, str]]:
        """Run a prompt to its end; the files that it made."""
        client_id = str(uuid.uuid4())
        query = urlencode({"clientId": client_id, "token": self.token})
        # First the socket, so that nothing is missed, then the prompt.
        with connect(f"{self.url.replace('http', 'ws', 1)}/ws?{query}", max_size=None) as socket:
            body = {"prompt": prompt, "client_id": client_id}
            prompt_id = self.ask("POST", "/prompt", json=body).json()["prompt_id"]
            try:
                follow(socket, prompt_id)
            except ConnectionClosed as end:
                if end.rcvd is not None and end.rcvd.code == LOGGED_OUT:
                    sys.exit("The token ended meanwhile. Log in again.")
                print("The socket is lost; asking for the result instead.")
        return self.files_of(prompt_id)

    def files_of(self, prompt_id: str) -> list[dict[str, str]]:
        while True:
            entry = self.ask("GET", f"/history/{prompt_id}").json().get(prompt_id)
            if entry:
                break
            time.sleep(1)
        if entry["status"]["status_str"] != "success":
            sys.exit("The prompt failed; its history says why.")
        outputs = entry["outputs"].values()
        return [file for output in outputs for file in output.get("images", [])]

    def save(self, file: dict[str, str]) -> None:
        # filename, subfolder and type are sent back as they came.
        Path(file["filename"]).write_bytes(self.ask("GET", "/view", params=file).content)
        print(f"Saved {file['filename']}")


def follow(socket: Any, prompt_id: str) -> None:
    """Print what happens until the prompt has ended."""
    for message in socket:
        if isinstance(message, bytes):
            continue  # a preview picture
        event = json.loads(message)
        data = event["data"]
        if data.get("prompt_id") != prompt_id:
            continue
        if event["type"] == "progress":
            print(f"{data['value']} of {data['max']}")
        elif event["type"] == "executing" and data["node"] is not None:
            print(f"Node {data['node']}")
        elif event["type"] in ("execution_success", "execution_error", "execution_interrupted"):
            return


def main(url: str, username: str | None = None) -> None:
    gateway = Gateway(url, os.environ.get("GATEWAY_TOKEN"))
    if username is not None:
        gateway.log_in(username, os.environ.get("GATEWAY_PASSWORD") or getpass())
    me = gateway.ask("GET", "/mss-login/api/me").json()
    print(f"You are {me['username']} ({me['role']}).")
    if not me["permissions"]["can_run"]:
        sys.exit("Your role may only look.")
    prompt = json.loads((Path(__file__).parent / "prompt.json").read_text())
    for file in gateway.run(prompt):
        gateway.save(file)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RefusedError as refused:
        sys.exit(str(refused))
