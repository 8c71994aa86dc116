"""What the time of an answer gives away: an unknown name takes as long as a wrong password."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from tests.accounts.acting import Newcomer
from tests.client import Client
from tests.gateway import Gateway

ROUNDS = 9


def test_attacker_measures_no_difference_between_unknown_and_known_names(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    known = newcomer(password=True).username
    disabled = newcomer(password=True).username
    gateway.run(
        "from accounts.models import User\n"
        "result = User.objects.filter(username=name).update(is_active=False)",
        name=disabled,
    )
    names: dict[str, Callable[[int], str]] = {
        "known": lambda number: known,
        "unknown": lambda number: f"nobody-{number}",
        "disabled": lambda number: disabled,
    }
    client, times = Client(gateway.url), {kind: [] for kind in names}  # type: ignore[var-annotated]
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
