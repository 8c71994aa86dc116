"""Prompts: submitted, watched, stopped, and what became of them."""

from typing import Final

from comfyproxy.filters.jobs import STATUSES
from mssproject.openapi.operation import JSON, Answer, Operation, Operations, Query, nothing, ok
from mssproject.openapi.shapes import (
    BOOLEAN,
    FREE,
    INTEGER,
    TEXT,
    Shape,
    always,
    array,
    obj,
    one_of,
    ref,
    said,
)

TAG: Final = "ComfyUI: prompts"

_NODE_ERRORS: Final = {"node_errors": ref("NodeErrors")}
_MAX: Final = {**INTEGER, "description": "Within one's own."}
_CANCELLED: Final[Shape] = obj(cancelled=BOOLEAN)
_ANY_TYPE: Final = "Any content type is read as JSON."
_SOCKET: Final = """\
A WebSocket, for `clientId=` (any text; without it the gateway makes one up and says it as `sid`).
Refused before the upgrade with 401 or 403 and the error as JSON; as plain HTTP this address is 400.

Frames as ComfyUI's: `status`, `execution_start`, `execution_cached`, `executing`, `progress`,
`progress_state`, `executed`, `execution_success`, `execution_error`, `execution_interrupted`, and
pictures as binary frames. One hears of one's own prompts only; `status` counts them alone and is
sent when they change. The last event of a prompt is `executing` with `node: null`.

Closed with 4401: the token holds no more. 1012: ComfyUI went away; connect again with the same
`clientId`, and within 15 s nothing but preview pictures is missed. 1013: the client did not
read."""

BY_HANDLER: Final[Operations] = {
    "socket": Operation(
        "Hear of one's prompts (WebSocket)",
        {101: Answer("The WebSocket.")},
        _SOCKET,
        query={"clientId": Query("The id that prompts name as `client_id`.")},
    ),
    "prompt_submit": Operation(
        "Submit a prompt",
        {
            200: Answer("It waits or runs.", {JSON: ref("Accepted")}),
            400: Answer("ComfyUI's own refusal, or:", {JSON: ref("InvalidPrompt")}),
        },
        "Models, files and node classes are checked first: 403 names the nodes in `node_errors`, "
        "so that ComfyUI's page marks them. `filename_prefix` is moved into one's own output "
        "folder; what history and events name is what `/view` takes. 400 is ComfyUI's own "
        f"refusal, or the gateway's. {_ANY_TYPE}",
        ref("Prompt"),
        refused={
            403: ("MODEL_NOT_ALLOWED", "FILE_NOT_ALLOWED", "NODE_NOT_ALLOWED"),
            409: ("PROMPT_ID_TAKEN",),
            429: ("QUOTA_EXCEEDED",),
        },
        refusal_fields={**_NODE_ERRORS, "limit": INTEGER},
    ),
    "prompt_count": Operation("How many of one's prompts wait or run", ok(ref("PromptCount"))),
    "queue_list": Operation(
        "One's prompts that wait or run",
        ok(ref("Queue")),
        "Everybody's with `can_view_all_history`.",
    ),
    "queue_change": Operation(
        "Take waiting prompts out",
        nothing(),
        "`clear`: all of one's own. `delete`: those of them that are one's own; nothing is said of "
        f"the others. {_ANY_TYPE}",
        ref("Changes"),
    ),
    "interrupt_own": Operation(
        "Stop the prompt that runs",
        nothing(),
        "If it is one's own (and, where `prompt_id` is sent, that one); otherwise nothing happens. "
        "With `can_manage_backend` whosever it is.",
        obj({"prompt_id": TEXT}),
        needs_body=False,
    ),
    "history_list": Operation(
        "What became of one's prompts",
        ok(ref("History")),
        "`max_items` alone: the newest; with `offset` it counts from the oldest. At most 1000.",
        query={
            "max_items": Query("How many.", _MAX),
            "offset": Query("From which one on.", _MAX),
        },
    ),
    "history_one": Operation(
        "What became of a prompt",
        ok(ref("History"), "`{}` for one that has not ended, is unknown, or another's."),
    ),
    "history_change": Operation(
        "Remove entries of the history", nothing(), f"One's own only. {_ANY_TYPE}", ref("Changes")
    ),
    "jobs_list": Operation(
        "One's jobs",
        ok(ref("Jobs")),
        "Queue and history in one list, as newer ComfyUI has it; works with older ones, too.",
        query={
            "status": Query(f"Any of {', '.join(STATUSES)}, with commas between."),
            "workflow_id": Query("Only of this workflow."),
            "sort_by": Query("By what.", one_of("created_at", "execution_duration")),
            "sort_order": Query("Which way.", one_of("desc", "asc")),
            "limit": Query("At most 1000.", {**INTEGER, "minimum": 1}),
            "offset": Query("How many to leave out.", {**INTEGER, "minimum": 0}),
        },
    ),
    "job_one": Operation("One job", ok(ref("JobInFull"))),
    "job_cancel": Operation(
        "Cancel a job",
        ok(_CANCELLED, "Whether it waited or ran."),
        "Another's, or an unknown one, stays as it is: `false`.",
    ),
    "jobs_cancel": Operation(
        "Cancel several jobs",
        ok(_CANCELLED, "Whether any waited or ran."),
        "404 where one is unknown or another's; then all stay as they are.",
        obj(job_ids=array(TEXT, maxItems=1000)),
    ),
    "free_memory": Operation(
        "Have ComfyUI free memory",
        nothing(),
        body=obj({"unload_models": BOOLEAN, "free_memory": BOOLEAN}),
    ),
    "logs_subscribe": Operation(
        "Have ComfyUI's log sent to one's socket",
        nothing(),
        body=obj(clientId=TEXT, enabled=BOOLEAN),
        tag="ComfyUI: server",
    ),
    "system_stats": Operation(
        "About ComfyUI and its machine",
        ok(obj({"system": FREE, "devices": array(FREE)})),
        "`system.argv` is empty without `can_manage_backend`.",
        tag="ComfyUI: server",
    ),
    "features": Operation("What ComfyUI can do", ok(FREE), tag="ComfyUI: server"),
    "users": Operation(
        "ComfyUI's own users",
        ok(obj(storage=always("server"), migrated=always(True))),
        "They play no part here: always the same answer.",
        tag="ComfyUI: server",
    ),
    "users_add": Operation(
        "Add one of ComfyUI's own users",
        {
            200: Answer("Their id.", {JSON: TEXT}),
            400: Answer("There is one of that name, or:", {JSON: obj(error=TEXT)}),
        },
        "They play no part here.",
        obj(username=TEXT),
        tag="ComfyUI: server",
    ),
    "later": Operation(
        "Refused",
        {},
        "A route of newer ComfyUI that the gateway cannot keep apart between users yet: 403.",
        tag="ComfyUI: not available",
    ),
    "extensions": Operation(
        "Scripts that ComfyUI's page loads",
        ok(said("Addresses.", array(TEXT))),
        tag="ComfyUI: page",
    ),
}
