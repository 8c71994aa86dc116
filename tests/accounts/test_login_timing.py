"""What the time of an answer gives away: an unknown name takes as long as a wrong password."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from tests.client import Client
from tests.gateway import Gateway

ROUNDS = 9


def test_attacker_measures_no_difference_between_unknown_and_known_names(product: Gateway) -> None:
    names: dict[str, Callable[[int], str]] = {
        "known": lambda number: "alice",
        "unknown": lambda number: f"nobody-{number}",
        "disabled": lambda number: "bob",
    }
    client, times = Client(product.url), {kind: [] for kind in names}  # type: ignore[var-annotated]
    # By turns, so that whatever else the machine does falls on all alike.
    for number in range(ROUNDS):
        for kind, name in names.items():
            body = {"username": name(number), "password": "wrong-Guess-7"}
            began = perf_counter()
            answer = client.post("/login", json=body)
            times[kind].append(perf_counter() - began)
            assert answer.status_code == 401
            assert answer.json()["code"] == "INVALID_CREDENTIALS"
    took = {kind: median(found) for kind, found in times.items()}
    # A name for which nothing was hashed would take a tenth of the time.
    assert max(took.values()) < 2 * min(took.values()), took
