"""What ComfyUI tells of single model files: sizes and dates, metadata, preview pictures.

Its preview route joins whatever it is given to a folder's path, and opens any picture there;
its metadata route takes many spellings of a name (NOTES section 7). So it is sent nothing but
names that it listed itself, of models that the caller was given.
"""

import re
from functools import partial
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode

from accounts import errors
from accounts.capabilities import Capability
from comfyproxy import catalog, comfyjson, nsfwgate, upstream
from comfyproxy.calls import Call, Reply, json_reply
from comfyproxy.filters.history import cut_path
from comfyproxy.filters.modelfiles import may_tell_of, pictured, without_pictures
from comfyproxy.filters.models import allowed_names
from comfyproxy.handlers.models import folder_for, known_to
from comfyproxy.headers import for_user_content, to_client, to_upstream

# Which of the folder's directories; ComfyUI takes any number that Python does.
_PATH_INDEX: Final = re.compile(r"[0-9]{1,2}")


async def folders_detailed(call: Call) -> Reply:
    """`GET /experiment/models`: model folders, their paths only for who manages the backend."""
    found = await _list("/experiment/models")
    if not call.identity.can(Capability.MANAGE_BACKEND):
        found = [_without_paths(folder) for folder in found if isinstance(folder, dict)]
    return json_reply(found)


def _without_paths(folder: dict[str, Any]) -> dict[str, Any]:
    paths = folder.get("folders")
    shown = [cut_path(path) for path in paths if isinstance(path, str)] if paths else []
    return folder | {"folders": shown}


async def models_detailed(call: Call) -> Reply:
    """`GET /experiment/models/{folder}`: name, size, dates of the models that the caller was
    given."""
    known = await known_to(call)
    folder = folder_for(call, known, call.params["folder"])
    found = await _list(f"/experiment/models/{upstream.segment(folder)}")
    files = [file for file in found if isinstance(file, dict) and isinstance(file.get("name"), str)]
    names = {file["name"] for file in files}
    if not names.issubset(known.models.folders[folder]):
        # The page asks for what it sees here next.
        known = await catalog.to_show(insists=True)
    # Only what the folder lists: here ComfyUI shows every file of its directories, and some
    # folders share these with others.
    shown = set(allowed_names(folder, names, catalog.allowed_models(call.identity)))
    shown &= set(known.models.folders.get(folder, ()))
    return json_reply([file for file in files if file["name"] in shown])


async def model_metadata(call: Call) -> Reply:
    """`GET /view_metadata/{folder}?filename=`: what a model's file says about itself."""
    known = await known_to(call)
    folder = folder_for(call, known, call.params["folder"])
    name = call.first_params().get("filename", "")
    allowed = catalog.allowed_models(call.identity)
    if not known.models.holds(folder, name) or not allowed(folder, name):
        raise errors.NotFound
    query = urlencode({"filename": name}).encode()
    path = f"/view_metadata/{upstream.segment(folder)}"
    if not call.identity.sfw_enforced:
        return await _file(call, path, query)
    status, body = await _whole(path, query)
    if status >= 400:
        raise errors.NotFound
    return json_reply(without_pictures(comfyjson.parsed(body)))


async def model_preview(call: Call) -> Reply:
    """`GET /experiment/models/preview/{folder}/{path_index}/{filename}`: a picture of a model.
    The page asks for it by the model's name with another extension."""
    known = await known_to(call)
    folder = folder_for(call, known, call.params["folder"])
    index, asked = call.params["path_index"], call.params["filename"]
    names, allowed = known.models.folders[folder], catalog.allowed_models(call.identity)
    may = partial(allowed, folder)
    name = pictured(asked, names, may)
    if name is None or not may_tell_of(name, names, may) or not _PATH_INDEX.fullmatch(index):
        raise errors.NotFound
    place = f"{upstream.segment(folder)}/{int(index)}/{upstream.segment(name)}"
    path = f"/experiment/models/preview/{place}"
    if not call.identity.sfw_enforced:
        return await _file(call, path, b"")
    status, body = await _whole(path, b"")
    if status >= 400:
        raise errors.NotFound
    # Whatever the model's file is called, this is a picture.
    await nsfwgate.require_bytes(body, "preview.webp", call.identity)
    return Reply(status, for_user_content([(b"content-type", b"image/webp")]), body)


# Of a picture or of metadata with pictures in it, for whom they are judged.
MAX_JUDGED_BYTES: Final = 32 * 1024 * 1024

# ComfyUI looks through a whole folder for each answer (0.3.64, app/model_manager.py).
_KEPT_SECONDS: Final = 5.0
# What it answered last, also for when it is away; as many as it has model folders.
_known_lists: dict[str, tuple[float, list[Any]]] = {}


async def _list(path: str) -> list[Any]:
    """ComfyUI's list, a few seconds old at most; while it is away the last one, if there is any.

    Raises:
        NotFound, UpstreamUnreachable, UpstreamTimeout
    """
    asked_at, known = _known_lists.get(path, (0.0, None))
    if known is not None and monotonic() - asked_at < _KEPT_SECONDS:
        return known
    try:
        found = await upstream.get_json(path)
    except (errors.UpstreamUnreachable, errors.UpstreamTimeout):
        if known is None:
            raise
        return known
    if not isinstance(found, list):
        raise errors.NotFound
    _known_lists[path] = monotonic(), found
    return found


async def _whole(path: str, query: bytes) -> tuple[int, bytes]:
    """ComfyUI's answer, read to its end before anything of it is passed on."""
    answer = await upstream.stream("GET", path, query=query)
    try:
        return answer.status, await answer.read(MAX_JUDGED_BYTES)
    finally:
        answer.close()


async def _file(call: Call, path: str, query: bytes) -> Reply:
    answer = await upstream.stream(
        call.method, path, query=query, headers=to_upstream(call.headers, body=False)
    )
    if answer.status >= 400:
        # Also 500: of a file that cannot be read, of a directory that there is not.
        answer.close()
        raise errors.NotFound
    return Reply(answer.status, for_user_content(to_client(answer.headers)), stream=answer)
