"""Models and nodes, as far as one was given them."""

from typing import Final

from mssproject.openapi.operation import JSON, Answer, Operation, Operations, Query, file_of, ok
from mssproject.openapi.shapes import (
    ANY,
    NUMBER,
    TEXT,
    Shape,
    array,
    mapping,
    nullable,
    obj,
    said,
)

TAG: Final = "ComfyUI: nodes and models"

_NODES: Final[Shape] = said("Node class → its definition, as ComfyUI's.", mapping(mapping(ANY)))
_GIVEN: Final = "Only models that one was given; others are 404."

BY_HANDLER: Final[Operations] = {
    "object_info": Operation(
        "All nodes",
        {200: Answer("As ComfyUI's.", {JSON: _NODES}), 304: Answer("The client has it.")},
        "Lists of models hold what one was given, lists of input files one's own. Has an `ETag`.",
    ),
    "object_info_one": Operation("One node", ok(_NODES, "`{}` for an unknown class.")),
    "model_folders": Operation("Folders of models", ok(array(TEXT))),
    "models_in_folder": Operation("Models in a folder", ok(array(TEXT)), _GIVEN),
    "embeddings": Operation("Embeddings", ok(array(TEXT), "Without extension."), _GIVEN),
    "model_metadata": Operation(
        "What a model's file says of itself",
        {200: Answer("Its metadata.", {JSON: ANY, "*/*": ANY})},
        _GIVEN,
        query={"filename": Query("The model.", TEXT, required=True)},
    ),
    "folders_detailed": Operation(
        "Folders of models, with their places",
        ok(array(obj({"extensions": ANY}, name=TEXT, folders=array(TEXT)))),
        "The places are cut short without `can_manage_backend`.",
    ),
    "models_detailed": Operation(
        "Models in a folder, with sizes and dates",
        ok(
            array(
                obj(
                    {
                        "pathIndex": NUMBER,
                        "modified": nullable(NUMBER),
                        "created": nullable(NUMBER),
                        "size": nullable(NUMBER),
                    },
                    name=TEXT,
                )
            )
        ),
        _GIVEN,
    ),
    "model_preview": Operation(
        "A picture of a model",
        {**file_of("image/webp", "image/*", "*/*"), 304: Answer("The client has it.")},
        f"{_GIVEN} `filename` is the model's name, also with another extension.",
        refused={403: ("NSFW_BLOCKED",)},
        refusal_fields={"reason": TEXT},
    ),
}
