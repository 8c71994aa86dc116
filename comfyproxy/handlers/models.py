"""Node definitions and model lists, cut down to the models the caller may know of."""

import asyncio
import posixpath
import re

import orjson

from accounts import errors
from accounts.credentials import header
from comfyproxy import catalog, upstream
from comfyproxy.calls import JSON_TYPE, Call, Reply, json_reply
from comfyproxy.catalog import Catalog
from comfyproxy.filters.models import EMBEDDINGS, allowed_names, everything
from comfyproxy.offer import PYTHON_FILES


async def known_to(call: Call) -> Catalog:
    """What ComfyUI offers, as fresh as this caller wants it.

    Raises:
        UpstreamUnreachable, UpstreamTimeout: and nothing is known from before
    """
    insists = "no-cache" in (header(call.headers, b"cache-control") or "")
    return await catalog.to_show(insists=insists)


def folder_for(call: Call, known: Catalog, name: str) -> str:
    """The model folder of that name, or of that former name, as ComfyUI lists it.

    Raises:
        NotFound: there is none, or the caller may not look into it
    """
    folder = known.models.folder(name)
    if folder is None:
        raise errors.NotFound
    if folder == PYTHON_FILES and catalog.allowed_models(call.identity) is not everything:
        raise errors.NotFound
    return folder


async def object_info(call: Call) -> Reply:
    """`GET /object_info`: finished bytes, with an ETag."""
    found = await known_to(call)
    answer = await found.object_info(await catalog.sight_with_inputs(call.identity))
    etag = f'"{answer.etag}"'
    headers = [
        JSON_TYPE,
        (b"etag", etag.encode()),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"Accept-Encoding, Authorization, Cookie"),
    ]
    if etag in (header(call.headers, b"if-none-match") or ""):
        return Reply(304, headers)
    if _takes_gzip(header(call.headers, b"accept-encoding") or ""):
        return Reply(200, [*headers, (b"content-encoding", b"gzip")], answer.zipped)
    return Reply(200, headers, await asyncio.to_thread(answer.plain))


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False


async def object_info_one(call: Call) -> Reply:
    """`GET /object_info/{node_class}`: `{}` for an unknown class, as in ComfyUI."""
    found = await known_to(call)
    sight = await catalog.sight_with_inputs(call.identity)
    node = await asyncio.to_thread(found.nodes.one, call.params["node_class"], sight)
    return json_reply(orjson.Fragment(node))


async def model_folders(call: Call) -> Reply:
    """`GET /models`: the folders' names."""
    known = await known_to(call)
    sees_all = catalog.allowed_models(call.identity) is everything
    return json_reply([name for name in known.models.folders if sees_all or name != PYTHON_FILES])


async def models_in_folder(call: Call) -> Reply:
    """`GET /models/{folder}`."""
    known = await known_to(call)
    folder = folder_for(call, known, call.params["folder"])
    if folder == PYTHON_FILES:  # which the catalog leaves out
        return json_reply(await upstream.get_json(f"/models/{PYTHON_FILES}") or [])
    return json_reply(_names(call, known, folder))


async def embeddings(call: Call) -> Reply:
    """`GET /embeddings`: names without extension."""
    known = await known_to(call)
    return json_reply([posixpath.splitext(n)[0] for n in _names(call, known, EMBEDDINGS)])


def _names(call: Call, known: Catalog, folder: str) -> list[str]:
    names = known.models.folders.get(folder, ())
    return allowed_names(folder, names, catalog.allowed_models(call.identity))
