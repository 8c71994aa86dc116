"""A user is deleted with their files: nobody sees these, even where they cannot be deleted."""

import uuid

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.leavers import Leaver, clear, delete, former, records
from tests.ownfiles import color_of, png, upload
from tests.prompts import (
    file_of,
    ids,
    load,
    preview,
    run,
    save,
    slow,
    submit,
    wait_running,
)
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "calm")

HIDDEN = (
    "The account is deleted. Set COMFYUI_OUTPUT_DIR, COMFYUI_INPUT_DIR, COMFYUI_TEMP_DIR to have "
    "the files themselves deleted; until then they are hidden."
)
NOBODYS = """
import uuid
from accounts import errors
from comfyproxy import filerecords, ownership
from comfyproxy.files import FileRef
from comfyproxy.models import FileRecord
result = []
try:
    new = ownership.NewPrompt(None, None)
    ownership._record(10**9, "u-nobody0000", str(uuid.uuid4()), new, None)
except errors.TokenRevoked:
    result.append("revoked")
filerecords._add({FileRef("temp", "", "nobodys.png"): "v"}, 10**9, None)
result.append(FileRecord.objects.filter(filename="nobodys.png").count())
"""


@pytest.fixture
def lena(gateway: Gateway) -> Leaver:
    return Leaver(gateway)


def check_hidden(client: Client, file: dict[str, str]) -> None:
    """404 in every spelling, in prompts and under masks."""
    name, kind, folder = file["filename"], file["type"], file["subfolder"]
    path = f"{folder}/{name}" if folder else name
    for params in (
        file,
        {"filename": f"{name} [{kind}]", "subfolder": folder},
        {**file, "subfolder": f"./{folder}//"},
        {**file, "preview": "webp"},
    ):
        for address in ("/view", "/api/view"):
            check_refusal(client.get(address, params=params), 404, "NOT_FOUND")
            assert client.head(address, params=params).status_code == 404
    answer = client.post("/prompt", json={"prompt": load(f"{path} [{kind}]")})
    assert answer.status_code in (400, 403), answer.text
    mask = client.post(
        "/upload/mask",
        files={"image": ("m.png", png((1, 2, 3)))},
        data={
            "original_ref": f'{{"filename": "{name}", "type": "{kind}", "subfolder": "{folder}"}}'
        },
    )
    check_refusal(mask, 404, "NOT_FOUND")


def test_files_are_hidden_from_everybody_and_the_others_stay(
    gateway: Gateway,
    lena: Leaver,
    owner: Client,
    admin: Client,
    bob: Client,
    charlie: Client,
) -> None:
    files = [file_of(run(lena, save("same", 0x112233))), file_of(run(lena, preview(0x223344)))]
    theirs = [run(bob, save("same", 0x334455)), run(bob, preview(0x445566))]
    name = upload(lena, "same.png", (1, 2, 3))
    upload(bob, "same.png", (4, 5, 6))
    files.append({"filename": "same.png", "subfolder": lena.namespace, "type": "input"})
    for file in files:
        assert owner.get("/view", params=file).status_code == 200

    assert delete(admin, lena, "delete") == {"message": HIDDEN}
    for client in (owner, admin, bob, charlie):
        for file in files:
            check_hidden(client, file)
    assert [color_of(bob, entry) for entry in theirs] == [(0x33, 0x44, 0x55), (0x44, 0x55, 0x66)]
    assert color_of(owner, theirs[1]) == (0x44, 0x55, 0x66)
    assert color_of(bob, run(bob, load("same.png"))) == (4, 5, 6)
    refused = owner.post("/prompt", json={"prompt": load(name)})
    assert (refused.status_code, refused.json()["code"]) == (403, "FILE_NOT_ALLOWED")

    clear(gateway)
    # Without the folders it is never done, and always hidden.
    assert former(gateway, lena) == [lena.person.username, False, 0, False]
    for file in files:
        check_hidden(owner, file)


def test_prompts_are_stopped_and_gone_from_the_history(
    gateway: Gateway,
    lena: Leaver,
    owner: Client,
    admin: Client,
    bob: Client,
    comfy: FakeComfyThread,
) -> None:
    ended, theirs = run(lena, save())["prompt"][1], run(bob, save())["prompt"][1]
    running = submit(lena, slow())
    wait_running(comfy, running)
    waiting = submit(lena, save())
    bobs = submit(bob, slow())
    mine = (ended, running, waiting)
    delete(admin, lena, "delete")
    assert records(gateway, *mine) == {}
    assert former(gateway, lena) == [lena.person.username, False, 3, False]
    clear(gateway)
    assert former(gateway, lena)[2] == 0
    wait_until(lambda: ids(comfy) == ([bobs], []))
    upstream = Client(comfy.url)
    assert [upstream.get(f"/history/{pid}").json() for pid in mine] == [{}, {}, {}]
    assert not set(mine) & set(owner.get("/history").json())
    assert list(bob.get(f"/history/{theirs}").json()) == [theirs]
    assert records(gateway, bobs) == {bobs: ["bob", "accepted"]}


def test_nobody_takes_over_the_id_of_a_prompt_that_comfyui_still_holds(
    gateway: Gateway, lena: Leaver, admin: Client, bob: Client
) -> None:
    prompt_id = str(uuid.uuid4())
    run(lena, save(), prompt_id=prompt_id)
    delete(admin, lena, "delete")
    answer = bob.post("/prompt", json={"prompt": save(), "prompt_id": prompt_id})
    check_refusal(answer, 409, "PROMPT_ID_TAKEN", field="prompt_id")
    assert bob.get(f"/history/{prompt_id}").json() == {}
    clear(gateway)
    assert bob.get(f"/history/{prompt_id}").json() == {}


def test_what_comes_in_for_a_user_who_is_gone_is_nobodys(gateway: Gateway) -> None:
    assert gateway.run(NOBODYS) == ["revoked", 0]
