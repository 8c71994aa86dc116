"""ComfyUI's own 400 for an invalid prompt, its shape unchanged, freed of what it gives away."""

from typing import Any

from comfyproxy.cachekey import without_input
from comfyproxy.filters.history import cut_paths
from comfyproxy.filters.models import Allowed, KnownModels, without_models


def shown_refusal(body: Any, known: KnownModels, allowed: Allowed) -> Any:
    """A `POST /prompt` refusal: lists of values in it are filtered as `object_info` is,
    server paths and tracebacks' roots are cut."""
    return cut_paths(_without_own_input(without_models(body, known, allowed)))


def _without_own_input(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_own_input(item) for key, item in without_input(value).items()}
    if isinstance(value, list):
        return [_without_own_input(item) for item in value]
    return value
