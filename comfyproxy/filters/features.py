"""`GET /features` and the socket's `feature_flags` as the gateway can stand by them."""

from typing import Any


def shown_features(flags: Any) -> Any:
    """Without the assets API: it knows no owners, so the gateway refuses it, and the frontend
    then uses history and files instead (ComfyUI from 2026 on; absent before). No flags where
    the answer is not shaped like ComfyUI's."""
    if not isinstance(flags, dict):
        return {}
    return {**flags, "assets": False} if "assets" in flags else flags
