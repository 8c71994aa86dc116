"""/view of what no folder tells of: temp previews and custom nodes' files, by who made them."""

import io
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, data_of, kind
from tests.ownfiles import check_refused, png, upload
from tests.prompts import Graph, direct, ended, file_of, load, picture, preview, run, slow, submit
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "calm", "disk", "settled")

File = dict[str, Any]
OWNERS = """
from comfyproxy.models import FileOwner
rows = FileOwner.objects.filter(file__filename=filename).order_by("user__username")
result = [[row.user.username, str(row.prompt_id)] for row in rows.select_related("user")]
"""


# What other modules let die in the middle: as long as somebody has such a prompt, a file that
# nobody knows has them wait for a look, at most one in a second.
FORGET = """
from comfyproxy.models import PromptRecord
PromptRecord.objects.filter(state__in=PromptRecord.UNFINISHED).update(state="lost", listed=False)
"""


@pytest.fixture(scope="module")
def settled(gateway: Gateway) -> None:
    """Nobody has a prompt of which it is not known how it ended."""
    gateway.run(FORGET)


def fixed(label: str, color: int, kind: str = "temp") -> Graph:
    """A node that writes `<label>_fixed.png` again each time."""
    inputs = {"image": ["1", 0], "label": label, "type": kind}
    return {"1": picture(color), "2": {"class_type": "FakeFixedFile", "inputs": inputs}}


def passing(color: int) -> Graph:
    """A preview by a node that is no output node: the cache shares it among users."""
    return {
        "1": picture(color),
        "2": {"class_type": "FakePassPreview", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "passed"},
        },
    }


def color_at(client: Client, file: File) -> int:
    answer = client.get("/view", params=file)
    assert answer.status_code == 200, answer.text
    red, green, blue = Image.open(io.BytesIO(answer.content)).convert("RGB").getpixel((0, 0))  # type: ignore[misc]
    return int(red) << 16 | int(green) << 8 | int(blue)


def check_unseen(client: Client, file: File) -> None:
    """404 in every spelling and form, on both lanes' ways to the file."""
    name, kind = file["filename"], file["type"]
    folder = file["subfolder"]
    spellings: list[dict[str, str]] = [
        file,
        {"filename": f"{name} [{kind}]"},
        {"filename": f"{name} [{kind}]", "type": "input"},
        {**file, "subfolder": f"./{folder}//"},
        {**file, "preview": "webp"},
        {**file, "channel": "rgb"},
        {**file, "filename": f"a/b/{name}"},
    ]
    for params in spellings:
        for path in ("/view", "/api/view"):
            check_refusal(client.get(path, params=params), 404, "NOT_FOUND")
            assert client.head(path, params=params).status_code == 404
    check_unusable(client, f"{name} [{kind}]")
    mask = client.post(
        "/upload/mask",
        files={"image": ("m.png", png((1, 2, 3)))},
        data={"original_ref": f'{{"filename": "{name}", "type": "{kind}", "subfolder": ""}}'},
    )
    check_refusal(mask, 404, "NOT_FOUND")


def check_unusable(client: Client, name: str) -> None:
    """A prompt that names the file means one in the caller's own folder, which is not there."""
    answer = client.post("/prompt", json={"prompt": load(name)})
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["node_errors"]["1"]["errors"]
    assert error["details"] == f"image - Invalid image file: {client.namespace}/{name}"


def test_alice_sees_her_preview_while_it_runs_and_nobody_else_ever(
    alice: Client, bob: Client, guest: Client, admin: Client
) -> None:
    graph = preview(0x112233) | {"4": picture(0x445566)}
    inputs = {"image": ["4", 0], "seconds": 30, "steps": 1, "preview": False, "salt": "s"}
    graph["5"] = {"class_type": "FakeSlow", "inputs": inputs}
    graph["6"] = {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}}
    with Listener(alice) as socket:
        prompt_id = submit(alice, graph, client_id=socket.sid)
        while kind(frame := socket.next()) != "executed":
            pass
        (file,) = data_of(frame)["output"]["images"]
        assert (file["type"], file["subfolder"]) == ("temp", "")
        # Its prompt still runs: no history tells whose it is.
        assert color_at(alice, file) == 0x112233
        assert color_at(admin, file) == 0x112233
        for other in (bob, guest):
            check_unseen_simple(other, file)
        alice.post("/interrupt")
    ended(alice, prompt_id)
    assert color_at(alice, file) == 0x112233
    check_unseen(bob, file)


