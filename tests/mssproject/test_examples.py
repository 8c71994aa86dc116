"""The example clients of docs/examples do what they say, against a real gateway."""

import json
import os
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright._impl._driver import compute_driver_executable

from tests.accounts.acting import mint
from tests.accounts.factors import enrol
from tests.cast import ALICE, CREATE, PASSWORD, Person
from tests.deploy.tools import tool
from tests.gateway import ROOT, Gateway

EXAMPLES = ROOT / "docs" / "examples"
KINDS = ("picture.py", "picture.mjs", "picture.sh")
# This one cannot log in: it takes a token only.
LOGGING_IN = KINDS[:2]


def command(kind: str) -> list[str]:
    if kind == "picture.py":
        return [sys.executable]
    if kind == "picture.mjs":
        # Playwright brings a Node.
        return [compute_driver_executable()[0]]
    for name in ("curl", "jq"):
        tool(name, f"apt-get install {name}")
    return ["/bin/sh"]


class Runner:
    """Runs a copy of the examples in a folder of its own, where what they save lies."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self.folder, self._gateway = folder, gateway
        self._examples = folder / "examples"
        shutil.copytree(EXAMPLES, self._examples)

    def with_prompt(self, prompt: dict[str, Any]) -> None:
        (self._examples / "prompt.json").write_text(json.dumps(prompt))

    def __call__(
        self, kind: str, *arguments: str, typed: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command(kind), str(self._examples / kind), self._gateway.url, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **environ},
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def pictures(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))


@pytest.fixture
def run(tmp_path: Path, gateway: Gateway) -> Runner:
    return Runner(tmp_path, gateway)


def is_the_picture(path: Path) -> bool:
    image = Image.open(BytesIO(path.read_bytes()))
    return (image.size, image.getpixel((0, 0))) == ((256, 256), (0x33, 0x66, 0xCC))


@pytest.mark.parametrize("kind", KINDS)
def test_example_with_a_token_saves_the_picture(kind: str, run: Runner, gateway: Gateway) -> None:
    done = run(kind, GATEWAY_TOKEN=mint(gateway, ALICE))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("You are alice (user).\n")
    (saved,) = run.pictures()
    assert is_the_picture(saved)


@pytest.mark.parametrize("kind", LOGGING_IN)
def test_example_with_a_password_and_a_code_saves_the_picture(
    kind: str, run: Runner, gateway: Gateway
) -> None:
    person = Person(kind.replace(".", "-"), "user")
    gateway.run(CREATE, cast=[(person.username, person.role)], password=PASSWORD)
    app = enrol(gateway, person)
    for code in (app.code(), app.backup_codes[0]):
        done = run(
            kind,
            person.username,
            typed=f"{code}\n",
            GATEWAY_PASSWORD=PASSWORD,
            GATEWAY_CODE=code,
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert run.pictures() and all(map(is_the_picture, run.pictures()))


@pytest.mark.parametrize("kind", LOGGING_IN)
def test_example_with_a_wrong_password_says_so(kind: str, run: Runner) -> None:
    done = run(kind, ALICE.username, GATEWAY_PASSWORD="wrong")
    assert (done.returncode, run.pictures()) == (1, [])
    assert done.stderr == "User name or password is wrong. (INVALID_CREDENTIALS)\n"


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (
            {
                "class_type": "CheckpointLoaderSimple",
                "inputs": {"ckpt_name": "sd15.safetensors"},
            },
            "(MODEL_NOT_ALLOWED)",
        ),
        # ComfyUI's own refusal, in its own shape.
        (
            {
                "class_type": "EmptyImage",
                "inputs": {"width": 0, "height": 1, "batch_size": 1, "color": 1},
            },
            "(prompt_outputs_failed_validation)",
        ),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_example_whose_prompt_is_refused_says_why(
    kind: str, node: dict[str, Any], code: str, run: Runner, gateway: Gateway
) -> None:
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    run.with_prompt({"1": node, "2": save})
    done = run(kind, GATEWAY_TOKEN=mint(gateway, ALICE))
    assert (done.returncode, run.pictures()) == (1, [])
    assert done.stderr.rstrip().endswith(code)
