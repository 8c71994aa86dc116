"""Which scripts of custom nodes ComfyUI's page loads for somebody."""

from typing import Any, Final

# ComfyUI-Manager's folder is called after its repository (up to 3.x) or its package (4).
_MANAGERS: Final = ("/extensions/comfyui-manager/", "/extensions/comfyui_manager/")


def shown_extensions(listed: Any, *, manager: bool) -> list[str]:
    """`GET /extensions` of ComfyUI (0.3.64: a list of addresses). Who may not use
    ComfyUI-Manager is not offered it: every one of its buttons would be refused."""
    if not isinstance(listed, list):
        return []
    addresses = [each for each in listed if isinstance(each, str)]
    if manager:
        return addresses
    return [each for each in addresses if not each.lower().startswith(_MANAGERS)]
