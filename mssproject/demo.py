"""`./run demo`: a simulated ComfyUI and a user of each role, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mssproject.env import BASE_DIR

DEMO_DIR: Final = BASE_DIR / ".demo"
PASSWORD: Final = "try-the-demo"  # noqa: S105 - printed for whoever starts the demo, on loopback
ROLES: Final = ("owner", "admin", "power", "user", "guest")


@contextmanager
def simulated_comfyui() -> Iterator[dict[str, str]]:
    """Runs the simulated ComfyUI; the environment for a gateway in front of it.

    Settings from outside stay, except the address of ComfyUI; the demo never listens
    anywhere but on loopback. What it keeps lies below `.demo`, or MSS_DATA_DIR if set.
    """
    directory = BASE_DIR / os.environ.get("MSS_DATA_DIR", DEMO_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fakecomfy", "--port", "0", "--seed"]
    command += ["--base-dir", str(directory / "comfyui"), "--frontend", "auto"]
    process = subprocess.Popen(
        command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().rpartition(" ")[2].strip()
        if not address:
            sys.exit("The simulated ComfyUI did not start; the message above says why.")
        yield {
            "COMFYUI_MODELS_DIR": str(directory / "comfyui" / "models"),
            **os.environ,
            "COMFYUI_URL": address,
            "MSS_DATA_DIR": str(directory / "data"),
            "MSS_HOST": "127.0.0.1",
        }
    finally:
        process.terminate()
        process.wait(10)


def welcome(address: str) -> str:
    """What a newcomer can do next."""
    return (
        f"Log in as {', '.join(ROLES[:-1])} or {ROLES[-1]}; the password is {PASSWORD}\n"
        f"The admin is at {address}/admin/ (owner, admin). ComfyUI behind it is simulated: it\n"
        "runs EmptyImage, LoadImage, ImageScale, ImageInvert, SaveImage and a few more.\n"
        "With a token, from a terminal:\n"
        f"  curl -s {address}/mss-login/generate_token -H 'Content-Type: application/json' \\\n"
        f'    -d \'{{"username": "user", "password": "{PASSWORD}"}}\''
    )
