"""What is left for later: bounded while the database hangs, and going on afterwards."""

import threading

from django.db import OperationalError

from accounts.dbthread import MAX_LEFT_FOR_LATER, later


def test_hanging_database_piles_up_no_more_than_is_bounded_and_recovers() -> None:
    released, began, done = threading.Event(), threading.Event(), []

    def hang() -> None:
        began.set()
        released.wait(10)
        raise OperationalError("database is locked")

    later(hang)
    assert began.wait(10)
    for number in range(MAX_LEFT_FOR_LATER + 50):
        later(done.append, number)
    released.set()
    finished = threading.Event()
    while not finished.is_set():
        later(finished.set)
        finished.wait(0.05)
    # The one that hung had a place too; what found none was dropped, the rest came in order.
    assert done == list(range(MAX_LEFT_FOR_LATER - 1))
