"""What becomes of a deleted user's things: who keeps some registers here what to do with them."""

from typing import Final, Protocol

from django.conf import settings

from accounts.errors import BadRequest
from accounts.models import User

# The answers to "what happens to their files?", in the API, the admin and the audit log.
KEEP: Final = "keep"
DELETE: Final = "delete"


class Hook(Protocol):
    """Called inside the transaction that deletes `user`, while the row is still there; what
    cannot be undone (files, other servers) belongs into `transaction.on_commit`."""

    def __call__(self, user: User, *, keep_files: bool, actor: User | None) -> None: ...


_hooks: list[Hook] = []


def register(hook: Hook) -> None:
    """Have `hook` called whenever a user is deleted. For `AppConfig.ready`; once is enough."""
    if hook not in _hooks:
        _hooks.append(hook)


def run_hooks(user: User, *, keep_files: bool, actor: User | None) -> None:
    """Call all that are registered. What one raises undoes the deletion."""
    for hook in _hooks:
        hook(user, keep_files=keep_files, actor=actor)


def keeps(answer: object) -> bool:
    """Whether an answer to the question means that the files stay.

    Raises:
        BadRequest, field `files`: neither `keep` nor `delete`
    """
    if answer not in (KEEP, DELETE):
        raise BadRequest(f"files must be {KEEP} or {DELETE}.", field="files")
    return answer == KEEP


def hidden_only() -> str:
    """A sentence where files cannot be deleted from here, only hidden; else empty."""
    unset = [
        f"COMFYUI_{kind.upper()}_DIR"
        for kind, folder in settings.COMFYUI_FOLDERS.items()
        if folder is None
    ]
    if not unset:
        return ""
    return (
        f"Set {', '.join(unset)} to have the files themselves deleted; until then they are hidden."
    )
