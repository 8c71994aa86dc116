"""What administrators do with people's files, each with its audit row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from accounts import errors, ranks
from accounts.audit import audit
from accounts.models import User
from comfyproxy.models import FormerNamespace
from comfyproxy.userdata import trees
from comfyproxy.userdata.entries import Entry
from comfyproxy.userdata.names import WORKFLOWS, is_workflow, parse

SHARED_NAME: Final = "shared by all"
# Copies of one step: each is safely on the disk before the next.
MAX_COPIES: Final = 2000


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose files: a user's, a deleted user's whose files were kept, or what all share.
    `key` is what addresses call it."""

    key: str
    name: str
    namespace: str | None = None
    user: User | None = None

    @classmethod
    def of_user(cls, user: User) -> Self:
        return cls(f"user-{user.pk}", user.username, user.namespace, user)

    @classmethod
    def of_former(cls, former: FormerNamespace) -> Self:
        name = f"{former.username} (deleted)"
        return cls(f"former-{former.pk}", name, former.namespace)

    @property
    def tree(self) -> trees.Tree:
        """Their files."""
        return trees.shared() if self.namespace is None else trees.of_user(self.namespace)


SHARED: Final = Holder("shared", SHARED_NAME)


def find(key: str) -> Holder | None:
    """The holder that an address names."""
    kind, _, number = key.partition("-")
    if key == SHARED.key:
        return SHARED
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return None
    if kind == "user":
        user = User.objects.filter(pk=number).first()
        return None if user is None else Holder.of_user(user)
    former = FormerNamespace.objects.filter(pk=number, keep_files=True).first()
    return Holder.of_former(former) if former is not None and kind == "former" else None


@dataclass(frozen=True, slots=True)
class Act:
    """Who does it, and from where: for the audit log."""

    actor: User
    ip: str | None = None

    def require_change(self, holder: Holder) -> None:
        """Raise PermissionDenied unless they may change that holder's files."""
        if holder.user is not None and not ranks.may_manage(self.actor, holder.user):
            raise errors.PermissionDenied("This user's role ranks above yours.")

    def tell(self, event: str, holder: Holder, **details: Any) -> None:
        audit(
            event,
            actor=self.actor,
            subject=holder.user,
            ip=self.ip,
            files_of=holder.name,
            **details,
        )


def upload(holder: Holder, path: str, data: bytes, *, act: Act) -> Entry:
    """Save a file in somebody's tree. Raises as `Tree.write`."""
    act.require_change(holder)
    if holder is SHARED:
        _require_workflow(path)
    entry = holder.tree.write(parse(path), data)
    act.tell("files.uploaded", holder, path=path, size=len(data))
    return entry


def delete(holder: Holder, paths: Iterable[str], *, act: Act) -> int:
    """Delete files; they can be restored for a while. How many were there. Raises as
    `Tree.delete`, but for NotFound."""
    act.require_change(holder)
    gone = []
    for path in paths:
        try:
            holder.tree.delete(parse(path))
        except errors.NotFound:
            continue
        gone.append(path)
    if gone:
        act.tell("files.deleted", holder, paths=gone)
    return len(gone)


def purge(holder: Holder, *, act: Act) -> int:
    """Delete all files of somebody; they can be restored for a while. How many there were."""
    act.require_change(holder)
    number = holder.tree.clear()
    act.tell("files.purged", holder, number=number)
    return number


def restore(holder: Holder, version_id: str, *, act: Act) -> Entry:
    """Make a former version the file again. Raises as `Tree.restore`."""
    act.require_change(holder)
    entry = holder.tree.restore(version_id)
    act.tell("files.restored", holder, path=entry.path)
    return entry


def promote(holder: Holder, path: str, *, delete_source: bool, act: Act) -> Entry:
    """Share a workflow with all. What they shared under that name is kept as a version.

    Raises:
        NotFound; BadRequest: it is no workflow; and as `Tree.write`
    """
    _require_workflow(path)
    if delete_source:
        act.require_change(holder)
    _, data = holder.tree.read(parse(path))
    entry = trees.shared().write(path, data)
    act.tell("files.promoted", holder, path=path, source_deleted=delete_source)
    if delete_source:
        holder.tree.delete(path)
    return entry


def copy(
    holder: Holder, paths: list[str], users: list[User], *, overwrite: bool, act: Act
) -> tuple[int, int]:
    """Give users copies of somebody's files, under the same names. Files of theirs of that name
    stay as they are, or, with `overwrite`, are kept as versions. (copied, left out: also where
    a user has no room).

    Raises:
        BadRequest: too many at once; NotFound; and as `Tree.write`
    """
    if len(paths) * len(users) > MAX_COPIES:
        raise errors.BadRequest(f"These are more than {MAX_COPIES} copies. Choose fewer.")
    targets = [Holder.of_user(user) for user in users]
    for target in targets:
        act.require_change(target)
    copied: dict[Holder, list[str]] = {target: [] for target in targets}
    left = 0
    try:
        for path in paths:
            # One file at a time is in memory.
            data = holder.tree.read(parse(path))[1]
            for target in targets:
                try:
                    target.tree.write(path, data, overwrite=overwrite)
                except (errors.Conflict, errors.QuotaExceeded, errors.BadRequest):
                    left += 1
                else:
                    copied[target].append(path)
    finally:
        # Also of what was done before something went wrong.
        for target, done in copied.items():
            if done:
                act.tell("files.copied", target, paths=done, copied_from=holder.name)
    return sum(map(len, copied.values())), left


def _require_workflow(path: str) -> None:
    if not is_workflow(path) or "/" not in path:
        raise errors.BadRequest(f"Only what lies in {WORKFLOWS} can be shared.")
