"""The queue and the history as each owner may see them."""

from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.cachekey import INPUT
from comfyproxy.filters.history import visible_entry
from comfyproxy.filters.queue import (
    Ownership,
    ids_in,
    may_see_prompt,
    prompt_ids,
    visible_queue,
)
from tests.comfyproxy.graphs import node

ALICE, BOB = 1, 2
OWNERS = {
    "a1": Ownership(ALICE, "alice-tab", 0),
    "a2": Ownership(ALICE, None, 1),
    "b1": Ownership(BOB, "bob-tab", 7),
}
TOKEN = "comfy-org-secret"


def item(prompt_id: Any, number: Any = 3, extra: Any = None) -> list[Any]:
    secret = {
        "client_id": "mapped-upstream-id",
        "auth_token_comfy_org": TOKEN,
        "api_key_comfy_org": TOKEN,
        "anything": TOKEN,
        "extra_pnginfo": {"workflow": {"id": "w"}},
    }
    graph = {"1": node("SaveImage", images=["2", 0], **{INPUT: "u-alice00000"})}
    return [number, prompt_id, graph, secret if extra is None else extra, ["1"]]


def shown(prompt_id: str, number: Any, client_id: str | None) -> list[Any]:
    extra: dict[str, Any] = {"extra_pnginfo": {"workflow": {"id": "w"}}}
    if client_id is not None:
        extra["client_id"] = client_id
    return [number, prompt_id, {"1": node("SaveImage", images=["2", 0])}, extra, ["1"]]


QUEUE = {
    "queue_running": [item("b1", 1)],
    # A heap, not an order.
    "queue_pending": [item("a2", 5), item("x", 9), item("a1", 4), item("b2", 2)],
}


def test_alice_sees_her_own_prompts_in_order_with_her_own_numbers_and_ids() -> None:
    assert visible_queue(QUEUE, OWNERS, ALICE) == {
        "queue_running": [],
        "queue_pending": [shown("a1", 0, "alice-tab"), shown("a2", 1, None)],
    }


def test_bob_sees_his_running_prompt_and_charlie_nothing() -> None:
    assert visible_queue(QUEUE, OWNERS, BOB) == {
        "queue_running": [shown("b1", 7, "bob-tab")],
        "queue_pending": [],
    }
    assert visible_queue(QUEUE, OWNERS, 3) == {"queue_running": [], "queue_pending": []}


def test_who_sees_all_sees_unknown_prompts_too_but_no_secrets() -> None:
    seen = visible_queue(QUEUE, OWNERS, None)
    assert seen == {
        "queue_running": [shown("b1", 7, "bob-tab")],
        "queue_pending": [
            shown("b2", 2, None),
            shown("a1", 0, "alice-tab"),
            shown("a2", 1, None),
            shown("x", 9, None),
        ],
    }
    assert TOKEN not in str(seen) and "mapped-upstream-id" not in str(seen)


def test_what_newer_comfyui_keeps_behind_an_item_is_cut_off() -> None:
    queue = {"queue_running": [[*item("a1"), {"auth_token_comfy_org": TOKEN}]]}
    assert visible_queue(queue, OWNERS, ALICE)["queue_running"] == [shown("a1", 0, "alice-tab")]
    assert visible_queue({"queue_running": [item("a1")[:4]]}, OWNERS, ALICE) == {
        "queue_running": [shown("a1", 0, "alice-tab")[:4]],
        "queue_pending": [],
    }


MALFORMED: list[Any] = [None, 1, "a1", {}, [], ["a1"], [1, "a1"], [1, 7, {}, {}, []], {"1": "a1"}]


def test_an_item_of_another_shape_is_dropped_not_passed_on() -> None:
    queue = {"queue_running": MALFORMED, "queue_pending": [*MALFORMED, item("a1")]}
    assert visible_queue(queue, OWNERS, None) == {
        "queue_running": [],
        "queue_pending": [shown("a1", 0, "alice-tab")],
    }
    assert prompt_ids(queue) == ["a1"]


@pytest.mark.parametrize(
    "queue", [None, [], "x", {}, {"queue_running": None}, {"queue_pending": {"a": 1}}], ids=str
)
def test_a_queue_of_another_shape_is_empty(queue: Any) -> None:
    assert visible_queue(queue, OWNERS, None) == {"queue_running": [], "queue_pending": []}
    assert (prompt_ids(queue), ids_in(queue, "queue_pending")) == ([], [])


