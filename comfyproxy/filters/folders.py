"""Lists of files and folders as one user may see them: nothing of another's namespace.

Nodes such as LoadImageSetFromFolder offer every folder below `input`, custom nodes every
file in them; a namespace is the first folder of such a name.
"""

import re
from typing import Any, Final

from comfyproxy.files import namespace_of

# A name as ComfyUI's texts quote it from a list (`'x' not in ['u-…', 'u-…/a.png']`).
_NAME: Final = r"'(u-[a-z0-9]{10}(?:/[^']*)?)'"
_STARTS: Final = ("u-", "U-")
_QUOTED: Final = (re.compile(f", {_NAME}"), re.compile(f"{_NAME}(?:, )?"))


def without_foreign(value: Any, namespace: str) -> Any:
    """Any JSON with every list in it, those that its texts quote too, freed of names that lie
    in another user's namespace."""
    if isinstance(value, str):
        for quoted in _QUOTED:
            value = quoted.sub(
                lambda found: "" if is_foreign(found[1], namespace) else found[0], value
            )
        return value
    if isinstance(value, list):
        return [
            without_foreign(item, namespace) for item in value if not is_foreign(item, namespace)
        ]
    if isinstance(value, dict):
        return {
            key: "" if key == "default" and is_foreign(item, namespace) else kept
            for key, item in value.items()
            for kept in (without_foreign(item, namespace),)
        }
    return value


def is_foreign(value: Any, namespace: str | None) -> bool:
    """Whether this is the name of something in a namespace, and not in this one."""
    # Asked for every value of every list: nearly all are told by how they begin.
    if not isinstance(value, str) or not value.startswith(_STARTS):
        return False
    found = namespace_of(value.replace("\\", "/"))
    return found is not None and found != namespace


def names_any(value: Any) -> bool:
    """Whether a list or a default anywhere in this JSON names something in a namespace."""
    if isinstance(value, list):
        return any(is_foreign(item, None) or names_any(item) for item in value)
    if isinstance(value, dict):
        return is_foreign(value.get("default"), None) or any(map(names_any, value.values()))
    return False
