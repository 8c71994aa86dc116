"""Places for what holds a thread: few of each user, few in all, and all given back."""

from contextlib import ExitStack

import pytest

from accounts.errors import Throttled
from downloads.turns import Turns


def test_user_gets_so_many_places_and_all_together_so_many() -> None:
    turns = Turns(of_user=2, of_all=3)
    with ExitStack() as stack:
        for user_id in (1, 1, 2):
            stack.enter_context(turns.turn(user_id))
        for user_id in (1, 3):
            with pytest.raises(Throttled) as caught, turns.turn(user_id):
                pass
            assert int(caught.value.headers["Retry-After"]) > 0
    with turns.turn(3), turns.turn(1):
        pass


def test_place_is_given_back_whatever_happens_in_it() -> None:
    turns = Turns(of_user=1, of_all=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), turns.turn(1):
            raise ZeroDivisionError
