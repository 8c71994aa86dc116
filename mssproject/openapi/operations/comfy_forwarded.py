"""What the gateway passes on as it is, and the files of ComfyUI's page."""

from typing import Final

from mssproject.openapi.operation import JSON, Operation, Operations
from mssproject.openapi.shapes import ANY

TAG: Final = "ComfyUI: server"

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_RAW: Final = ("application/octet-stream", JSON)


def _open(summary: str, description: str = "", tag: str = "", *, body: bool = False) -> Operation:
    """Answered by ComfyUI or a custom node."""
    return Operation(
        summary,
        {},
        description,
        ANY if body else None,
        _RAW,
        needs_body=False,
        tag=tag,
        is_open=True,
    )


def _each(pattern: str, summary: str, description: str = "", tag: str = "") -> Operations:
    return {
        f"{method} {pattern}": _open(summary, description, tag, body=method != "GET")
        for method in _METHODS
    }


_MANAGER: Final = (
    *("manager", "customnode", "externalmodel", "snapshot", "comfyui_manager"),
    *("v2/manager", "v2/customnode", "v2/externalmodel", "v2/snapshot", "v2/comfyui_manager"),
)
_OF_MANAGER: Final = "ComfyUI-Manager"
_PAGE: Final = "ComfyUI: page"

BY_ROUTE: Final[Operations] = {
    "GET /i18n": _open("Translations of custom nodes"),
    "GET /workflow_templates": _open("Templates of custom nodes"),
    "GET /workflow_templates/{file*}": _open("A template of a custom node"),
    "GET /global_subgraphs": _open("Subgraphs that ComfyUI ships"),
    "GET /global_subgraphs/{subgraph_id}": _open("A subgraph that ComfyUI ships"),
    "GET /node_replacements": _open("What takes the place of nodes that are gone"),
    "GET /internal/logs": _open("ComfyUI's log"),
    "GET /internal/logs/raw": _open("ComfyUI's log, in entries"),
    "GET /internal/folder_paths": _open("Where ComfyUI's folders are"),
    **_each("/internal/{rest*}", "What else only ComfyUI's page asks for"),
    "POST /credentials": _open("Keys that ComfyUI keeps", body=True),
    "GET /tasks": _open("ComfyUI's background work"),
    **_each("/tasks/{rest*}", "One of ComfyUI's background tasks"),
    **{
        key: operation
        for name in _MANAGER
        for rest in ("", "/{rest*}")
        for key, operation in _each(
            f"/{name}{rest}", "ComfyUI-Manager", "As its version answers.", _OF_MANAGER
        ).items()
    },
    "POST /model/install": _open("Install a model (ComfyUI-Manager)", tag=_OF_MANAGER, body=True),
    "GET /{file:asset}": _open(
        "A file of ComfyUI's page, or a custom node's route",
        "The page's manifest is open to all. What is no web asset, and no route named here, needs "
        "`can_access_extensions`, unless the administrator made a rule for it.",
        _PAGE,
    ),
    **_each(
        "/{rest*}",
        "A custom node's route",
        "Whatever custom nodes have added, at any depth; an administrator may have made a rule "
        "for it that asks for another capability.",
        "Custom nodes",
    ),
}
BY_HANDLER: Final[Operations] = {
    "static": _open("A file of ComfyUI's page", tag=_PAGE),
    "own_extension": _open("A file of the gateway's extension of ComfyUI's page", tag=_PAGE),
}
