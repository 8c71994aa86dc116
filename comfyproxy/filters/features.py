"""`GET /features` and the socket's `feature_flags` as the gateway can stand by them."""

from typing import Any


def shown_features(flags: Any) -> Any:
    """Without the assets API: it knows no owners, so the gateway refuses it, and the frontend
    then uses history and files instead (ComfyUI from 2026 on; absent before)."""
    if isinstance(flags, dict) and "assets" in flags:
        return {**flags, "assets": False}
    return flags
