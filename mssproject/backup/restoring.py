"""Restore a backup: check it all, build everything anew beside what is there, change places.

Up to the last step nothing that is in force was touched; what that step does is `swap`'s.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.audit import audit
from mssproject import presence
from mssproject.backup import archive, counters, keys, rows, schema, swap, targets, userfiles
from mssproject.backup.archive import Member
from mssproject.backup.errors import BackupError, Damaged
from mssproject.backup.manifest import Manifest
from mssproject.backup.progress import Progress
from mssproject.backup.swap import NEW, Move, Plan
from mssproject.backup.targets import Target


def check(source: Path, progress: Progress, *, other_key: bool = False) -> Manifest:
    """Read all of a backup and see whether it can be restored here.

    Raises:
        BackupError: it cannot; why, and what to do
        OSError: it cannot be read
    """
    progress.begin("Checking the backup")
    manifest = archive.verify(source, progress)
    if schema.unknown(manifest.migrations):
        raise BackupError(
            f"This backup was made by a newer gateway ({manifest.version}). Restore it with that "
            "version; there is no way back to older tables."
        )
    if not other_key:
        keys.require_fit(manifest.key)
    return manifest


def restore(
    source: Path, progress: Progress, *, replace: bool = False, other_key: bool = False
) -> tuple[Manifest, list[str]]:
    """Put a backup in force; what it says about itself, and where the former things are.

    Raises:
        BackupError, InUse: it cannot be done, and nothing was changed
        OSError: likewise
    """
    manifest = check(source, progress, other_key=other_key)
    with presence.alone():
        target = targets.in_use()
        swap.resume(target.swap_tables)
        target.require_unused()
        if not replace and _has_anything(target):
            raise BackupError(
                "There are accounts or saved files here already. With --replace the backup takes "
                "their place; they are kept beside it."
            )
        _discard(target)
        try:
            with target.staged():
                _stage(source, manifest, progress)
            progress.begin("Changing places")
            plan = _plan(target, manifest)
            swap.carry_out(plan, target.swap_tables)
        except BaseException:
            # After a failure in the middle of changing places what is new is still needed.
            if not presence.marker().exists():
                _discard(target)
            raise
    tables = target.kept(plan.stamp)
    return manifest, [*plan.kept(), *([tables] if tables else [])]


def finish_interrupted() -> bool:
    """Finish a restore that was interrupted while things changed places; whether there was one.

    Raises:
        BackupError, InUse
    """
    if not presence.marker().exists():
        return False
    with presence.alone():
        return swap.resume(targets.in_use().swap_tables)


def _has_anything(target: Target) -> bool:
    files = userfiles.place()
    return target.has_accounts() or (files.is_dir() and any(files.iterdir()))


def _discard(target: Target) -> None:
    target.discard()
    shutil.rmtree(_new(userfiles.place()), ignore_errors=True)
    _new(keys.file()).unlink(missing_ok=True)


def _new(place: Path) -> Path:
    return place.with_name(place.name + NEW)


def _plan(target: Target, manifest: Manifest) -> Plan:
    stamp = timezone.now().strftime("%Y%m%d-%H%M%S")
    places = [userfiles.place()]
    if keys.comes_with(manifest.key):
        key = keys.file()
        if key.exists() and key.read_bytes() == _new(key).read_bytes():
            _new(key).unlink()
        else:
            places.append(key)
    moves = [Move.of(place, stamp) for place in places]
    database = target.move(stamp)
    if database is not None:
        moves.append(database)
    return Plan(stamp, tuple(moves), tables=database is None)


def _stage(source: Path, manifest: Manifest, progress: Progress) -> None:
    """Build everything anew. The database in use is the new, empty one."""
    progress.begin("Making the tables")
    schema.build(manifest.migrations)
    progress.begin("Database and saved files")
    folder = _new(userfiles.place())
    if userfiles.place().is_mount():
        raise BackupError(
            f"{userfiles.place()} is a mounted disk and cannot change places with another folder. "
            "Mount it as MSS_DATA_DIR instead, or put a link to a folder on it there."
        )
    folder.mkdir(mode=0o700, parents=True)
    with connection.constraint_checks_disabled():
        _load(source, manifest, folder, progress)
    progress.begin("Bringing the tables up to date")
    # What was numbered in another database is remembered in this process.
    ContentType.objects.clear_cache()
    call_command("migrate", verbosity=0, interactive=False)
    audit(
        "backup.restored",
        file=source.name,
        made_at=manifest.made_at.isoformat(),
        version=manifest.version,
    )


def _load(source: Path, manifest: Manifest, folder: Path, progress: Progress) -> None:
    models = schema.tables()
    if models.keys() != manifest.tables.keys():
        raise Damaged("The backup's tables are not those that it says to be of.")
    loaded = dict.fromkeys(models, 0)
    files = 0
    with transaction.atomic():
        for member in archive.members(source):
            kind = member.name.partition("/")[0]
            if kind == archive.USERDATA:
                userfiles.extract(member, folder)
                files += 1
                progress.step("files", files, manifest.files.number)
            elif member.name == archive.SECRET_KEY and keys.comes_with(manifest.key):
                _keep_key(member)
            elif kind == archive.DATABASE:
                name = member.name.removeprefix(f"{archive.DATABASE}/").partition(".")[0]
                if name not in models:
                    raise Damaged(f"The backup holds {member.name}, a table that it does not name.")
                columns = manifest.tables[name].columns
                loaded[name] += rows.write(models[name], columns, _lines(member))
                progress.step(f"{name}, rows", loaded[name], manifest.tables[name].rows)
        try:
            connection.check_constraints()
        except IntegrityError as error:
            raise BackupError(f"The backup's rows do not fit together: {error}") from error
        for name, model in models.items():
            counters.set_last(model, manifest.tables[name].last_id)
    if {name: table.rows for name, table in manifest.tables.items()} != loaded:
        raise Damaged("The backup has not as many rows as it says.")
    if files != manifest.files.number:
        raise Damaged("The backup has not as many files as it says.")
    if keys.comes_with(manifest.key) and not _new(keys.file()).exists():
        raise Damaged("The backup has no key, although it says so.")


def _lines(member: Member) -> Iterator[bytes]:
    with archive.readable():
        yield from member.content


def _keep_key(member: Member) -> None:
    new = _new(keys.file())
    new.touch(mode=0o600)
    new.write_bytes(member.content.read())
