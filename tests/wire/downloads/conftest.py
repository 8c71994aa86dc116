"""What the tests of downloads share: the sites, and a ComfyUI whose models folder may fill up."""

from collections.abc import Iterator

import pytest

from tests.downloads.shop import Sites
from tests.fakecomfy.thread import FakeComfyThread


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeComfyThread]:
    """Not the one of the other tests: they know which models it has."""
    with FakeComfyThread(tmp_path_factory.mktemp("comfy-downloads"), seed=True) as server:
        yield server


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with Sites() as found:
        yield found
