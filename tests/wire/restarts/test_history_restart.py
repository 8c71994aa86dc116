"""What ComfyUI forgets when it restarts, nobody is shown, and it is not asked for again."""

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import ended, run, save, submit

STATES = """
from comfyproxy.models import PromptRecord
rows = [PromptRecord.objects.get(prompt_id=prompt_id) for prompt_id in prompt_ids]
result = [[row.state, row.listed] for row in rows]
"""


def test_lost_entries_are_marked_and_not_asked_for_again(
    shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client, shaky_bob: Client
) -> None:
    alice, bob = shaky_alice, shaky_bob
    entries = [run(alice, save())["prompt"] for _ in range(3)]
    done = [prompt_id for _, prompt_id, *_ in entries]
    theirs = run(bob, save())["prompt"][1]
    shaky.pause()
    waiting = submit(alice, save())
    shaky.restart()
    assert alice.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    for prompt_id in (*done, waiting):
        assert alice.get(f"/history/{prompt_id}").json() == {}
    assert alice.get("/history?max_items=64").json() == {}
    assert shaky_gateway.run(STATES, prompt_ids=[*done, waiting]) == [
        *[["success", False]] * 3,
        ["lost", False],
    ]
    # Bob's end was seen, and before he asks nobody knows that ComfyUI forgot it.
    assert shaky_gateway.run(STATES, prompt_ids=[theirs]) == [["success", True]]
    shaky.clear_requests()
    assert alice.get("/history?max_items=64").json() == {}
    assert [r.path for r in shaky.requests if r.path.startswith("/history/")] == []
    # New ones come as ever, and the own counter goes on.
    fresh = submit(alice, save())
    entry = ended(alice, fresh)
    assert list(alice.get("/history?max_items=64").json()) == [fresh]
    assert entry["prompt"][0] == entries[0][0] + 4
    answer = bob.post("/prompt", json={"prompt": save(), "prompt_id": done[0]})
    assert (answer.status_code, answer.json()["code"]) == (409, "PROMPT_ID_TAKEN")


def test_ids_of_lost_prompts_are_no_way_in(
    shaky: FakeComfyThread, shaky_alice: Client, shaky_bob: Client
) -> None:
    lost = run(shaky_alice, save())["prompt"][1]
    shaky.restart()
    # Somebody beside the gateway uses that very id.
    submit(Client(shaky.url), save("direct"), prompt_id=lost)
    shaky.wait_idle()
    assert shaky_bob.get(f"/history/{lost}").json() == {}
