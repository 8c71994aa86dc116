"""Make a backup, beside a running gateway: what was acknowledged before it began is in it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, models
from django.utils import timezone
from filelock import FileLock, Timeout

from accounts.audit import audit
from mssproject import __version__, presence
from mssproject.backup import (
    archive,
    counters,
    keys,
    manifest,
    postgres,
    rows,
    schema,
    sqlite,
    userfiles,
)
from mssproject.backup.archive import Writer
from mssproject.backup.errors import BackupError
from mssproject.backup.manifest import Manifest, Table
from mssproject.backup.progress import Progress

# Below the data directory: the copies that a backup is made of. Gone when it is done.
WORK: Final = "backup-"
LOCK: Final = "backup.lock"


def make(target: Path, progress: Progress, *, without_keys: bool = False) -> Manifest:
    """Write everything that the gateway keeps into `target`.

    Raises:
        BackupError: it cannot be done; then there is no `target`
        OSError: likewise
    """
    _require_fit(target)
    presence.hold()
    with _work_folder() as work, Writer(target) as writer:
        progress.begin("Database")
        with _snapshot(work):
            state = schema.applied()
            tables = {
                name: _add(writer, name, model, progress) for name, model in schema.tables().items()
            }
        progress.begin("Saved files")
        files = userfiles.add(writer, work, progress)
        key = keys.described(left_out=without_keys)
        if key.kept == "file":
            writer.add(archive.SECRET_KEY, keys.file().read_bytes())
        made = Manifest(
            format=manifest.FORMAT,
            product=manifest.PRODUCT,
            version=__version__,
            made_at=timezone.now(),
            database=connection.vendor,
            migrations=state,
            tables=tables,
            files=files,
            key=key,
        )
        # Whoever has the file has everything: no backup without a trace.
        audit("backup.made", file=target.name, files=files.number, key=key.kept)
        writer.finish(made)
    return made


def _require_fit(target: Path) -> None:
    """Raises:
    BackupError: no backup can be written there
    """
    if not target.name.endswith(archive.SUFFIXES):
        raise BackupError(
            f"The name must end in {', '.join(archive.SUFFIXES[:-1])} or {archive.SUFFIXES[-1]}; "
            "these with gz are compressed."
        )
    if target.exists():
        raise BackupError(f"{target} is there already. Give another name.")
    if not target.parent.is_dir():
        raise BackupError(f"There is no folder {target.parent}.")
    if target.parent.resolve().is_relative_to(userfiles.place()):
        raise BackupError("That is within what is backed up. Give another folder.")


@contextmanager
def _work_folder() -> Iterator[Path]:
    data = Path(settings.MSS_DATA_DIR)
    try:
        with FileLock(data / LOCK, timeout=0, mode=0o600):
            for left in data.glob(f"{WORK}*/"):  # of one that was killed
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(prefix=WORK, dir=data) as name:
                yield Path(name)
    except Timeout:
        raise BackupError("Another backup is being made.") from None


def _snapshot(work: Path) -> AbstractContextManager[None]:
    return sqlite.snapshot(work) if connection.vendor == "sqlite" else postgres.snapshot()


def _add(writer: Writer, name: str, model: type[models.Model], progress: Progress) -> Table:
    total = model._base_manager.count()
    number = 0
    # However it ends, what is read from is closed before the database is.
    with closing(rows.read(model)) as lines:
        for index, (piece, count) in enumerate(rows.pieces(lines), 1):
            writer.add(f"{archive.DATABASE}/{name}.{index:06d}.jsonl", piece)
            number += count
            progress.step(f"{name}, rows", number, total)
    return Table(columns=list(schema.columns(model)), rows=number, last_id=counters.last(model))
