"""How ComfyUI's parameters name a file, whether it has one, and which version of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote_plus

from comfyproxy import upstream
from comfyproxy.upstream import MAX_TARGET_BYTES

_FILE_ETAG: Final = re.compile(r'"([0-9a-f]{8,20})-[0-9a-f]{1,16}"')
_MAX_TAG_CHARS: Final = 100
_NOTHING: Final[Mapping[str, str]] = {}
# A gallery's pictures lie in one folder.
_quoted = lru_cache(maxsize=1024)(quote_plus)


def exact_name(filename: str, subfolder: str, kind: str) -> dict[str, str]:
    """A file as ComfyUI's parameters name it.

    The name goes annotated: a bare one that itself ends in ` [output]` would be read as a
    file of another folder.
    """
    return {"filename": f"{filename} [{kind}]", "subfolder": subfolder, "type": kind}


def query_of(
    filename: str, subfolder: str, kind: str, shown_as: Mapping[str, str] = _NOTHING
) -> bytes:
    """The same as a query; `shown_as`: further parameters."""
    parameters = exact_name(filename, subfolder, kind) | dict(shown_as)
    return "&".join([f"{name}={_quoted(value)}" for name, value in parameters.items()]).encode()


async def exists(filename: str, subfolder: str, kind: str) -> bool:
    """Whether ComfyUI has such a file (`HEAD /view`).

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    query = query_of(filename, subfolder, kind)
    if len(query) > MAX_TARGET_BYTES:
        return False
    status, _ = await upstream.request_json("HEAD", "/view", query=query)
    return status == 200


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What a file is at present: a name for its content, and not earlier than when (seconds
    since the epoch by ComfyUI's clock) it was written."""

    tag: str
    written: float


async def version_of(filename: str, subfolder: str, kind: str) -> FileVersion | None:
    """The present version of a file; None if there is no such file or ComfyUI does not tell.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    query = query_of(filename, subfolder, kind)
    if len(query) > MAX_TARGET_BYTES:
        return None
    answer = await upstream.stream("HEAD", "/view", query=query)
    answer.close()
    return version_in(answer.headers) if answer.status == 200 else None


def version_in(found: Iterable[tuple[bytes, bytes]]) -> FileVersion | None:
    """The version that the headers of an answer with a file tell; None: they do not.

    aiohttp's ETag is `<mtime in ns, hexadecimal>-<size>`, its Last-Modified is rounded up to
    a whole second (3.14, web_fileresponse.py and web_response.py).
    """
    headers = {name.lower(): value.decode("latin-1") for name, value in found}
    tag, modified = headers.get(b"etag", ""), headers.get(b"last-modified", "")
    exact = _FILE_ETAG.fullmatch(tag)
    if exact:
        return FileVersion(tag, int(exact[1], 16) / 1e9)
    try:
        second = parsedate_to_datetime(modified).timestamp()
    except ValueError:
        return None
    return FileVersion(f"{modified} {tag}"[:_MAX_TAG_CHARS], second - 1)
