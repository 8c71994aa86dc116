"""ComfyUI's settings API (app/app_settings.py of 0.3.64): each user's own, on the admin's
defaults. Bodies come as text/plain from the frontend."""

from typing import Any

import orjson

from accounts import errors
from comfyproxy import usersettings
from comfyproxy.calls import Call, Reply, empty_reply, json_reply


async def settings_all(call: Call) -> Reply:
    """`GET /settings`: {id: value}."""
    return json_reply(await usersettings.shown(call.identity))


async def settings_one(call: Call) -> Reply:
    """`GET /settings/{id}`: the value; null for one that is not set."""
    found = await usersettings.shown(call.identity)
    return json_reply(found.get(call.params["setting_id"]))


async def settings_save(call: Call) -> Reply:
    """`POST /settings` {id: value, …}: changes these and leaves the others."""
    changes = await _body(call)
    if not isinstance(changes, dict):
        raise errors.BadRequest("The body must be a JSON object.")
    await usersettings.save(call.identity, changes)
    return empty_reply()


async def settings_save_one(call: Call) -> Reply:
    """`POST /settings/{id}`: the body is the value, any JSON."""
    await usersettings.save(call.identity, {call.params["setting_id"]: await _body(call)})
    return empty_reply()


async def _body(call: Call) -> Any:
    try:
        return orjson.loads(await call.read(usersettings.MAX_BYTES))
    except orjson.JSONDecodeError:
        raise errors.InvalidJson from None
