"""ComfyUI's userdata API (app/user_manager.py of 0.3.64), answered from the gateway's own disk."""

import mimetypes
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from django.conf import settings

from accounts import errors
from accounts.credentials import header
from comfyproxy import nsfwgate, userfiles
from comfyproxy.calls import Call, Reply, empty_reply, json_reply
from comfyproxy.headers import for_user_content
from comfyproxy.userdata.entries import Entry, listing, tree_listing
from comfyproxy.userdata.names import parse, parse_folder

_MOVE: Final = "move"
# The same everywhere, whatever the machine's own lists say.
_TYPES: Final = mimetypes.MimeTypes()
# Not in every Python's own list.
for _type, _suffix in (("image/webp", ".webp"), ("image/avif", ".avif"), ("text/plain", ".md")):
    _TYPES.add_type(_type, _suffix)


async def userdata_list(call: Call) -> Reply:
    """`GET /userdata?dir=…[&recurse][&full_info][&split]`: files; `[]` for a folder that is
    not there."""
    params = call.first_params()
    if not params.get("dir"):
        raise errors.BadRequest("Say which directory.", field="dir")
    folder = parse_folder(params["dir"])
    found = listing(
        await userfiles.entries(call.identity, folder),
        folder,
        recurse=_is_true(params, "recurse"),
        full_info=_is_true(params, "full_info"),
        split=_is_true(params, "split"),
    )
    return json_reply(found)


async def userdata_tree(call: Call) -> Reply:
    """`GET /v2/userdata[?path=…]`: files and folders below it."""
    folder = parse_folder(call.first_params().get("path", ""))
    if folder and await userfiles.is_file(call.identity, folder):
        raise errors.BadRequest("This is a file, not a directory.", field="path")
    return json_reply(tree_listing(await userfiles.entries(call.identity, folder), folder))


async def userdata_read(call: Call) -> Reply:
    """`GET /userdata/{file}`: the caller's own, else the shared one."""
    entry, data = await userfiles.read(call.identity, parse(call.params["file"]))
    await nsfwgate.require_bytes(data, entry.path, call.identity)
    seconds = int(entry.modified)
    tag = f'"{int(entry.modified * 1e9):x}-{entry.size:x}"'
    modified = format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
    kept = [(b"etag", tag.encode()), (b"last-modified", modified.encode())]
    if _is_known(call, tag, seconds):
        return Reply(304, [*kept, (b"cache-control", b"private, no-cache")])
    kind, packed = _TYPES.guess_type(entry.path)
    if kind is None or packed:  # of `x.png.gz` the first is what `x.png` is
        kind = "application/octet-stream"
    headers = for_user_content([(b"content-type", kind.encode()), *kept])
    # Anything newer must be seen at once, as after a save in another tab.
    headers = [pair for pair in headers if pair[0] != b"cache-control"]
    return Reply(200, [*headers, (b"cache-control", b"private, no-cache")], data)


async def userdata_save(call: Call) -> Reply:
    """`POST /userdata/{file}`: the body becomes the file."""
    path = parse(call.params["file"])
    # Before the body is read.
    userfiles.require_change(call.identity, path)
    data = await call.read(settings.MSS_USERDATA_FILE_MB * 1024 * 1024)
    params = call.first_params()
    entry = await userfiles.save(call.identity, path, data, overwrite=_overwrites(params))
    return _saved(entry, params)


async def userdata_post(call: Call) -> Reply:
    """`POST /userdata/…` with plain slashes: with `/move/` in it a move, else a save."""
    parts = call.params["file"].split("/")
    marks = [i for i, part in enumerate(parts) if part == _MOVE and 0 < i < len(parts) - 1]
    if not marks:
        return await userdata_save(call)
    if len(marks) > 1:
        raise errors.BadPath("Write the slashes inside names as %2F: it is not clear what moves.")
    return await _move(call, "/".join(parts[: marks[0]]), "/".join(parts[marks[0] + 1 :]))


async def userdata_move(call: Call) -> Reply:
    """`POST /userdata/{file}/move/{dest}`."""
    return await _move(call, call.params["file"], call.params["dest"])


async def userdata_delete(call: Call) -> Reply:
    """`DELETE /userdata/{file}`."""
    await userfiles.delete(call.identity, parse(call.params["file"]))
    return empty_reply(204)


async def _move(call: Call, source: str, target: str) -> Reply:
    params = call.first_params()
    entry = await userfiles.move(
        call.identity, parse(source), parse(target), overwrite=_overwrites(params)
    )
    return _saved(entry, params)


def _saved(entry: Entry, params: dict[str, str]) -> Reply:
    return json_reply(entry.info() if _is_true(params, "full_info") else entry.path)


def _is_true(params: dict[str, str], name: str) -> bool:
    return params.get(name, "").lower() == "true"


def _overwrites(params: dict[str, str]) -> bool:
    # Upstream too: exactly this spelling.
    return params.get("overwrite") != "false"


def _is_known(call: Call, tag: str, modified: int) -> bool:
    """Whether the client has this very version (RFC 9110, section 13)."""
    tags = header(call.headers, b"if-none-match")
    if tags is not None:
        known = [each.strip().removeprefix("W/") for each in tags.split(",")]
        return tag in known or "*" in known
    since = header(call.headers, b"if-modified-since")
    try:
        return since is not None and modified <= parsedate_to_datetime(since).timestamp()
    except (ValueError, OverflowError):
        return False
