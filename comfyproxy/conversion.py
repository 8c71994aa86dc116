"""Saved workflows turned into prompts, for apps that run them without ComfyUI's frontend.

A converter takes a workflow as the frontend saves it and the definitions of its nodes; which
one is used says MSS_WORKFLOW_CONVERTER.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings

from accounts import errors
from accounts.identity import Identity
from comfyproxy import catalog
from comfyproxy.promptchecks import known_for, off_loop, refuse_hidden_models
from comfyproxy.prompts.shape import Graph
from comfyproxy.workflows.convert import Unconvertible, classes_of, is_prompt, to_prompt

Converter = Callable[[Mapping[str, Any], Mapping[str, Any]], Graph]
"""(workflow, `object_info` of its node classes) → prompt. Raises Unconvertible."""

CONVERTERS: Final[dict[str, Converter | None]] = {"builtin": to_prompt, "none": None}


class ConversionFailed(errors.GatewayError):
    """What a workflow stands for cannot be said with certainty, or nobody is there to say it."""

    code = "CONVERSION_FAILED"
    status = 503
    sentence = "The workflow cannot be converted. Save it in API format in ComfyUI."


def is_ready() -> bool:
    """Whether there is a converter."""
    return CONVERTERS[settings.MSS_WORKFLOW_CONVERTER] is not None


async def converted(workflow: Mapping[str, Any], identity: Identity, *, is_large: bool) -> Graph:
    """The prompt of a workflow, of the caller's models only; of what is one already, itself.

    Raises:
        BadRequest: it is no workflow at all
        ConversionFailed, field `details`: why
        ModelNotAllowed: it uses a model that the caller was not given
        UpstreamUnreachable, UpstreamTimeout
    """
    if is_prompt(workflow):
        graph = dict(workflow)
    elif isinstance(workflow.get("nodes"), list):
        graph = await _prompt(workflow)
    else:
        raise errors.BadRequest("This is no workflow: it has no list of nodes.")
    known = await known_for(graph, identity, is_large=is_large)
    await off_loop(is_large, refuse_hidden_models, graph, known, identity)
    return graph


async def _prompt(workflow: Mapping[str, Any]) -> Graph:
    converter = CONVERTERS[settings.MSS_WORKFLOW_CONVERTER]
    if converter is None:
        raise ConversionFailed(details="This server has no converter.")
    known = await catalog.current()
    try:
        classes = await asyncio.to_thread(classes_of, workflow)
        info = await asyncio.to_thread(known.definitions, classes)
        return await asyncio.to_thread(converter, workflow, info)
    except Unconvertible as error:
        raise ConversionFailed(details=error.reason) from None
