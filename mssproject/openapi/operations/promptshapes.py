"""ComfyUI's prompts, queue and history, as the gateway shows them."""

from typing import Final

from mssproject.openapi.shapes import (
    ANY,
    INTEGER,
    NUMBER,
    TEXT,
    UUID,
    Shape,
    array,
    mapping,
    nullable,
    obj,
    one_of,
    ref,
    said,
)

_LINK: Final = "a link is `[node id, output number]`"
SCHEMAS: Final[dict[str, Shape]] = {
    "Graph": said(
        "Node id → node, as ComfyUI's “API format”.",
        mapping(
            obj(
                {"_meta": mapping(ANY)},
                class_type=TEXT,
                inputs=said(f"Input → value; {_LINK}.", mapping(ANY)),
            )
        ),
    ),
    "ExtraData": obj({"extra_pnginfo": mapping(ANY), "client_id": TEXT}),
    "Prompt": obj(
        {
            "client_id": said("The `clientId` of one's WebSocket, to hear of the prompt.", TEXT),
            "prompt_id": said("A UUID that nobody has used; else the gateway makes one.", UUID),
            "extra_data": ref("ExtraData"),
            "number": said("Needs `can_manage_backend`, else it is dropped.", NUMBER),
            "front": said("Likewise.", {"type": "boolean"}),
            "partial_execution_targets": nullable(array(TEXT)),
        },
        prompt=ref("Graph"),
    ),
    "NodeError": obj(
        {"class_type": TEXT, "dependent_outputs": array(TEXT)},
        errors=array(
            obj(
                {"extra_info": ANY},
                type=said("`model_not_allowed`, `file_not_allowed`, …, or ComfyUI's own.", TEXT),
                message=TEXT,
                details=TEXT,
            )
        ),
    ),
    "NodeErrors": said(
        "Node id → what is wrong with it; ComfyUI's page marks these nodes.",
        {"anyOf": [mapping(ref("NodeError")), array(ANY, maxItems=0)]},
    ),
    "Accepted": obj(
        prompt_id=TEXT,
        number=said("The caller's own counter.", NUMBER),
        node_errors=ref("NodeErrors"),
    ),
    "InvalidPrompt": said(
        "ComfyUI's own refusal of a prompt, in its own shape.",
        obj(
            error=obj({"extra_info": ANY}, type=TEXT, message=TEXT, details=TEXT),
            node_errors=ref("NodeErrors"),
        ),
    ),
    "QueueItem": said(
        "`[number, prompt id, graph, extra data, outputs]`",
        {
            "type": "array",
            "prefixItems": [NUMBER, TEXT, ref("Graph"), ref("ExtraData"), array(TEXT)],
            "minItems": 4,
        },
    ),
    "Queue": obj(queue_running=array(ref("QueueItem")), queue_pending=array(ref("QueueItem"))),
    "Outputs": said(
        "Node id → what it made. Whatever has `filename`, `subfolder` and `type` is a file that "
        "`/view` shows under these.",
        mapping(mapping(ANY)),
    ),
    "HistoryEntry": obj(
        {
            "status": nullable(
                obj(
                    {
                        "status_str": one_of("success", "error"),
                        "completed": {"type": "boolean"},
                        "messages": array(ANY),
                    }
                )
            ),
            "meta": ANY,
        },
        prompt=ref("QueueItem"),
        outputs=ref("Outputs"),
    ),
    "History": said("Prompt id → what became of it, oldest first.", mapping(ref("HistoryEntry"))),
    "Changes": obj(
        {
            "clear": {"type": "boolean"},
            "delete": said("Prompt ids.", nullable(array(TEXT, maxItems=1000))),
        }
    ),
    "PromptCount": obj(exec_info=obj(queue_remaining=INTEGER)),
}
