"""Classifiers and scorers for the tests, none of which knows what is explicit."""

from collections.abc import Iterator

import pytest

from comfyproxy.nsfw.config import ClassifierConfig
from comfyproxy.nsfw.scorer import Scorer
from tests.comfyproxy.nsfw.redness import Redness, redness


@pytest.fixture
def service() -> Iterator[Redness]:
    with redness() as server:
        yield server


@pytest.fixture
def scorer(service: Redness) -> Iterator[Scorer]:
    """Scores by redness."""
    found = Scorer(ClassifierConfig("http", url=service.url))
    yield found
    found.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Scorer]:
    """A scorer that many tests use one after the other, whatever became of the file before."""
    with redness() as server:
        found = Scorer(ClassifierConfig("http", url=server.url), seconds=20)
        yield found
        found.close()
