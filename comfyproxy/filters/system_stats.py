"""`GET /system_stats` without what tells about the server."""

from typing import Any, Final

# ComfyUI's page offers ComfyUI-Manager if it finds these (frontend 1.27 to 1.58, managerState).
_OF_MANAGER: Final = frozenset({"--enable-manager", "--enable-manager-legacy-ui"})


def shown_stats(stats: Any, *, whole: bool, manager: bool) -> Any:
    """`system.argv`, which holds server paths and options, only for who may see it as a `whole`.
    Of it everybody who may use ComfyUI-Manager is told whether there is one, and nobody else.
    The key stays; the frontend reads it. What is not shaped like ComfyUI's answer is dropped."""
    if not isinstance(stats, dict) or not isinstance(stats.get("system"), dict):
        return stats if whole else {}
    argv = stats["system"].get("argv")
    shown = [
        each
        for each in (argv if isinstance(argv, list) else [])
        if (manager if each in _OF_MANAGER else whole)
    ]
    return {**stats, "system": {**stats["system"], "argv": shown}}
