"""Node definitions and model lists, cut down to the models the caller may know of."""

import asyncio
import re

import orjson

from accounts import errors
from accounts.credentials import header
from comfyproxy import catalog, upstream
from comfyproxy.calls import JSON_TYPE, Call, Reply, json_reply
from comfyproxy.filters.models import EMBEDDINGS, NOT_MODELS, allowed_names, everything

PYTHON_FILES = "custom_nodes"


async def object_info(call: Call) -> Reply:
    """`GET /object_info`: finished bytes, with an ETag."""
    insists = "no-cache" in (header(call.headers, b"cache-control") or "")
    found = await catalog.current(catalog.MIN_AGE_SECONDS if insists else catalog.MAX_AGE_SECONDS)
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
    found = await catalog.current()
    sight = await catalog.sight_with_inputs(call.identity)
    node = await asyncio.to_thread(found.nodes.one, call.params["node_class"], sight)
    return json_reply(orjson.Fragment(node))


async def model_folders(call: Call) -> Reply:
    """`GET /models`: the folders' names."""
    folders = await upstream.get_json("/models")
    if not isinstance(folders, list):
        raise errors.UpstreamUnreachable
    sees_all = catalog.allowed_models(call.identity) is everything
    return json_reply([name for name in folders if sees_all or name != PYTHON_FILES])


async def models_in_folder(call: Call) -> Reply:
    """`GET /models/{folder}`."""
    folder = call.params["folder"]
    allowed = catalog.allowed_models(call.identity)
    if folder == PYTHON_FILES and allowed is not everything:
        raise errors.NotFound
    names = await upstream.get_json(f"/models/{upstream.segment(folder)}")
    if not isinstance(names, list):
        raise errors.NotFound
    if folder in NOT_MODELS:
        return json_reply(names)
    return json_reply(allowed_names(folder, names, allowed))


async def embeddings(call: Call) -> Reply:
    """`GET /embeddings`: names without extension."""
    names = await upstream.get_json("/embeddings")
    if not isinstance(names, list):
        raise errors.UpstreamUnreachable
    allowed = catalog.allowed_models(call.identity)
    return json_reply(allowed_names(EMBEDDINGS, names, allowed))
