"""Delete files of ComfyUI's from the disk: exactly those named, never through a link.

Whatever is not what it should be is left alone, logged, and `False` says so: it is tried again.
"""

import errno
import logging
import shutil
import stat
from pathlib import Path
from typing import Final

from comfyproxy.files import NAMESPACE, FileRef, OutsideError, normal_path

logger = logging.getLogger(__name__)

# Also what no file can be called.
_NOTHING_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def remove_namespace(root: Path, namespace: str) -> bool:
    """Remove a user's folder below one of ComfyUI's; whether it is gone. Links inside it are
    removed, what they lead to is not."""
    if not NAMESPACE.fullmatch(namespace):
        logger.error("not removed: %r is no user's folder", namespace)
        return False
    path = root / namespace
    try:
        mode = _mode(root, path)
        if mode is None:
            return True
        if not stat.S_ISDIR(mode):
            logger.error("not removed: %s is a link or a file. Remove it yourself.", path)
            return False
        shutil.rmtree(path)
    except OSError as error:
        logger.error("not removed: %s: %s", path, error)
        return False
    return True


def remove_file(root: Path, ref: FileRef, *, written_before: float) -> bool:
    """Remove one file below one of ComfyUI's folders if it was written before then (seconds
    since the epoch); whether it is gone."""
    try:
        if not ref.path or normal_path(ref.path) != ref.path:
            raise OutsideError(ref.path)
        path = root.resolve() / ref.path
        if path.parent.resolve() != path.parent:
            raise OutsideError(ref.path)
        mode = _mode(root, path)
        if mode is None:
            return True
        if not stat.S_ISREG(mode):
            raise OutsideError(ref.path)
        if path.stat().st_mtime >= written_before:
            # Perhaps somebody else's by now: whose, is known when their prompt has ended.
            return False
        path.unlink(missing_ok=True)
    except OutsideError:
        logger.error("not removed: %s in %s is no plain file inside it", ref.path, root)
        return False
    except OSError as error:
        logger.error("not removed: %s in %s: %s", ref.path, root, error)
        return False
    return True


def _mode(root: Path, path: Path) -> int | None:
    """What lies there, not followed; None: nothing. A root that is not there (a disk that is
    not mounted) tells nothing, and raises."""
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is no folder")
    try:
        return path.lstat().st_mode
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise
