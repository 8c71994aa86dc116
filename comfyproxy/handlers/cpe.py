"""Comfy Portal's endpoint (comfy-portal-endpoint 1.2.0, api/workflow.py): workflows by name,
and as prompts. Below `workflows`, like the userdata API."""

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import orjson
from django.conf import settings

from accounts import errors
from accounts.identity import Identity
from comfyproxy import conversion, userfiles
from comfyproxy.calls import Call, Reply, json_reply
from comfyproxy.userdata.entries import relative
from comfyproxy.userdata.names import WORKFLOWS, parse

Handler = Callable[[Call], Awaitable[Reply]]

_JSON: Final = ".json"
# A larger workflow is looked at in a thread.
_LARGE_BYTES: Final = 64 * 1024
_MAX_SAME_SECOND: Final = 100


def _in_its_words(handler: Handler) -> Handler:
    """Refusals carry this endpoint's own fields, too: `status` and `message`."""

    @wraps(handler)
    async def wrapped(call: Call) -> Reply:
        try:
            return await handler(call)
        except errors.GatewayError as error:
            error.fields = {"status": "error", "message": error.message, **error.fields}
            raise

    return wrapped


@_in_its_words
async def cpe_list(call: Call) -> Reply:
    """`GET /cpe/workflow/list`: {status, workflows: [{filename, size, modified}]}."""
    found = [
        {
            "filename": relative(entry.path, WORKFLOWS),
            "size": entry.size,
            "modified": entry.modified,
        }
        for entry in sorted(
            await userfiles.entries(call.identity, WORKFLOWS), key=lambda entry: entry.path
        )
        if entry.path.endswith(_JSON) and "/." not in entry.path
    ]
    return json_reply({"status": "success", "workflows": found})


@_in_its_words
async def cpe_get(call: Call) -> Reply:
    """`GET /cpe/workflow/get?filename=`: {status, filename, workflow: the file's text}."""
    filename, data = await _asked_for(call)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise errors.BadRequest("This file holds no text.", field="filename") from None
    return json_reply({"status": "success", "filename": filename, "workflow": text})


@_in_its_words
async def cpe_save(call: Call) -> Reply:
    """`POST /cpe/workflow/save` {workflow: text or object, name?}: {status, message, filename}."""
    # Escaped in a text, a workflow takes more room than in its file.
    given = await call.json_object(2 * settings.MSS_USERDATA_FILE_MB * 1024 * 1024)
    data = _workflow_bytes(given.get("workflow"))
    name = given.get("name")
    if name is None or name == "":
        filename = await _save_under_new_name(call.identity, data)
    elif isinstance(name, str):
        filename = name if name.endswith(_JSON) else name + _JSON
        await userfiles.save(call.identity, _path(filename, "name"), data, overwrite=True)
    else:
        raise errors.BadRequest("name must be text.", field="name")
    return json_reply({"status": "success", "message": "Workflow saved.", "filename": filename})


@_in_its_words
async def cpe_convert(call: Call) -> Reply:
    """`POST /cpe/workflow/convert`: the body is the workflow; {status, data: {workflow}}."""
    body = await call.read()
    return json_reply({"status": "success", "data": await _converted(body, call.identity)})


@_in_its_words
async def cpe_get_and_convert(call: Call) -> Reply:
    """`GET /cpe/workflow/get-and-convert?filename=`: as convert, and the name."""
    filename, body = await _asked_for(call)
    converted = await _converted(body, call.identity)
    return json_reply(
        {
            "status": "success",
            "message": "Workflow converted.",
            "filename": filename,
            "data": converted,
        }
    )


@_in_its_words
async def cpe_health(call: Call) -> Reply:
    """`GET /cpe/health`. There is no browser behind this converter; apps ask whether it is
    ready."""
    ready = "ready" if conversion.is_ready() else "not_installed"
    return json_reply({"status": "success", "browser": {"status": ready}})


async def _asked_for(call: Call) -> tuple[str, bytes]:
    filename = call.first_params().get("filename", "")
    if not filename:
        raise errors.BadRequest("Say which filename.", field="filename")
    _, data = await userfiles.read(call.identity, _path(filename, "filename"))
    return filename, data


def _path(filename: str, field: str) -> str:
    try:
        return parse(f"{WORKFLOWS}/{filename}")
    except errors.BadRequest as error:
        error.fields["field"] = field
        raise


def _workflow_bytes(workflow: Any) -> bytes:
    if isinstance(workflow, dict):
        return orjson.dumps(workflow)
    if not isinstance(workflow, str):
        raise errors.BadRequest("workflow must be a JSON text or an object.", field="workflow")
    try:
        orjson.loads(workflow)
    except orjson.JSONDecodeError:
        raise errors.InvalidJson("workflow is not valid JSON.", field="workflow") from None
    return workflow.encode()


async def _save_under_new_name(identity: Identity, data: bytes) -> str:
    stem = f"workflow_{int(time.time())}"
    for number in range(_MAX_SAME_SECOND):
        filename = f"{stem}_{number}{_JSON}" if number else stem + _JSON
        try:
            await userfiles.save(identity, _path(filename, "name"), data, overwrite=False)
        except errors.Conflict:
            continue
        return filename
    raise errors.Busy


async def _converted(body: bytes, identity: Identity) -> dict[str, Any]:
    try:
        workflow = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.InvalidJson from None
    if not isinstance(workflow, dict) or not workflow:
        raise errors.BadRequest("The workflow must be a JSON object with something in it.")
    is_large = len(body) > _LARGE_BYTES
    return {"workflow": await conversion.converted(workflow, identity, is_large=is_large)}
