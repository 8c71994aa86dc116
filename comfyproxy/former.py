"""What becomes of a deleted user's prompts and files: given to the owner, or they go too."""

from collections.abc import Collection
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts import deletion
from accounts.capabilities import OWNER_SLUG
from accounts.handover import hand_over
from accounts.models import User
from comfyproxy import ownership, tasks, tombstones
from comfyproxy.models import FileOwner, FileRecord, FormerNamespace, PromptRecord


def connect() -> None:
    """Be asked when a user is deleted."""
    deletion.register(user_deleted)


def user_deleted(user: User, *, keep_files: bool, actor: User | None) -> None:
    """Write down what is to be cleared away, before the user's own rows go with them.

    Kept things become the owner's, so that ends and files stay known; without an owner
    their records go, and what lies in the folder is kept all the same.
    """
    prompts = PromptRecord.objects.filter(user=user)
    known = [str(pid) for pid in prompts.values_list("prompt_id", flat=True)]
    held = Q(state__in=PromptRecord.UNFINISHED) if keep_files else Q(listed=True)
    former = FormerNamespace.objects.create(
        namespace=user.namespace,
        username=user.username,
        keep_files=keep_files,
        prompt_ids=[str(pid) for pid in prompts.filter(held).values_list("prompt_id", flat=True)],
    )
    heir = User.objects.filter(role__slug=OWNER_SLUG).first() if keep_files else None
    if heir is not None:
        _give(user, heir)
    elif keep_files:
        _only_theirs(user).delete()
    else:
        inside = Q(subfolder=user.namespace) | Q(subfolder__startswith=f"{user.namespace}/")
        _only_theirs(user).filter(inside).delete()
        _only_theirs(user).update(former=former)
    transaction.on_commit(partial(_committed, known))


def _give(user: User, heir: User) -> None:
    PromptRecord.objects.filter(user=user).update(user=heir)
    mine = FileOwner.objects.filter(user=user)
    theirs = FileOwner.objects.filter(user=heir, prompt=None, file=OuterRef("file"))
    mine.filter(Exists(theirs), prompt=None).delete()
    mine.update(user=heir)


def _only_theirs(user: User) -> QuerySet[FileRecord]:
    """Records of files that nobody else owns too."""
    owners = FileOwner.objects.filter(file=OuterRef("pk"))
    return FileRecord.objects.filter(
        Exists(owners.filter(user=user)), ~Exists(owners.exclude(user=user))
    )


def _committed(prompt_ids: Collection[str]) -> None:
    ownership.forget(prompt_ids)
    tombstones.changed()
    hand_over(tasks.clear_former.name)
