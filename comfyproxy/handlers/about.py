"""What ComfyUI tells about itself and its users, and routes that are not built yet."""

from accounts import errors
from accounts.capabilities import Capability
from comfyproxy import upstream
from comfyproxy.calls import Call, Reply, empty_reply, json_reply
from comfyproxy.filters.features import shown_features
from comfyproxy.filters.system_stats import shown_stats
from comfyproxy.ownership import upstream_client_id


async def system_stats(call: Call) -> Reply:
    """`GET /system_stats`; the command line only for those who manage the backend."""
    whole = call.identity.can(Capability.MANAGE_BACKEND)
    manager = call.identity.can(Capability.ACCESS_MANAGER)
    return json_reply(shown_stats(await _json("/system_stats"), whole=whole, manager=manager))


async def features(call: Call) -> Reply:
    """`GET /features`."""
    return json_reply(shown_features(await _json("/features")))


async def users(call: Call) -> Reply:
    """`GET /users`: ComfyUI's own users play no part; each of ours is one to themselves."""
    return json_reply({"storage": "server", "migrated": True})


async def users_add(call: Call) -> Reply:
    """`POST /users` {username}: a user of ComfyUI's own, who plays no part here; answers the new
    id. ComfyUI fails (500) over any other body (0.3.64, app/user_manager.py)."""
    name = (await call.json_object()).get("username")
    if not isinstance(name, str) or not name.strip():
        raise errors.BadRequest("username must be text.", field="username")
    status, answer = await upstream.request_json("POST", "/users", {"username": name})
    if status >= 500:
        raise errors.BadRequest("ComfyUI cannot use this name.", field="username")
    return json_reply(answer, status)


async def logs_subscribe(call: Call) -> Reply:
    """`PATCH /internal/logs/subscribe` {clientId, enabled}: for the caller's own socket."""
    wanted = await call.json_object()
    client_id, enabled = wanted.get("clientId"), wanted.get("enabled")
    if not isinstance(client_id, str):
        raise errors.BadRequest("clientId must be text.", field="clientId")
    if not isinstance(enabled, bool):
        raise errors.BadRequest("enabled must be true or false.", field="enabled")
    mapped = upstream_client_id(call.identity.namespace, client_id)
    await upstream.request_json(
        "PATCH", "/internal/logs/subscribe", {"clientId": mapped, "enabled": enabled}
    )
    return empty_reply()


async def later(call: Call) -> Reply:
    """A route of ComfyUI's that the gateway cannot keep apart between users yet: refused."""
    raise errors.PermissionDenied("This is not available through the gateway.")


async def _json(path: str) -> object:
    answer = await upstream.get_json(path)
    if answer is None:
        raise errors.NotFound
    return answer