def test_numbers_that_are_none_do_not_stop_the_order() -> None:
    numbers = [None, "x", nan, True, [], -1.5, 3]
    queue = {"queue_pending": [item(str(index), number) for index, number in enumerate(numbers)]}
    assert sorted(ids_in(queue, "queue_pending")) == [str(index) for index in range(7)]


@pytest.mark.parametrize("extra", ["secret", 5, [], ["secret"], {}, {"secret": 1}])
def test_extra_data_of_any_shape_shows_only_what_is_named(extra: Any) -> None:
    queue = {"queue_running": [item("a1", extra=extra)]}
    (seen,) = visible_queue(queue, OWNERS, ALICE)["queue_running"]
    assert seen[3] == {"client_id": "alice-tab"}


def test_a_prompt_without_a_record_is_nobodys() -> None:
    assert may_see_prompt("a1", OWNERS, ALICE)
    assert not may_see_prompt("a1", OWNERS, BOB)
    assert not may_see_prompt("x", OWNERS, ALICE)
    assert may_see_prompt("x", OWNERS, None)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a1", "b1", "x"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["queue_running", "queue_pending", "inputs", "1"]), inner)
    ),
    max_leaves=20,
)


@given(JSON | st.fixed_dictionaries({"queue_running": JSON, "queue_pending": JSON}))
def test_any_json_for_a_queue_shows_alice_only_her_own(queue: Any) -> None:
    seen = visible_queue(queue, OWNERS, ALICE)
    assert seen.keys() == {"queue_running", "queue_pending"}
    for part in seen.values():
        assert all(entry[1] in ("a1", "a2") and set(entry[3]) <= SHOWN_EXTRA for entry in part)


SHOWN_EXTRA = {"client_id", "extra_pnginfo"}

ERROR = {
    "prompt_id": "a1",
    "node_id": "1",
    "exception_message": "No such file: '/srv/my comfy/ComfyUI/input/x.png'",
    "traceback": ['  File "/srv/my comfy/ComfyUI/nodes.py", line 3, in load\n'],
    "current_inputs": {"image": ["x"], INPUT: ["u-alice00000"]},
}


def entry(**changed: Any) -> dict[str, Any]:
    status = {
        "status_str": "error",
        "completed": False,
        "messages": [
            ["execution_start", {"prompt_id": "a1", "timestamp": 1}],
            ["execution_error", ERROR],
        ],
    }
    outputs = {"1": {"images": [{"filename": "x.png", "subfolder": "u-alice00000"}]}}
    whole = {"prompt": item("a1"), "outputs": outputs, "status": status, "meta": {"1": {}}}
    return {**whole, **changed}


def test_alice_sees_her_entry_without_secrets_server_paths_or_the_gateways_own_input() -> None:
    seen = visible_entry(entry(), OWNERS["a1"])
    error = {
        **ERROR,
        "exception_message": "No such file: '…/input/x.png'",
        "traceback": ['  File "…/ComfyUI/nodes.py", line 3, in load\n'],
        "current_inputs": {"image": ["x"]},
    }
    assert seen == entry(
        prompt=shown("a1", 0, "alice-tab"),
        status={
            "status_str": "error",
            "completed": False,
            "messages": [
                ["execution_start", {"prompt_id": "a1", "timestamp": 1}],
                ["execution_error", error],
            ],
        },
    )


@pytest.mark.parametrize(
    "raw", [None, [], "x", {}, {"prompt": None}, {"prompt": [1, "a1"]}, {"prompt": {"1": 2}}]
)
def test_an_entry_of_another_shape_is_dropped(raw: Any) -> None:
    assert visible_entry(raw, OWNERS["a1"]) is None


@pytest.mark.parametrize(
    "status",
    [None, [], "x", {}, {"messages": None}, {"messages": [None, [], ["execution_error"], 7]},
     {"messages": [["execution_error", None], ["execution_error", []]]}],
    ids=str,
)  # fmt: skip
def test_a_status_of_another_shape_does_not_stop_the_entry(status: Any) -> None:
    seen = visible_entry(entry(status=status), None)
    assert seen is not None and seen["status"] == status
