"""What a former role may do, as capabilities. Pure.

What is not said is decided as there: running, uploading, the API and (but for guests) workflows
were open unless they were forbidden, all else closed unless it was allowed (routes/auth.py,
utils/access_control.py, utils/model_visibility_policy.py). One exception: ComfyUI-Manager was open
to whoever it was not forbidden to; it installs programs, so here it takes a word.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from accounts.capabilities import Capability

OPEN: Final = frozenset(
    {
        Capability.RUN,
        Capability.UPLOAD,
        Capability.ACCESS_API,
        Capability.MODIFY_WORKFLOWS,
    }
)
# All that a former role could say of them; the others are new here.
MAPPED: Final = OPEN | {
    Capability.ACCESS_MANAGER,
    Capability.HAVE_API_TOKENS,
    Capability.HAVE_NON_EXPIRING_JWT,
    Capability.VIEW_ALL_COMFYUI_ITEMS,
    Capability.DOWNLOAD_MODELS,
    Capability.MANAGE_MODEL_SHARING,
    Capability.SEE_RESTRICTED_SETTINGS,
}
GUEST: Final = "guest"
MFA_REQUIRED: Final = "mfa_required"
# What of ComfyUI's page was hidden from the role.
_OF_THE_PAGE: Final = ("ui_", "cat_", "settings_")
_WITHOUT_COUNTERPART: Final = {
    "can_view_console": "people's consoles are not kept here",
    "can_access_s3_storage": "models in a bucket are given like any other",
    "can_manage_extensions": "custom nodes' routes need can_access_extensions here; give it to "
    "the role if it needs them",
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a role may do here; `left`: permissions that are not granted, each with the reason."""

    capabilities: frozenset[Capability]
    mfa_required: bool
    left: tuple[tuple[str, str], ...]


def mapped(name: str, permissions: Mapping[str, Any]) -> Mapped:
    """What these permissions of the role of that name are here."""
    unsaid = OPEN - {Capability.MODIFY_WORKFLOWS} if name == GUEST else OPEN
    held = {each for each in MAPPED if _is_open(permissions.get(each), each in unsaid)}
    left = []
    for key, value in sorted(permissions.items()):
        if key in MAPPED or key == MFA_REQUIRED:
            if not isinstance(value, bool):
                left.append((key, "it is neither true nor false"))
        elif value is not False and not key.startswith(_OF_THE_PAGE):
            left.append((key, _WITHOUT_COUNTERPART.get(key, "there is no such capability here")))
    return Mapped(frozenset(held), permissions.get(MFA_REQUIRED) is True, tuple(left))


def _is_open(value: Any, unsaid: bool) -> bool:
    return value is True or (value is None and unsaid)


def sayable(groups: Iterable[Mapping[str, Any]]) -> frozenset[Capability]:
    """What that release could say of a role at all: for the rest, nothing follows from silence."""
    said = {key for permissions in groups for key in permissions}
    return OPEN | {each for each in MAPPED if each in said}
