"""The capabilities a role can hold, and the roles a new installation starts with.

This list is the only place where a capability is named into being; the route table, the
admin and the API refer to it. API.md section 2.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from accounts.sentences import english


class Capability(StrEnum):
    """What an identity may do. The value is the Django permission's codename."""

    RUN = "can_run"
    UPLOAD = "can_upload"
    ACCESS_API = "can_access_api"
    ACCESS_MANAGER = "can_access_manager"
    ACCESS_EXTENSIONS = "can_access_extensions"
    MODIFY_WORKFLOWS = "can_modify_workflows"
    HAVE_API_TOKENS = "can_have_api_tokens"
    HAVE_NON_EXPIRING_JWT = "can_have_non_expiring_jwt"
    VIEW_ALL_COMFYUI_ITEMS = "can_view_all_comfyui_items"
    DOWNLOAD_MODELS = "can_download_models"
    MANAGE_MODEL_SHARING = "can_manage_model_sharing"
    SEE_RESTRICTED_SETTINGS = "can_see_restricted_settings"
    MANAGE_BACKEND = "can_manage_backend"
    VIEW_ALL_HISTORY = "can_view_all_history"


DESCRIPTIONS: Final[dict[Capability, str]] = {
    Capability.RUN: english("Run prompts, and cancel or remove one's own"),
    Capability.UPLOAD: english("Upload pictures and masks"),
    Capability.ACCESS_API: english("Use ComfyUI's pages and API at all"),
    Capability.ACCESS_MANAGER: english("Use ComfyUI-Manager"),
    Capability.ACCESS_EXTENSIONS: english("Use routes added by custom nodes"),
    Capability.MODIFY_WORKFLOWS: english("Save, move and delete one's own workflows"),
    Capability.HAVE_API_TOKENS: english("Create API tokens"),
    Capability.HAVE_NON_EXPIRING_JWT: english("Create API tokens that never expire"),
    Capability.VIEW_ALL_COMFYUI_ITEMS: english("See and use every model"),
    Capability.DOWNLOAD_MODELS: english("Download models from CivitAI and Hugging Face"),
    Capability.MANAGE_MODEL_SHARING: english("Grant models to others"),
    Capability.SEE_RESTRICTED_SETTINGS: english(
        "See and change settings that are locked for others"
    ),
    Capability.MANAGE_BACKEND: english("Free memory, interrupt others, clear the whole queue"),
    Capability.VIEW_ALL_HISTORY: english("See other users' queue, history and outputs"),
}


@dataclass(frozen=True, slots=True)
class DefaultRole:
    """A role that the first migration makes; afterwards the admin may change it."""

    slug: str
    name: str
    rank: int
    capabilities: frozenset[Capability]
    is_staff: bool = False


# Ranks leave room for roles made between them. Who ranks from ADMIN_RANK on administrates
# everything; nobody manages a user whose rank is above their own.
OWNER_RANK: Final = 100
ADMIN_RANK: Final = 80
OWNER_SLUG: Final = "owner"
ADMIN_SLUG: Final = "admin"

_USER = frozenset(
    {
        Capability.RUN,
        Capability.UPLOAD,
        Capability.ACCESS_API,
        Capability.MODIFY_WORKFLOWS,
        Capability.HAVE_API_TOKENS,
    }
)
_POWER = _USER | {
    Capability.ACCESS_EXTENSIONS,
    Capability.ACCESS_MANAGER,
    Capability.DOWNLOAD_MODELS,
    Capability.VIEW_ALL_COMFYUI_ITEMS,
}

DEFAULT_ROLES: Final = (
    DefaultRole(OWNER_SLUG, english("Owner"), OWNER_RANK, frozenset(Capability), is_staff=True),
    DefaultRole(ADMIN_SLUG, english("Admin"), ADMIN_RANK, frozenset(Capability), is_staff=True),
    DefaultRole("power", english("Power user"), 60, _POWER),
    DefaultRole("user", english("User"), 40, _USER),
    DefaultRole("guest", english("Guest"), 20, frozenset({Capability.ACCESS_API})),
)
