"""`POST /mss-login/api/user-env`: a user's files, for administrators (API.md section 4)."""

from collections.abc import Callable
from typing import Any, Final

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors, queries
from accounts.api.administration import IsAdministrator
from accounts.api.authentication import caller
from accounts.api.base import GatewayView, flag
from accounts.login import client_ip
from comfyproxy import filekeeping
from comfyproxy.filekeeping import Act, Holder
from comfyproxy.userdata.entries import relative
from comfyproxy.userdata.limits import Limits
from comfyproxy.userdata.names import WORKFLOWS

Answer = dict[str, Any]


class UserEnvView(GatewayView):
    """POST {action, user, …}: what there is, and changes of it."""

    permission_classes = (IsAdministrator,)

    def post(self, request: Request) -> Response:
        data = request.data
        if not hasattr(data, "get"):
            raise errors.BadRequest("The body must be a JSON object.")
        action = ACTIONS.get(_text(data, "action"))
        if action is None:
            names = ", ".join(ACTIONS)
            raise errors.BadRequest(f"action is one of {names}.", field="action")
        user = queries.user_by_name(_text(data, "user"))
        if user is None:
            raise errors.NotFound("There is no such user.")
        actor, _ = caller(request)
        holder, act = Holder.of_user(user), Act(actor, client_ip(request._request))
        return Response({"status": "ok", "user": user.username, **action(holder, data, act)})


def _status(holder: Holder, data: Any, act: Act) -> Answer:
    entries, versions, limits = (
        holder.tree.files(),
        holder.tree.versions.all(),
        Limits.of_settings(),
    )
    return {
        "files": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "workflows": len(holder.tree.files(WORKFLOWS)),
        "versions": len(versions),
        "version_bytes": sum(version.size for version in versions),
        "limits": {"files": limits.files, "bytes": limits.bytes, "file_bytes": limits.file_bytes},
    }


def _list(holder: Holder, data: Any, act: Act) -> Answer:
    entries = sorted(holder.tree.files(), key=lambda entry: entry.path)
    return {"files": [entry.info() for entry in entries]}


def _list_workflows(holder: Holder, data: Any, act: Act) -> Answer:
    entries = sorted(holder.tree.files(WORKFLOWS), key=lambda entry: entry.path)
    return {"workflows": [entry.info(WORKFLOWS) for entry in entries]}


def _delete_file(holder: Holder, data: Any, act: Act) -> Answer:
    return _deleted(holder, _text(data, "file"), act)


def _delete_workflow(holder: Holder, data: Any, act: Act) -> Answer:
    return _deleted(holder, _workflow(data), act)


def _deleted(holder: Holder, path: str, act: Act) -> Answer:
    if not filekeeping.delete(holder, [path], act=act):
        raise errors.NotFound("There is no such file.")
    return {"deleted": 1}


def _purge(holder: Holder, data: Any, act: Act) -> Answer:
    return {"deleted": filekeeping.purge(holder, act=act)}


def _promote(holder: Holder, data: Any, act: Act) -> Answer:
    entry = filekeeping.promote(
        holder, _workflow(data), delete_source=flag(data, "delete_source"), act=act
    )
    return {"workflow": relative(entry.path, WORKFLOWS)}


ACTIONS: Final[dict[str, Callable[[Holder, Any, Act], Answer]]] = {
    "status": _status,
    "list": _list,
    "delete_file": _delete_file,
    "purge": _purge,
    "list_workflows": _list_workflows,
    "promote_workflow": _promote,
    "delete_workflow": _delete_workflow,
}


def _text(data: Any, name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise errors.BadRequest(f"{name} must be text.", field=name)
    return value


def _workflow(data: Any) -> str:
    """The path of a workflow, which may be given with or without its folder."""
    return f"{WORKFLOWS}/{_text(data, 'workflow').removeprefix(f'{WORKFLOWS}/')}"
