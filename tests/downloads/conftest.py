"""Fixtures for the tests of downloads: the two servers, and what asks them."""

from collections.abc import Iterator

import pytest

from downloads.web import Web
from tests.downloads.servers import Server, site, storage
from tests.downloads.transferring import run, stored

__all__ = ["run", "site", "storage", "stored", "web"]


@pytest.fixture
def web(site: Server) -> Iterator[Web]:
    """Asks `site`, and follows it to other servers of this machine."""
    made = Web(
        [site.url], user_agent="tests", allow_loopback_http=True, connect_timeout=2, read_timeout=2
    )
    yield made
    made.close()
