"""Patterns of models: what matches, by which of a holder's grants, and never for long."""

import time
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from accounts.grants import Grants, current_folder, plain_name
from accounts.holdings import Holding

FOLDERS = ("loras", "unet", "diffusion_models", "clip", "text_encoders")
names = st.text(alphabet="ab/\\.*", min_size=1, max_size=8)
items = st.frozensets(
    st.tuples(st.sampled_from((*FOLDERS, "*")), st.text(alphabet="ab/\\.*", max_size=8)),
    max_size=6,
)


def matches(pattern: str, name: str) -> bool:
    """The reference: letter by letter, a star for any text."""

    @cache
    def from_here(at: int, to: int) -> bool:
        if at == len(pattern):
            return to == len(name)
        if pattern[at] == "*":
            return from_here(at + 1, to) or (to < len(name) and from_here(at, to + 1))
        return to < len(name) and pattern[at] == name[to] and from_here(at + 1, to + 1)

    return from_here(0, 0)


def is_covered(wanted: tuple[str, str], folder: str, name: str) -> bool:
    place, pattern = wanted
    is_there = place == "*" or current_folder(place) == current_folder(folder)
    return is_there and matches(plain_name(pattern), plain_name(name))


@given(items, st.sampled_from(FOLDERS), names)
def test_grants_decide_as_the_reference(
    given_items: frozenset[tuple[str, str]], folder: str, name: str
) -> None:
    expected = any(is_covered(each, folder, name) for each in given_items)
    assert Grants(given_items)(folder, name) is expected


@given(items, st.sampled_from(FOLDERS), names)
def test_holding_names_a_grant_that_covers_the_model_exactly_if_there_is_one(
    given_items: frozenset[tuple[str, str]], folder: str, name: str
) -> None:
    holding = Holding("user", "alice", given_items)
    plain = {(current_folder(place), plain_name(pattern)) for place, pattern in given_items}
    for found in (holding.by(folder, name), holding.by_pattern(folder, name)):
        assert found is None or (found in plain and is_covered(found, folder, name))
    assert (holding.by(folder, name) is not None) is Grants(given_items)(folder, name)
    own = [(place, plain_name(name)) for place in (current_folder(folder), "*")]
    exact = [each for each in own if each in plain]
    assert not exact or holding.by(folder, name) == exact[0]
    patterns = {each for each in plain if "*" in each[1]}
    assert (holding.by_pattern(folder, name) is not None) is any(
        is_covered(each, folder, name) for each in patterns
    )


def test_no_pattern_takes_for_ever() -> None:
    grants = Grants(frozenset({("loras", "*a" * 200 + "b"), ("loras", "*" * 400 + "c")}))
    started = time.perf_counter()
    assert not grants("loras", "a" * 500)
    assert time.perf_counter() - started < 0.5
