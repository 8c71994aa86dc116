"""Many wrong passwords at once: the server's memory stays bounded, and the right one gets in."""

import threading
import time

import psutil

from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.gateway import Gateway

CROWD = 16
# Argon2 takes some 70 MB for each check under way.
MOST_GROWTH_BYTES = 450 * 1024 * 1024


def test_crowd_with_wrong_passwords_fills_no_memory_and_shuts_nobody_out(product: Gateway) -> None:
    server = psutil.Process(product.pid)
    before = peak = server.memory_info().rss
    answers: list[int] = []

    def guess(number: int) -> None:
        body = {"username": f"nobody{number}", "password": "wrong"}
        answers.append(Client(product.url).post("/login", json=body).status_code)

    guessers = [threading.Thread(target=guess, args=(number,)) for number in range(CROWD)]
    for guesser in guessers:
        guesser.start()
    while any(guesser.is_alive() for guesser in guessers):
        peak = max(peak, server.memory_info().rss)
        time.sleep(0.005)
    # On a slow machine one or the other is told to come again: it would have waited too long.
    assert len(answers) == CROWD and 401 in answers and set(answers) <= {401, 429}
    assert peak - before < MOST_GROWTH_BYTES
    credentials = {"username": ALICE.username, "password": PASSWORD}
    assert Client(product.url).post("/login", json=credentials).status_code == 200
