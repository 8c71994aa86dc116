"""How much room each user's files take: measured now and then by the worker, kept for the admin."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils import timezone

from accounts.models import User
from comfyproxy.models import StorageUse
from comfyproxy.userdata import trees

_BATCH: Final = 500


def measure() -> int:
    """Look at everybody's folders and note what they take; how many users that were.

    What lies in ComfyUI's folders counts where these are on this machine. A folder that cannot
    be read counts as empty.
    """
    folders = [folder for folder in settings.COMFYUI_FOLDERS.values() if folder is not None]
    number = 0
    rows: list[StorageUse] = []
    for user, namespace in User.objects.values_list("pk", "namespace").iterator():
        made = sum(size_below(folder / namespace) for folder in folders) if folders else None
        saved = sum(entry.size for entry in trees.of_user(namespace).files())
        rows.append(
            StorageUse(
                user_id=user,
                saved_bytes=saved,
                made_bytes=made,
                total_bytes=saved + (made or 0),
                measured_at=timezone.now(),
            )
        )
        number += 1
        if len(rows) == _BATCH:
            _note(rows)
            rows = []
    _note(rows)
    return number


def _note(rows: list[StorageUse]) -> None:
    # Who was deleted meanwhile has no row to note it in.
    there = set(
        User.objects.filter(pk__in=[row.user_id for row in rows]).values_list("pk", flat=True)
    )
    StorageUse.objects.bulk_create(
        [row for row in rows if row.user_id in there],
        update_conflicts=True,
        unique_fields=["user"],
        update_fields=["saved_bytes", "made_bytes", "total_bytes", "measured_at"],
    )


def size_below(folder: Path) -> int:
    """The sizes of the files in a folder and those below, in bytes. Links are not followed."""
    return 0 if folder.is_symlink() else sum(_sizes([str(folder)]))


def _sizes(folders: Iterable[str]) -> Iterator[int]:
    left = list(folders)
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
