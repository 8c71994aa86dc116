"""Who sees whose prompts and outputs: the capability, and `SEPARATE_USERS`.

With `SEPARATE_USERS=false` all who may run prompts share queue, history and outputs. What
changes something stays with its owner, and uploads, models and settings stay apart.
"""

from django.conf import settings

from accounts.capabilities import Capability
from accounts.identity import Identity


def shares(identity: Identity) -> bool:
    """Whether this caller's queue, history and outputs are everybody's."""
    return not settings.SEPARATE_USERS and identity.can(Capability.RUN)


def sees(identity: Identity) -> int | None:
    """Whose prompts a caller sees: their own user id, or None for everybody's."""
    sees_all = identity.can(Capability.VIEW_ALL_HISTORY) or shares(identity)
    return None if sees_all else identity.user_id


def counts(identity: Identity) -> int | None:
    """Whose prompts the caller's queue size counts: their own, or, where all is shared,
    everybody's (None)."""
    return None if shares(identity) else identity.user_id


def reaches(identity: Identity) -> int | None:
    """Whose prompts a caller may stop or remove by their ids: their own, or None for
    everybody's."""
    return None if identity.can(Capability.MANAGE_BACKEND) else identity.user_id


def sees_files(identity: Identity, kind: str) -> bool:
    """Whether a caller sees everybody's files of ComfyUI's folder `kind`. What lies in temp is
    shared by its record only: uploads may lie there, too."""
    if identity.can(Capability.VIEW_ALL_HISTORY):
        return True
    return kind == "output" and shares(identity)
