"""ComfyUI's jobs: queue and history in one list."""

from typing import Final

from comfyproxy.filters.jobs import STATUSES
from mssproject.openapi.shapes import (
    ANY,
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    Shape,
    array,
    mapping,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

_OPTIONAL: Final[dict[str, Shape]] = {
    "priority": NUMBER,
    "execution_start_time": INTEGER,
    "execution_end_time": INTEGER,
    "execution_error": mapping(ANY),
    "preview_output": said("The output that stands for the job.", mapping(ANY)),
    "workflow_id": TEXT,
}
_REQUIRED: Final[dict[str, Shape]] = {
    "id": TEXT,
    "status": one_of(*STATUSES),
    "create_time": said("Milliseconds since 1970, as all times here.", INTEGER),
    "outputs_count": INTEGER,
    "previewable_outputs_count": INTEGER,
}
SCHEMAS: Final[dict[str, Shape]] = {
    "Job": obj(_OPTIONAL, **_REQUIRED),
    "JobInFull": obj(
        {**_OPTIONAL, "outputs": ref("Outputs"), "execution_status": ANY},
        **_REQUIRED,
        workflow=obj(prompt=ref("Graph"), extra_data=ref("ExtraData")),
    ),
    "Jobs": obj(
        jobs=array(ref("Job")),
        pagination=obj(
            offset=INTEGER,
            limit=nullable(INTEGER),
            total=said("Of one's own, that were asked for.", INTEGER),
            has_more=BOOLEAN,
        ),
    ),
}
