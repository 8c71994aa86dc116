"""Where models go on this machine: ComfyUI's model folders, with those of its extra paths."""

import logging
import time
from pathlib import Path
from typing import Any, Final

import yaml
from django.conf import settings

from downloads import paths

logger = logging.getLogger(__name__)

# What a file of an unknown kind is taken for.
FALLBACK: Final = "checkpoints"
EXTRA: Final = "extra_model_paths.yaml"
MAX_YAML_BYTES: Final = 1_000_000
# Somebody adds a folder now and then.
_KEPT_SECONDS: Final = 10.0
_kept: tuple[float, Path, dict[str, list[str]]] | None = None


def all_folders() -> dict[str, list[str]]:
    """Folder type → its folders, the one to download into first; none where nothing is set, or
    what is set is not there (a drive that is not mounted)."""
    global _kept
    root: Path | None = settings.COMFYUI_MODELS_DIR
    if root is None:
        return {}
    if _kept is None or _kept[1] != root or time.monotonic() - _kept[0] > _KEPT_SECONDS:
        try:
            listing = [entry.name for entry in root.iterdir() if entry.is_dir()]
        except OSError as error:
            logger.warning("the models folder cannot be read: %s", error)
            return {}
        extra = _extra(root.parent / EXTRA)
        found = paths.read_model_folders(str(root), listing, extra, yaml_dir=str(root.parent))
        _kept = time.monotonic(), root, found
    return _kept[2]


def names() -> list[str]:
    """The folder types that a download may name. Where only a bucket is set up, those that
    ComfyUI has by itself."""
    in_bucket = paths.DEFAULT_FOLDERS if settings.MSS_S3_BUCKET is not None else {}
    return sorted(all_folders() or in_bucket)


def named(folder_type: str) -> str | None:
    """The folder type of that name or former name, as it is called now; None: there is none."""
    found = paths.map_legacy(folder_type)
    return found if found in names() else None


def places(folder_type: str) -> tuple[Path, ...]:
    """The folders of this type, the one that a download goes into first.

    Raises:
        KeyError: an unknown type
    """
    return tuple(Path(path) for path in all_folders()[paths.map_legacy(folder_type)])


def _extra(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            return None
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        logger.warning("%s is passed over: %s", path, error)
        return None
