"""The secret key: given by the environment, else made once and kept in the data directory."""

import os
import secrets
import tempfile
from pathlib import Path

FILE_NAME = "secret_key"


def read_or_create(data_dir: Path) -> str:
    """The key kept in `data_dir`; the first call makes it, readable by its owner only.

    Several processes may start at once: the one that makes the file first wins.
    """
    path = data_dir / FILE_NAME
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        descriptor, name = tempfile.mkstemp(prefix=FILE_NAME, dir=data_dir)  # mode 600
        fresh = Path(name)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link never replaces a file that is there, and never shows a half-written one.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()
