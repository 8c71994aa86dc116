"""What each address does, in words and shapes.

`GATEWAY`: "METHOD /path" → operation, of the gateway's own views. `PLAIN`: likewise, of those
that are plain functions. `BY_ROUTE`, `BY_HANDLER`: ComfyUI's, by "METHOD /pattern" of a line of
the route table, else by its handler's name. `SCHEMAS`: the shapes that they share.
"""

from dataclasses import replace
from types import ModuleType
from typing import Final

from mssproject.openapi.operation import Operation, Operations
from mssproject.openapi.operations import (
    account,
    administration,
    comfy_files,
    comfy_forwarded,
    comfy_models,
    comfy_prompts,
    comfy_userdata,
    downloads,
    jobshapes,
    login,
    models,
    pages,
    passkeys,
    pictures,
    promptshapes,
)
from mssproject.openapi.shapes import Shape


def _tagged(*modules: ModuleType, name: str = "OPERATIONS") -> Operations:
    found: Operations = {}
    for module in modules:
        for key, operation in getattr(module, name).items():
            assert key not in found, key
            found[key] = operation if operation.tag else _with_tag(operation, module.TAG)
    return found


def _with_tag(operation: Operation, tag: str) -> Operation:
    return replace(operation, tag=tag)


_COMFYUI: Final = (comfy_prompts, comfy_files, comfy_models, comfy_userdata, comfy_forwarded)

GATEWAY: Final = _tagged(
    login, account, passkeys, administration, models, pictures, downloads, pages
)
PLAIN: Final = _tagged(pages, name="PLAIN")
BY_HANDLER: Final = _tagged(*_COMFYUI, name="BY_HANDLER")
BY_ROUTE: Final = _tagged(comfy_userdata, comfy_forwarded, name="BY_ROUTE")
SCHEMAS: Final[dict[str, Shape]] = {
    name: shape
    for module in (
        login,
        account,
        administration,
        models,
        downloads,
        promptshapes,
        jobshapes,
        comfy_userdata,
    )
    for name, shape in module.SCHEMAS.items()
}
