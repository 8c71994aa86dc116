"""Which models there are, and who was given which."""

from typing import Final

from mssproject.openapi.operation import Operation, Operations, Query, ok
from mssproject.openapi.shapes import (
    INTEGER,
    TEXT,
    TIME,
    Shape,
    always,
    array,
    mapping,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "Models and who has them"

_ITEM: Final[Shape] = obj(
    {"source_backend": nullable(TEXT)},
    folder=TEXT,
    item_name=said("A model's file below the folder; `*` stands for any letters.", TEXT),
)
SCHEMAS: Final[dict[str, Shape]] = {
    "Grant": obj(
        folder=TEXT,
        item_name=TEXT,
        source_backend=TEXT,
        granted_by=said("null: that account is gone.", nullable(TEXT)),
        granted_by_role=nullable(TEXT),
        created_at=TIME,
    ),
    "Items": {"anyOf": [_ITEM, obj(items=array(_ITEM))]},
    "EffectiveModel": obj(
        folder=TEXT,
        item_name=TEXT,
        through=array(
            obj(
                holder=one_of("user", "role", "team", "capability"),
                name=TEXT,
                folder=nullable(TEXT),
                item_name=nullable(TEXT),
            )
        ),
    ),
}
_COMFYUI: Final = {502: ("UPSTREAM_UNREACHABLE",), 504: ("UPSTREAM_TIMEOUT",)}
_NONE: Final = {404: ("NOT_FOUND",)}
_SHARING: Final = "Needs `can_manage_model_sharing`."
_IN_ADDRESS: Final = {
    "folder": Query("For clients that send no body with a DELETE."),
    "item_name": Query("Likewise."),
    "source_backend": Query("Likewise."),
}


def _shared_items(path: str, whose: str) -> Operations:
    return {
        f"GET {path}": Operation(
            f"Models given to a {whose}",
            ok(obj(items=array(ref("Grant")))),
            _SHARING,
            refused=_NONE,
        ),
        f"POST {path}": Operation(
            f"Give models to a {whose}",
            ok(
                {
                    "oneOf": [
                        obj(status=always("ok"), item=ref("Grant")),
                        obj(status=always("ok"), items=array(ref("Grant"))),
                    ]
                },
                "As asked for: one, or a list.",
            ),
            f"{_SHARING} What they have already stays; a model need not exist yet.",
            ref("Items"),
            refused=_NONE,
        ),
        f"DELETE {path}": Operation(
            f"Take models from a {whose}",
            ok(obj(status=always("ok"), removed=INTEGER)),
            f"{_SHARING} 404 where they had none of these.",
            ref("Items"),
            needs_body=False,
            query=_IN_ADDRESS,
            refused=_NONE,
        ),
    }


OPERATIONS: Final[Operations] = {
    **_shared_items("/mss-login/api/users/{name}/shared-items", "user"),
    **_shared_items("/mss-login/api/groups/{name}/shared-items", "role or team"),
    "GET /mss-login/api/available-model-folders": Operation(
        "Folders that hold models", ok(obj(folders=array(TEXT))), _SHARING, refused=_COMFYUI
    ),
    "GET /mss-login/api/available-models/{folder}": Operation(
        "All models of a folder",
        ok(obj(folder=TEXT, models=array(TEXT))),
        _SHARING,
        refused={**_COMFYUI, **_NONE},
    ),
    "POST /mss-login/api/available-models/refresh": Operation(
        "Have ComfyUI asked anew",
        ok(obj(status=always("ok"), folders=INTEGER, models=INTEGER), "How many there are."),
        _SHARING,
        refused=_COMFYUI,
    ),
    "GET /mss-login/api/users/{username}/effective-models": Operation(
        "Models that a user may use, and through whom",
        ok(obj(username=TEXT, items=array(ref("EffectiveModel")))),
        _SHARING,
        refused={**_COMFYUI, **_NONE},
    ),
    "GET /account/models": Operation(
        "Models that one may use oneself", ok(obj(folders=mapping(array(TEXT)))), refused=_COMFYUI
    ),
}
