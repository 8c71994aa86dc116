"""Files: uploaded, and shown."""

from typing import Final

from mssproject.openapi.operation import Answer, Operation, Operations, Query, file_of, ok
from mssproject.openapi.shapes import BYTES, TEXT, Shape, array, obj, one_of, said

TAG: Final = "ComfyUI: files"

_MULTIPART: Final = ("multipart/form-data",)
_STORED: Final[Shape] = obj(
    name=TEXT,
    subfolder=said("Below one's own folder.", TEXT),
    type=one_of("input", "temp", "output"),
)
_FIELDS: Final[dict[str, Shape]] = {
    "subfolder": said("Below one's own folder.", TEXT),
    "type": said("`output` needs `can_manage_backend`.", one_of("input", "temp", "output")),
    "overwrite": said("`true`: replace a file of that name.", TEXT),
}
_TYPES: Final = one_of("output", "input", "temp")

BY_HANDLER: Final[Operations] = {
    "view_file": Operation(
        "Show a file",
        {
            **file_of(),
            206: Answer("The part that `Range` asked for.", {"*/*": {}}),
            304: Answer("The client has it (`If-None-Match`, `If-Modified-Since`)."),
            416: Answer("There is no such part.", {"*/*": {}}),
        },
        "One's own, and what lies unowned at the top of the input folder; another's is 404. Takes "
        "`Range`, answers with `ETag`. SVG, XML, PDF, HTML, scripts and unknown kinds come as "
        "attachments.",
        query={
            "filename": Query("As history and uploads name it.", TEXT, required=True),
            "subfolder": Query("Likewise."),
            "type": Query("Which folder; `output` if not said.", _TYPES),
            "preview": Query("`webp` or `jpeg`, with `;quality`: a smaller picture."),
            "channel": Query("`rgb`, `a` or `rgba`: only that of a picture."),
        },
        refused={403: ("NSFW_BLOCKED",)},
        refusal_fields={"reason": said("Of `NSFW_BLOCKED`.", TEXT)},
    ),
    "upload_image": Operation(
        "Upload a file",
        ok(_STORED, "What it is called now; usable in `LoadImage` and `/view` as it stands."),
        "Stored below one's own input folder.",
        obj(_FIELDS, image=BYTES),
        _MULTIPART,
    ),
    "upload_mask": Operation(
        "Upload a mask",
        ok(_STORED),
        "Over a picture that one may see, named by `original_ref`; over another's it is 404.",
        obj(
            _FIELDS,
            image=BYTES,
            original_ref=said("JSON: `{filename, subfolder, type}`.", TEXT),
        ),
        _MULTIPART,
    ),
    "own_files": Operation(
        "Names of one's own files",
        ok(array(TEXT), "Newest first."),
        "`directory_type` is `input`, `output` or `temp`.",
    ),
}
