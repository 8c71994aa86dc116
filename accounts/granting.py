"""Give and take away models: each change with its audit row, at work from the next request on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db import IntegrityError, router, transaction

from accounts import errors
from accounts.audit import audit
from accounts.authentication import forget_everyone, forget_user
from accounts.grants import ANY, current_folder, plain_name
from accounts.models import ModelGrant, Role, User

Holder = User | Role | Group

MAX_FOLDER_CHARS: Final = 100
MAX_NAME_CHARS: Final = 500
MAX_BACKEND_CHARS: Final = 200
# Each makes a pattern dearer to compare.
MAX_STARS: Final = 4
# At most so many in one import or one click.
MAX_AT_ONCE: Final = 20_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_FOLDER: Final = re.compile(r"[\w. -]+")


@dataclass(frozen=True, slots=True)
class Item:
    """What is given: a folder's present name, a model's name or a pattern, where it is."""

    folder: str
    item_name: str
    source_backend: str = ""


def item(folder: Any, item_name: Any, source_backend: Any = "") -> Item:
    """A well-formed item. A model that does not exist (yet) may be given.

    Raises:
        BadRequest with `field`
    """
    if not isinstance(folder, str) or not (folder == ANY or _FOLDER.fullmatch(folder)):
        raise errors.BadRequest("folder must name a model folder.", field="folder")
    if len(folder) > MAX_FOLDER_CHARS:
        raise errors.BadRequest("folder is too long.", field="folder")
    if not isinstance(item_name, str) or not item_name.strip() or _CONTROL.search(item_name):
        raise errors.BadRequest("item_name must name a model.", field="item_name")
    name = plain_name(item_name).strip("/")
    if not name or len(name) > MAX_NAME_CHARS:
        raise errors.BadRequest("item_name is too long.", field="item_name")
    if re.sub(r"\*+", "*", name).count(ANY) > MAX_STARS:
        raise errors.BadRequest(f"item_name may hold at most {MAX_STARS} stars.", field="item_name")
    if any(part in (".", "..") for part in name.split("/")):
        raise errors.BadRequest("item_name leaves its folder.", field="item_name")
    backend = "" if source_backend is None else source_backend
    if not isinstance(backend, str) or len(backend) > MAX_BACKEND_CHARS or _CONTROL.search(backend):
        raise errors.BadRequest("source_backend must be text.", field="source_backend")
    return Item(current_folder(folder), name, "" if backend == "local" else backend)


def holder_field(holder: Holder) -> str:
    """The field of a grant that names such a holder."""
    if isinstance(holder, User):
        return "user"
    return "role" if isinstance(holder, Role) else "team"


def grants_of(holder: Holder) -> list[ModelGrant]:
    """What a holder was given itself, by folder and name."""
    rows = ModelGrant.objects.filter(**{holder_field(holder): holder})
    return list(rows.select_related("granted_by"))


@transaction.atomic
def grant(
    holder: Holder, items: Iterable[Item], *, actor: User | None, ip: str | None = None
) -> list[ModelGrant]:
    """Give these models; those that the holder has already stay as they are. All rows.

    Raises:
        BadRequest: too many at once
    """
    wanted = _bounded(items)
    field = holder_field(holder)
    had = {_item(row) for row in grants_of(holder)}
    new = [wanted_item for wanted_item in wanted if wanted_item not in had]
    rows = [
        ModelGrant(
            **{field: holder},
            folder=each.folder,
            item_name=each.item_name,
            source_backend=each.source_backend,
            granted_by=actor,
            granted_by_role=actor.role_id if actor is not None else "",
        )
        for each in new
    ]
    try:
        with transaction.atomic():
            ModelGrant.objects.bulk_create(rows, ignore_conflicts=True)
    except IntegrityError:
        raise errors.NotFound("They were deleted meanwhile.") from None
    _tell("grant.added", holder, new, actor, ip)
    return [row for row in grants_of(holder) if _item(row) in set(wanted)]


@transaction.atomic
def revoke(
    holder: Holder, items: Iterable[Item], *, actor: User | None, ip: str | None = None
) -> int:
    """Take these models away; how many the holder had."""
    wanted = set(_bounded(items))
    rows = [row for row in grants_of(holder) if _item(row) in wanted]
    for start in range(0, len(rows), 500):
        ids = [row.pk for row in rows[start : start + 500]]
        # Past the signals: they would announce each row, `_tell` does so once.
        ModelGrant.objects.filter(pk__in=ids)._raw_delete(using=router.db_for_write(ModelGrant))
    _tell("grant.removed", holder, [_item(row) for row in rows], actor, ip)
    return len(rows)


@transaction.atomic
def set_grants(
    holder: Holder,
    items: Iterable[Item],
    *,
    actor: User | None,
    ip: str | None = None,
    folder: str | None = None,
) -> tuple[int, int]:
    """Let the holder have exactly these (in one folder only, if it is named): how many were
    added and removed."""
    wanted = set(_bounded(items))
    had = {_item(row) for row in grants_of(holder)}
    if folder is not None:
        had = {each for each in had if each.folder == current_folder(folder)}
    added, removed = wanted - had, had - wanted
    revoke(holder, removed, actor=actor, ip=ip)
    grant(holder, added, actor=actor, ip=ip)
    return len(added), len(removed)


def copy_grants(
    source: Holder, target: Holder, *, actor: User | None, ip: str | None = None
) -> int:
    """Give the target what the source was given itself; how many were new."""
    had = {_item(row) for row in grants_of(target)}
    wanted = [_item(row) for row in grants_of(source)]
    grant(target, wanted, actor=actor, ip=ip)
    return len(set(wanted) - had)


def _bounded(items: Iterable[Item]) -> list[Item]:
    wanted = list(dict.fromkeys(items))
    if len(wanted) > MAX_AT_ONCE:
        raise errors.BadRequest(f"Give at most {MAX_AT_ONCE} models at once.", field="items")
    return wanted


def _item(row: ModelGrant) -> Item:
    return Item(row.folder, row.item_name, row.source_backend)


def _tell(
    event: str, holder: Holder, items: list[Item], actor: User | None, ip: str | None
) -> None:
    """The audit row, and no process that still knows it otherwise."""
    if not items:
        return
    if isinstance(holder, User):
        forget_user(holder.pk)
    else:
        forget_everyone()
    shown = [f"{each.folder}/{each.item_name}" for each in items[:100]]
    audit(
        event,
        actor=actor,
        subject=holder if isinstance(holder, User) else None,
        ip=ip,
        holder=f"{holder_field(holder)} {holder}",
        models=shown,
        count=len(items),
    )
