"""The oldest page of ComfyUI that matters."""

import pytest

from tests.wire.inside.cases import InsideComfyui


@pytest.fixture(scope="module")
def version() -> str:
    return "oldest"


class TestOldest(InsideComfyui):
    """See there."""
