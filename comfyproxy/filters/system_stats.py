"""`GET /system_stats` without what tells about the server."""

from typing import Any


def without_argv(stats: Any) -> Any:
    """`system.argv` emptied: it holds server paths and options. The key stays; the frontend
    reads it. What is not shaped like ComfyUI's answer is dropped."""
    if not isinstance(stats, dict) or not isinstance(stats.get("system"), dict):
        return {}
    return {**stats, "system": {**stats["system"], "argv": []}}
