"""Programs that the tests of deploy/ need beside Python: looked for, and installed by .ci/run."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def tool(name: str, hint: str) -> str:
    """Where a program is. Without it the calling test is skipped, saying why; under CI, where it
    has to be there, it fails."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name, path=_path())
    if found is None:
        reason = f"needs {name}: {hint}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _path() -> str:
    # Servers are where only root looks by itself.
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
