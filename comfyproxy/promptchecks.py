"""What a prompt may name: judged by what ComfyUI has now and what the caller was given."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from accounts import errors
from accounts.capabilities import Capability
from accounts.identity import Identity
from comfyproxy import catalog
from comfyproxy.catalog import Catalog
from comfyproxy.filters.models import everything
from comfyproxy.prompts.shape import Graph
from comfyproxy.prompts.uses import Place, hidden_models, names_unknown_model

MAX_SAID_CHARS: Final = 200

P = ParamSpec("P")
T = TypeVar("T")


async def known_for(graph: Graph, identity: Identity, *, is_large: bool) -> Catalog:
    """What ComfyUI has, new enough for all that the prompt names.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    known = await catalog.current()
    classes = {node["class_type"] for node in graph.values()}
    await known.prepare_for(classes)
    if await off_loop(is_large, _names_unknown, graph, known, identity):
        known = await catalog.fresh(identity.user_id)
        await known.prepare_for(classes)
    if known.unread and catalog.allowed_models(identity) is not everything:
        folders = ", ".join(sorted(known.unread))
        raise errors.UpstreamUnreachable(
            f"ComfyUI does not tell which models it has in {folders}. Tell the administrator."
        )
    return known


async def off_loop(is_large: bool, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it; for a large prompt in a thread, as everybody else waits for the event loop."""
    if is_large:
        return await asyncio.to_thread(func, *args, **kwargs)
    return func(*args, **kwargs)


def _names_unknown(graph: Graph, known: Catalog, identity: Identity) -> bool:
    """Whether the prompt may name a node, or to whom it matters a model, newer than `known`."""
    if any(node["class_type"] not in known.specs for node in graph.values()):
        return True
    return catalog.allowed_models(identity) is not everything and names_unknown_model(
        graph, known.specs, known.models
    )


def unknown_node(graph: Graph, known: Catalog, identity: Identity) -> dict[str, Any] | None:
    """ComfyUI's own refusal (0.3.64, execution.py, validate_prompt) where a prompt uses a class
    that it does not tell of; None: it uses none.

    Newer versions of ComfyUI put another class in the place of one that they no longer have:
    what that would be given could not be judged. Who may use everything needs no judgement.
    """
    sees_all = catalog.allowed_models(identity) is everything
    if sees_all and identity.can(Capability.VIEW_ALL_HISTORY) and not identity.blocked_node_classes:
        return None
    for node_id, node in graph.items():
        class_type = node["class_type"]
        if class_type not in known.specs:
            error = {
                "type": "invalid_prompt",
                "message": f"Cannot execute because node {class_type[:MAX_SAID_CHARS]} does not "
                "exist.",
                "details": f"Node ID '#{node_id[:MAX_SAID_CHARS]}'",
                "extra_info": {},
            }
            return {"error": error, "node_errors": {}}
    return None


def refuse_blocked_nodes(graph: Graph, identity: Identity) -> None:
    """Raise NodeNotAllowed, the nodes marked, if the caller's role blocks some of them."""
    blocked = identity.blocked_node_classes
    places = [
        (Place(node_id, ""), "Your role may not use this node.")
        for node_id, node in graph.items()
        if node["class_type"] in blocked
    ]
    if places:
        refuse(errors.NodeNotAllowed, "node_not_allowed", graph, places)


def refuse_hidden_models(graph: Graph, known: Catalog, identity: Identity) -> None:
    """Raise ModelNotAllowed, the nodes marked, if some name a model not given to the caller.

    BadRequest for more names in one text than can be looked for.
    """
    allowed = catalog.allowed_models(identity)
    found = list(hidden_models(graph, known.specs, known.models, allowed))
    if not found:
        return
    places = [
        (
            hidden.place,
            # As it is named there: the whole path would tell where it lies.
            f"You were not given {hidden.model.folder}/{hidden.said[:MAX_SAID_CHARS]}."
            if hidden.model
            else "Choose the model here; which one the link gives cannot be checked.",
        )
        for hidden in found
    ]
    refuse(errors.ModelNotAllowed, "model_not_allowed", graph, places)


def refuse(
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
