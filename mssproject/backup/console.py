"""What the two commands have in common: whose they are to be run, how they end."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError

from mssproject.backup.errors import BackupError
from mssproject.backup.progress import Progress
from mssproject.presence import InUse, marker


@contextmanager
def told(progress: Progress) -> Iterator[None]:
    """Turns what goes wrong into one sentence, and SIGTERM and Ctrl-C into an orderly end.

    Raises:
        CommandError
    """
    _require_owner()
    former = {
        number: signal.signal(number, lambda *_: progress.stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    except (BackupError, InUse) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise CommandError(f"{error.strerror or error}{where}. {_outcome()}") from None
    except DatabaseError as error:
        said = str(error).splitlines()[0]
        raise CommandError(f"The database failed: {said}. {_outcome()}") from None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _require_owner() -> None:
    """Raises:
    CommandError: what root writes here, the gateway could not
    """
    folder = Path(settings.MSS_DATA_DIR)
    owner = folder.stat().st_uid if folder.exists() else 0
    if os.geteuid() == 0 and owner != 0:
        raise CommandError(
            f"{folder} is not root's: run this as the user that the gateway runs as (sudo -u …)."
        )


def _outcome() -> str:
    if marker().exists():
        return "The backup is half in force: ./run, or ./run manage prepare, finishes it."
    return "Nothing was changed."
