"""identity_cache: how long it remembers, what it forgets, and that it never learns old news."""

import pytest

from accounts import identity_cache
from accounts.errors import TokenInvalid, TokenRevoked
from accounts.identity import Auth, Identity
from accounts.identity_cache import FAILURE_TTL_SECONDS, TTL_SECONDS, IdentityCache


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def someone(user_id: int) -> Identity:
    return Identity(
        user_id=user_id,
        username=f"user{user_id}",
        namespace="u-0123456789",
        role="user",
        rank=40,
        capabilities=frozenset(),
        auth=Auth.SESSION,
    )


def test_nobody_was_stored_and_the_database_must_be_asked() -> None:
    assert IdentityCache().get(b"digest") is None


def test_an_identity_lives_five_seconds_and_no_longer() -> None:
    clock = Clock()
    cache = IdentityCache(clock)
    cache.put(b"a", someone(1), generation=cache.generation)
    clock.now += TTL_SECONDS - 0.001
    assert cache.get(b"a") == someone(1)
    clock.now += 0.001
    assert cache.get(b"a") is None
    assert TTL_SECONDS < 5


def test_use_does_not_prolong_the_five_seconds() -> None:
    clock = Clock()
    cache = IdentityCache(clock)
    cache.put(b"a", someone(1), generation=cache.generation)
    for _ in range(10):
        clock.now += TTL_SECONDS / 10
        cache.get(b"a")
    assert cache.get(b"a") is None


def test_a_failure_is_remembered_for_one_second() -> None:
    clock = Clock()
    cache = IdentityCache(clock)
    refusal = TokenInvalid()
    cache.put(b"a", refusal, generation=cache.generation)
    clock.now += FAILURE_TTL_SECONDS - 0.001
    assert cache.get(b"a") is refusal
    clock.now += 0.001
    assert cache.get(b"a") is None
    assert FAILURE_TTL_SECONDS == 1


def test_dropping_a_user_forgets_all_their_tokens_and_nobody_elses() -> None:
    cache = IdentityCache(Clock())
    for digest, user_id in ((b"a1", 1), (b"a2", 1), (b"b1", 2)):
        cache.put(digest, someone(user_id), generation=cache.generation)
    cache.drop_user(1)
    assert [cache.get(digest) for digest in (b"a1", b"a2", b"b1")] == [None, None, someone(2)]


def test_dropping_a_user_forgets_refusals_too() -> None:
    # Enabled again, their token must work at once; whose refusal it was is not known.
    cache = IdentityCache(Clock())
    cache.put(b"a", TokenRevoked(), generation=cache.generation)
    cache.drop_user(1)
    assert cache.get(b"a") is None


def test_dropping_everyone_leaves_nobody() -> None:
    cache = IdentityCache(Clock())
    for digest, user_id in ((b"a", 1), (b"b", 2)):
        cache.put(digest, someone(user_id), generation=cache.generation)
    cache.drop_all()
    assert [cache.get(b"a"), cache.get(b"b")] == [None, None]


def test_what_was_read_before_a_drop_is_not_stored_after_it() -> None:
    """A request asks the database, the user is disabled meanwhile, then the answer comes."""
    for drop in (lambda cache: cache.drop_user(1), lambda cache: cache.drop_all()):
        cache = IdentityCache(Clock())
        generation = cache.generation
        drop(cache)
        cache.put(b"a", someone(1), generation=generation)
        assert cache.get(b"a") is None
        cache.put(b"a", someone(1), generation=cache.generation)
        assert cache.get(b"a") == someone(1)


def test_a_later_answer_replaces_an_earlier_one() -> None:
    cache = IdentityCache(Clock())
    cache.put(b"a", someone(1), generation=cache.generation)
    cache.put(b"a", someone(2), generation=cache.generation)
    assert cache.get(b"a") == someone(2)


def test_guesses_without_end_take_bounded_memory_and_push_out_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity_cache, "MAX_ENTRIES", 3)
    cache = IdentityCache(Clock())
    for number in range(3):
        cache.put(b"%d" % number, someone(number), generation=cache.generation)
    cache.put(b"0", someone(0), generation=cache.generation)  # young again
    cache.put(b"new", TokenInvalid(), generation=cache.generation)
    kept = [digest for digest in (b"0", b"1", b"2", b"new") if cache.get(digest) is not None]
    assert kept == [b"0", b"2", b"new"]