def check_unseen_simple(client: Client, file: File) -> None:
    check_refusal(client.get("/view", params=file), 404, "NOT_FOUND")


def test_alice_without_a_socket_sees_her_preview_too(alice: Client, bob: Client) -> None:
    file = file_of(run(alice, preview(0x223344)))
    assert color_at(alice, file) == 0x223344
    check_unseen(bob, file)


def test_file_of_a_prompt_whose_end_was_missed_is_looked_for_once(
    alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    prompt_id = submit(alice, preview(0x334455))
    forwarded.wait_idle()
    entry = forwarded.server.running_core.queue.history_of(prompt_id)[prompt_id]
    file = file_of(entry)
    # Nobody asked for the history since: ComfyUI is asked now, and whose it is, is known.
    check_unseen_simple(bob, file)
    assert color_at(alice, file) == 0x334455
    # Nobody who has no prompt on its way is looked for; who has, once a second.
    missing = {"filename": "ComfyUI_temp_nosuch_00001_.png", "type": "temp"}
    forwarded.pause()
    submit(alice, preview())
    for client, is_waiting in ((bob, False), (alice, True)):
        check_unseen_simple(client, missing)
        started = time.monotonic()
        for _ in range(2):
            check_unseen_simple(client, missing)
        # The looks themselves take a part of the seconds between them.
        assert (time.monotonic() - started > 1.5) is is_waiting


def test_users_with_equal_graphs_get_previews_of_their_own(alice: Client, bob: Client) -> None:
    mine, theirs = (file_of(run(client, preview(0x445566))) for client in (alice, bob))
    assert mine != theirs
    check_unseen(bob, mine)
    check_unseen(alice, theirs)


def test_cached_file_of_anothers_run_is_its_makers_alone(
    alice: Client, bob: Client, gateway: Gateway
) -> None:
    entries = [run(client, passing(0x556677)) for client in (alice, bob)]
    mine, theirs = (file_of(entry) for entry in entries)
    # ComfyUI's cache hands Bob the name of the file that Alice's run made.
    assert mine == theirs
    assert color_at(alice, mine) == 0x556677
    check_unseen(bob, mine)
    assert gateway.run(OWNERS, filename=mine["filename"]) == [["alice", entries[0]["prompt"][1]]]
    # What his own prompt saved is his.
    assert color_at(bob, file_of(entries[1], "3")) == 0x556677


def test_cached_file_of_an_own_run_is_seen_again(alice: Client, gateway: Gateway) -> None:
    entries = [run(alice, passing(0x556678)) for _ in range(2)]
    first, second = (file_of(entry) for entry in entries)
    assert first == second
    assert color_at(alice, second) == 0x556678
    assert len(gateway.run(OWNERS, filename=first["filename"])) == 2


@pytest.mark.parametrize("kind", ["temp", "output"])
@pytest.mark.parametrize("settled", [True, False], ids=["noted", "not noted"])
def test_name_that_bob_writes_anew_is_alices_no_more(
    kind: str, settled: bool, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    label = f"again{uuid.uuid4().hex[:8]}"
    file = file_of(run(alice, fixed(label, 0x667788, kind)))
    assert color_at(alice, file) == 0x667788
    # That Bob's prompt names the file as well makes no difference.
    graph = fixed(label, 0x778899, kind)
    graph["9"] = {"class_type": "FakeText", "inputs": {"text": file["filename"]}}
    if settled:
        assert file_of(run(bob, graph)) == file
        assert color_at(bob, file) == 0x778899
    else:
        submit(bob, graph)
        comfy.wait_idle()
    check_unseen(alice, file)
    assert color_at(bob, file) == 0x778899
    # And Alice gets it back by writing it once more.
    assert file_of(run(alice, fixed(label, 0x667789, kind))) == file
    assert color_at(alice, file) == 0x667789
    check_unseen(bob, file)


def report(file: File) -> Graph:
    """A node that reports whatever file it is told to."""
    return {"1": {"class_type": "FakeReport", "inputs": dict(file)}}


def composed(file: File) -> Graph:
    """The same with a name that is put together while it runs."""
    name = file["filename"]
    parts = {"string_a": name[:5], "string_b": name[5:], "delimiter": ""}
    graph = report(file)
    graph["1"]["inputs"]["filename"] = ["2", 0]
    return {**graph, "2": {"class_type": "StringConcatenate", "inputs": parts}}


def test_alice_has_a_node_report_anothers_file_and_it_stays_hidden(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    temp = file_of(run(bob, preview()))
    unowned = file_of(comfy_entry(comfy, direct(comfy, fixed("nobodys", 0x123456, "output"))))
    for file in (temp, unowned):
        named = {**file, "subfolder": "./"}
        for graph in (report(file), report(named), composed(file), composed(file)):
            with Listener(alice) as socket:
                prompt_id = submit(alice, graph, client_id=socket.sid)
                socket.until_end(prompt_id)
            ended(alice, prompt_id)
            check_unseen(alice, file)
    assert color_at(bob, temp) > 0


@pytest.mark.parametrize("name", ["secret_noext", " lead.png", "trail.png ", ".hidden", "a.b."])
def test_alice_reports_an_odd_name_that_nobody_owns_and_it_stays_hidden(
    name: str, alice: Client, comfy: FakeComfyThread
) -> None:
    path = Path(comfy.base_dir) / "output" / name
    path.write_bytes(png((1, 2, 3)))
    # Not a moment before the run: the file system's clock is not that exact.
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 5))
    file = {"filename": name, "subfolder": "", "type": "output"}
    run(alice, report(file))
    check_refusal(alice.get("/view", params=file), 404, "NOT_FOUND")


def test_prompt_that_reports_very_many_files_costs_a_bounded_number_of_questions(
    gateway: Gateway, alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    inputs = {"count": 5000, "type": "temp"}
    graph: Graph = {"1": {"class_type": "FakeReportMany", "inputs": inputs}}
    with Listener(alice) as socket:
        prompt_id = submit(alice, graph, client_id=socket.sid)
        started = time.monotonic()
        socket.until_end(prompt_id)
        assert time.monotonic() - started < 5
    ended(alice, prompt_id)
    asked = [record for record in forwarded.requests if record.path.startswith("/view")]
    assert 0 < len(asked) <= 250 * len(gateway.processes)


def test_alice_cannot_even_name_bobs_folder_to_such_a_node(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    upload(bob, "private.png", (9, 9, 9))
    theirs = {"filename": "private.png", "subfolder": bob.namespace, "type": "input"}
    check_refused(alice, comfy, report(theirs), ("1", "subfolder"))


def comfy_entry(comfy: FakeComfyThread, prompt_id: str) -> dict[str, Any]:
    comfy.wait_idle()
    history = comfy.server.running_core.queue.history_of(prompt_id)
    return dict(history[prompt_id])


def test_preview_can_be_loaded_by_its_maker_and_by_nobody_else(alice: Client, bob: Client) -> None:
    file = file_of(run(alice, preview(0x99AABB)))
    name = f"{file['filename']} [temp]"
    again = run(alice, load(name))
    assert again["prompt"][2]["1"]["inputs"]["image"] == name
    assert color_at(alice, file_of(again)) == 0x99AABB
    check_unusable(bob, name)


def test_slow_prompts_files_are_recorded_with_it(alice: Client, gateway: Gateway) -> None:
    with Listener(alice) as socket:
        prompt_id = submit(alice, slow(0), client_id=socket.sid)
        socket.until_end(prompt_id)
    entry = ended(alice, prompt_id)
    file = file_of(entry)
    wait_until(lambda: gateway.run(OWNERS, filename=file["filename"]) != [], 5)
    assert ["alice", prompt_id] in gateway.run(OWNERS, filename=file["filename"])
