"""`POST /prompt`: checked, rewritten for its owner, recorded, then given to ComfyUI."""

from collections.abc import Iterable
from typing import Any, Final, NoReturn

from django.conf import settings

from accounts import errors
from accounts.capabilities import Capability
from accounts.identity import Identity
from comfyproxy import catalog, ownership, upstream
from comfyproxy.calls import Call, Reply, json_reply
from comfyproxy.catalog import Catalog
from comfyproxy.files import FileRef
from comfyproxy.filters.errors import shown_refusal
from comfyproxy.filters.models import looks_like_model
from comfyproxy.hub import hub
from comfyproxy.prompts.mapping import (
    FileUse,
    Refused,
    candidates,
    file_uses,
    foreign_mentions,
    rewritten,
)
from comfyproxy.prompts.shape import MAX_BODY_BYTES, Graph, Submission, parse_submission
from comfyproxy.prompts.uses import Place, hidden_models, inputs, texts

# ComfyUI core's node that sends finished pictures over the socket instead of saving them.
RESULT_NODE: Final = "SaveImageWebsocket"


async def prompt_submit(call: Call) -> Reply:
    """Answer as ComfyUI does: `{prompt_id, number, node_errors}`, or its own 400."""
    body = await call.read(MAX_BODY_BYTES)
    submission = parse_submission(body, max_nodes=settings.MSS_MAX_PROMPT_NODES)
    identity = call.identity
    known = await _catalog_for(submission.graph, identity)
    _refuse_blocked_nodes(submission.graph, identity)
    _refuse_hidden_models(submission.graph, known, identity)
    graph = await _own_graph(submission.graph, known, identity)
    return await _submit(submission, graph, known, identity)


async def _catalog_for(graph: Graph, identity: Identity) -> Catalog:
    """The catalog; anew if the prompt may name a model or a node that came after it."""
    found = await catalog.current()
    unknown_node = any(node["class_type"] not in found.info for node in graph.values())
    if unknown_node or any(
        looks_like_model(text) and not found.models.find(text)
        for _, value in inputs(graph)
        for text in texts(value)
    ):
        return await catalog.current(catalog.MIN_AGE_SECONDS)
    return found


def _refuse_blocked_nodes(graph: Graph, identity: Identity) -> None:
    blocked = identity.blocked_node_classes
    places = [
        (Place(node_id, ""), "Your role may not use this node.")
        for node_id, node in graph.items()
        if node["class_type"] in blocked
    ]
    if places:
        _refuse(errors.NodeNotAllowed, "node_not_allowed", graph, places)


def _refuse_hidden_models(graph: Graph, known: Catalog, identity: Identity) -> None:
    allowed = catalog.allowed_models(identity)
    found = list(hidden_models(graph, known.specs, known.models, allowed))
    if not found:
        return
    places = [
        (
            hidden.place,
            f"You were not given {hidden.model.folder}/{hidden.model.name}."
            if hidden.model
            else "Choose the model here; which one the link gives cannot be checked.",
        )
        for hidden in found
    ]
    _refuse(errors.ModelNotAllowed, "model_not_allowed", graph, places)


async def _own_graph(graph: Graph, known: Catalog, identity: Identity) -> Graph:
    """The graph with its files and prefixes inside the caller's folders."""
    sees_all = identity.can(Capability.VIEW_ALL_HISTORY)
    namespace = identity.namespace
    refused = list(foreign_mentions(graph, known.specs, namespace, sees_all=sees_all))
    files: dict[tuple[Place, str], FileRef] = {}
    for use in file_uses(graph, known.specs):
        ref = await _resolved(use, namespace, sees_all) if isinstance(use, FileUse) else None
        if isinstance(use, FileUse) and ref is not None:
            files[use.place, use.text] = ref
        else:
            refused.append(Refused(use.place, use.text))
    result, outside = rewritten(graph, known.specs, namespace, files, sees_all=sees_all)
    if refused or outside:
        places = [
            (item.place, "Choose a file of your own, or a name inside your own folder.")
            for item in (*refused, *outside)
        ]
        _refuse(errors.FileNotAllowed, "file_not_allowed", graph, places)
    return result


async def _resolved(use: FileUse, namespace: str, sees_all: bool) -> FileRef | None:
    options = candidates(use.ref, namespace, sees_all=sees_all)
    if not options:
        return None
    *earlier, last = options
    for option in earlier:
        if await upstream.exists(option.filename, option.subfolder, option.type):
            return option
    return last


def _refuse(
    refusal: type[errors.GatewayError],
    kind: str,
    graph: Graph,
    places: Iterable[tuple[Place, str]],
) -> NoReturn:
    """Refuse in the shape in which ComfyUI's frontend marks the nodes."""
    node_errors: dict[str, Any] = {}
    first = ""
    for place, message in places:
        first = first or message
        node = node_errors.setdefault(
            place.node_id,
            {
                "class_type": graph[place.node_id]["class_type"],
                "errors": [],
                "dependent_outputs": [],
            },
        )
        node["errors"].append(
            {
                "type": kind,
                "message": message,
                "details": place.input_name,
                "extra_info": {"input_name": place.input_name},
            }
        )
    raise refusal(f"{refusal.sentence} {first}", node_errors=node_errors)


async def _submit(
    submission: Submission, graph: Graph, known: Catalog, identity: Identity
) -> Reply:
    results = [node_id for node_id, node in graph.items() if node["class_type"] == RESULT_NODE]
    prompt_id, number = await ownership.record(
        identity.user_id, submission.prompt_id, submission.client_id, results
    )
    payload = _payload(submission, graph, prompt_id, identity)
    try:
        status, answer = await upstream.request_json("POST", "/prompt", payload)
    except errors.UpstreamUnreachable:
        await ownership.not_accepted(prompt_id)
        raise
    # A time-out leaves the record: ComfyUI may have taken the prompt.
    if status != 200 or not isinstance(answer, dict):
        await ownership.not_accepted(prompt_id)
        return _refused(status, answer, known, identity)
    await ownership.accepted(prompt_id)
    hub.prompt_accepted()
    shown = shown_refusal(answer, known.models, catalog.allowed_models(identity))
    return json_reply({**shown, "prompt_id": prompt_id, "number": number})


def _payload(
    submission: Submission, graph: Graph, prompt_id: str, identity: Identity
) -> dict[str, Any]:
    client_id = ownership.upstream_client_id(identity.namespace, submission.client_id)
    payload: dict[str, Any] = {
        "prompt": graph,
        "prompt_id": prompt_id,
        "client_id": client_id,
        "extra_data": {**submission.extra_data, "client_id": client_id},
    }
    if submission.targets is not None:
        payload["partial_execution_targets"] = submission.targets
    if identity.can(Capability.MANAGE_BACKEND):
        if submission.front:
            payload["front"] = True
        if submission.number is not None:
            payload["number"] = submission.number
    return payload


def _refused(status: int, answer: Any, known: Catalog, identity: Identity) -> Reply:
    if status == errors.TooLarge.status:
        raise errors.TooLarge
    if status >= 500 or not isinstance(answer, dict):
        raise errors.UpstreamUnreachable("ComfyUI failed on this prompt. Check its nodes.")
    allowed = catalog.allowed_models(identity)
    return json_reply(shown_refusal(answer, known.models, allowed), status)
