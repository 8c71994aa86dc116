"""Settings, saved workflows and other files of one's own."""

from collections.abc import Mapping
from typing import Final

from mssproject.openapi.operation import (
    JSON,
    Answer,
    Codes,
    Operation,
    Operations,
    Query,
    file_of,
    nothing,
    ok,
)
from mssproject.openapi.shapes import (
    ANY,
    BYTES,
    INTEGER,
    NUMBER,
    TEXT,
    Shape,
    always,
    array,
    mapping,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "ComfyUI: settings and workflows"

SCHEMAS: Final[dict[str, Shape]] = {
    "Saved": said(
        "The file's path; with `full_info=true` what there is to know of it.",
        {"oneOf": [TEXT, ref("File")]},
    ),
}
_RAW: Final = ("application/octet-stream", "text/plain", JSON)
_FLAG: Final = one_of("true", "false")
_FULL: Final = {"full_info": Query("`true`: with size and times.", _FLAG)}
_OVERWRITE: Final = {"overwrite": Query("`false`: never in the place of another.", _FLAG)}
_CHANGE: Final = {
    409: ("FILE_EXISTS", "NAME_TAKEN"),
    429: ("QUOTA_EXCEEDED",),
    503: ("BUSY",),
    507: ("STORAGE_FULL",),
}
_WORKFLOWS: Final = (
    "Below `workflows/` needs `can_modify_workflows`; what all share only administrators change."
)
_GRAPH: Final = ref("Graph")
_IN_ITS_WORDS: Final = {"status": always("error"), "message": TEXT, "details": TEXT}
# Beside what every prompt may be refused for, and in a refusal's own words.
_CONVERSION: Final = {403: ("MODEL_NOT_ALLOWED",), 503: ("CONVERSION_FAILED",)}
_FILENAME: Final = {"filename": Query("Below `workflows/`.", TEXT, required=True)}


def _success(**more: Shape) -> Shape:
    return obj(status=always("success"), **more)


def _portal(
    summary: str,
    shape: Shape,
    body: Shape | None = None,
    refused: Mapping[int, Codes] | None = None,
    query: Mapping[str, Query] | None = None,
) -> Operation:
    return Operation(
        summary,
        ok(shape),
        "Comfy Portal's endpoint; its refusals say `status` and `message`, too.",
        body,
        query=query or {},
        refused=refused or {},
        refusal_fields={**_IN_ITS_WORDS, "node_errors": ref("NodeErrors")},
        tag="Comfy Portal",
    )


BY_HANDLER: Final[Operations] = {
    "settings_all": Operation("One's settings", ok(mapping(ANY))),
    "settings_one": Operation("One setting", ok(ANY, "null where it is not set.")),
    "settings_save": Operation(
        "Change settings",
        nothing(),
        "What is not named stays. What an administrator has locked stays as well, without a word.",
        mapping(ANY),
        (JSON, "text/plain"),
        refused={429: ("QUOTA_EXCEEDED",)},
    ),
    "settings_save_one": Operation(
        "Change one setting",
        nothing(),
        body=ANY,
        kinds=(JSON, "text/plain"),
        refused={429: ("QUOTA_EXCEEDED",)},
    ),
    "userdata_list": Operation(
        "Files in a folder",
        ok(
            array({"oneOf": [TEXT, array(TEXT), ref("File")]}),
            "Paths; with `split` each with its parts, with `full_info` as objects.",
        ),
        "`workflows` also lists those that all share.",
        query={
            "dir": Query("The folder.", {**TEXT, "minLength": 1}, required=True),
            "recurse": Query("`true`: below it, too.", _FLAG),
            "split": Query("`true`: with its parts.", _FLAG),
            **_FULL,
        },
    ),
    "userdata_tree": Operation(
        "Files and folders",
        ok(
            array(
                obj(
                    {"size": INTEGER, "modified": NUMBER},
                    name=TEXT,
                    path=TEXT,
                    type=one_of("file", "directory"),
                )
            )
        ),
        query={"path": Query("Below which folder; empty: all.")},
    ),
    "userdata_read": Operation(
        "A file",
        {**file_of(), 304: Answer("The client has it.")},
        "One's own, else the shared one of that name.",
        refused={403: ("NSFW_BLOCKED",)},
        refusal_fields={"reason": TEXT},
    ),
    "userdata_save": Operation(
        "Save a file",
        ok(ref("Saved")),
        _WORKFLOWS,
        BYTES,
        _RAW,
        needs_body=False,
        query={**_OVERWRITE, **_FULL},
        refused=_CHANGE,
    ),
    "userdata_post": Operation(
        "Save or move a file",
        ok(ref("Saved")),
        "With plain slashes in the name; with `/move/` in it a move.",
        BYTES,
        _RAW,
        needs_body=False,
        query={**_OVERWRITE, **_FULL},
        refused=_CHANGE,
    ),
    "userdata_delete": Operation(
        "Delete a file", nothing("Deleted.", 204), _WORKFLOWS, refused=_CHANGE
    ),
    "userdata_move": Operation(
        "Move a file or folder",
        ok(ref("Saved")),
        _WORKFLOWS,
        query={**_OVERWRITE, **_FULL},
        refused=_CHANGE,
    ),
    "cpe_list": _portal(
        "Workflows by name",
        _success(workflows=array(obj(filename=TEXT, size=INTEGER, modified=NUMBER))),
    ),
    "cpe_get": _portal(
        "A workflow",
        _success(filename=TEXT, workflow=said("The file's text.", TEXT)),
        query=_FILENAME,
    ),
    "cpe_save": _portal(
        "Save a workflow",
        _success(message=TEXT, filename=TEXT),
        obj(
            {"name": said("Else it gets a new one.", TEXT)},
            workflow={"anyOf": [said("JSON.", TEXT), mapping(ANY)]},
        ),
        _CHANGE,
    ),
    "cpe_get_and_convert": _portal(
        "A workflow as a prompt",
        _success(message=TEXT, filename=TEXT, data=obj(workflow=_GRAPH)),
        refused=_CONVERSION,
        query=_FILENAME,
    ),
    "cpe_convert": _portal(
        "Turn a workflow into a prompt",
        _success(data=obj(workflow=_GRAPH)),
        said("The workflow.", {**mapping(ANY), "minProperties": 1}),
        _CONVERSION,
    ),
    "cpe_health": _portal(
        "Whether workflows can be converted",
        _success(browser=obj(status=one_of("ready", "not_installed"))),
    ),
}
BY_ROUTE: Final[Operations] = {}
