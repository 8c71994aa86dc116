"""What failed downloads left on the disk: kept a day for whoever tries again, then removed."""

from pathlib import Path
from typing import Final

from downloads import bucket, folders
from downloads.part import sweep

KEPT_SECONDS: Final = 24 * 3600


def remove_old() -> int:
    """Remove old parts in all model folders and the users' folders in them, and what did not reach
    the bucket; how many."""
    roots = {Path(path) for paths in folders.all_folders().values() for path in paths}
    below = [entry for root in roots if root.is_dir() for entry in root.glob("u-*")]
    places = [folder for folder in (*roots, *below) if folder.is_dir()]
    return sum(sweep(folder, KEPT_SECONDS) for folder in places) + bucket.remove_old(KEPT_SECONDS)
