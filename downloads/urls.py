"""URLs that downloads may be asked of: taken apart strictly, and their hosts named. Pure."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from accounts.sentences import english
from downloads.errors import BlockedAddress

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_NOT_IN_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")


def split_url(url: str) -> SplitResult:
    """Raises BlockedAddress for what is no plain http(s) URL with a host and without a login."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BlockedAddress(english("The site leads to an address that is not valid.")) from None
    odd = _NOT_IN_URL.search(url) or "@" in parts.netloc or port == 0
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or odd:
        raise BlockedAddress(english("The site leads to an address that is not valid."))
    return parts


def host_of(url: str) -> str:
    """`host` or `host:port` of a URL, as `credential_hosts` and `origin_hosts` name it.

    The port is left out for HTTPS's own only, so that a plain URL never equals a TLS one.

    Raises:
        BlockedAddress: no http(s) URL
    """
    parts = split_url(url)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    host = (parts.hostname or "").rstrip(".")
    return host if (parts.scheme, port) == ("https", 443) else f"{host}:{port}"
