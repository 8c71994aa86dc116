"""Give and take away models: each change with its audit row, at work from the next request on."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.db import router, transaction
from django.utils import timezone

from accounts import errors
from accounts.audit import audit
from accounts.authentication import forget_everyone, forget_user
from accounts.grants import ANY, current_folder, plain_name
from accounts.holders import Holder, kind_of, require_still_there
from accounts.models import ModelGrant, User

MAX_FOLDER_CHARS: Final = 100
MAX_NAME_CHARS: Final = 500
MAX_BACKEND_CHARS: Final = 200
# Each makes a pattern dearer to compare.
MAX_STARS: Final = 4
# At most so many in one import or one click.
MAX_AT_ONCE: Final = 20_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_FOLDER: Final = re.compile(r"[^\x00-\x1f\x7f/\\*]+")


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
    if not name:
        raise errors.BadRequest("item_name must name a model.", field="item_name")
    if len(name) > MAX_NAME_CHARS:
        raise errors.BadRequest("item_name is too long.", field="item_name")
    if re.sub(r"\*+", "*", name).count(ANY) > MAX_STARS:
        raise errors.BadRequest(f"item_name may hold at most {MAX_STARS} stars.", field="item_name")
    if any(part in (".", "..") for part in name.split("/")):
        raise errors.BadRequest("item_name leaves its folder.", field="item_name")
    backend = "" if source_backend is None else source_backend
    if not isinstance(backend, str) or len(backend) > MAX_BACKEND_CHARS or _CONTROL.search(backend):
        raise errors.BadRequest("source_backend must be text.", field="source_backend")
    # The same address, whether it ends in a slash or not.
    backend = backend.strip().rstrip("/")
    return Item(current_folder(folder), name, "" if backend == "local" else backend)


def grants_of(holder: Holder) -> list[ModelGrant]:
    """What a holder was given itself, by folder and name."""
    rows = ModelGrant.objects.filter(**{kind_of(holder): holder})
    return list(rows.select_related("granted_by"))


@transaction.atomic
def grant(
    holder: Holder, items: Iterable[Item], *, actor: User | None, ip: str | None = None
) -> list[ModelGrant]:
    """Give these models; those that the holder has already stay as they are. All rows.

    Raises:
        BadRequest: too many at once
        NotFound: the holder was deleted meanwhile
    """
    wanted = _bounded(items)
    change(holder, wanted, (), actor=actor, ip=ip)
    named = set(wanted)
    return [row for row in grants_of(holder) if item_of(row) in named]


def revoke(
    holder: Holder, items: Iterable[Item], *, actor: User | None, ip: str | None = None
) -> int:
    """Take these models away; how many the holder had.

    Raises:
        as `grant`
    """
    return change(holder, (), items, actor=actor, ip=ip)[1]


@transaction.atomic
def change(
    holder: Holder,
    added: Iterable[Item],
    removed: Iterable[Item],
    *,
    actor: User | None,
    ip: str | None = None,
) -> tuple[int, int]:
    """Take some models away and give others: how many the holder did not have, and had.

    Raises:
        as `grant`
    """
    wanted, unwanted = _bounded(added), set(_bounded(removed))
    require_still_there(holder)
    rows = grants_of(holder)
    gone = [row for row in rows if item_of(row) in unwanted]
    had = {item_of(row) for row in rows} - unwanted
    new = [each for each in wanted if each not in had]
    for start in range(0, len(gone), 500):
        ids = [row.pk for row in gone[start : start + 500]]
        # Past the signals: they would announce each row, `_tell` does so once.
        ModelGrant.objects.filter(pk__in=ids)._raw_delete(using=router.db_for_write(ModelGrant))
    ModelGrant.objects.bulk_create(
        ModelGrant(
            **{kind_of(holder): holder},
            **asdict(each),
            granted_by=actor,
            granted_by_role=_role_of(actor),
        )
        for each in new
    )
    _tell("grant.removed", holder, [item_of(row) for row in gone], actor, ip)
    _tell("grant.added", holder, new, actor, ip)
    return len(new), len(gone)


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
    added and removed.

    Raises:
        as `grant`
    """
    wanted = _bounded(items)
    require_still_there(holder)
    had = {item_of(row) for row in grants_of(holder)}
    if folder is not None:
        had = {each for each in had if each.folder == current_folder(folder)}
    return change(holder, wanted, had - set(wanted), actor=actor, ip=ip)


@transaction.atomic
def replace(row: ModelGrant, wanted: Item, *, actor: User, ip: str | None = None) -> None:
    """Put another model in the place of one that was given.

    Raises:
        Conflict: the holder has that one too
        NotFound: it was taken away meanwhile
    """
    holder = row.holder
    require_still_there(holder)
    had = {found.pk: item_of(found) for found in grants_of(holder)}
    before = had.pop(row.pk, None)
    if before is None:
        raise errors.NotFound("They do not have this model any more.")
    if wanted in had.values():
        raise errors.Conflict("They have this model already.", field="item_name")
    if before == wanted:
        return
    for name, value in asdict(wanted).items():
        setattr(row, name, value)
    row.granted_by, row.granted_by_role, row.created_at = actor, _role_of(actor), timezone.now()
    row.save()  # its signal tells the processes
    _write("grant.changed", holder, actor, ip, before=_shown(before), after=_shown(wanted))


@transaction.atomic
def copy_grants(
    source: Holder, target: Holder, *, actor: User | None, ip: str | None = None
) -> int:
    """Give the target what the source was given itself; how many were new.

    Raises:
        as `grant`
    """
    wanted = [item_of(row) for row in grants_of(source)]
    return change(target, wanted, (), actor=actor, ip=ip)[0]


def item_of(row: ModelGrant) -> Item:
    """What a row gives."""
    return Item(row.folder, row.item_name, row.source_backend)


def _bounded(items: Iterable[Item]) -> list[Item]:
    wanted = list(dict.fromkeys(items))
    if len(wanted) > MAX_AT_ONCE:
        raise errors.BadRequest(f"Give at most {MAX_AT_ONCE} models at once.", field="items")
    return wanted


def _role_of(actor: User | None) -> str:
    return "" if actor is None else actor.role_id


def _shown(each: Item) -> str:
    return f"{each.folder}/{each.item_name}"


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
    shown = [_shown(each) for each in items[:100]]
    _write(event, holder, actor, ip, models=shown, count=len(items))


def _write(event: str, holder: Holder, actor: User | None, ip: str | None, **details: Any) -> None:
    audit(
        event,
        actor=actor,
        subject=holder if isinstance(holder, User) else None,
        ip=ip,
        holder=f"{kind_of(holder)} {holder}",
        **details,
    )
