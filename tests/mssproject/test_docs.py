"""What people read is true: links lead somewhere, names are those of the code."""

import json
import re
import tomllib

from mssproject import __version__
from mssproject.openapi import document
from tests.gateway import ROOT

# Keep a Changelog, https://keepachangelog.com/en/1.1.0/: `## [1.0.0] - 2026-01-31`.
_RELEASE = re.compile(r"^## \[(?P<version>[^]]+)\] - (?P<date>\d{4}-\d\d-\d\d|unreleased)$", re.M)


# --- the version -------------------------------------------------------------------------


def test_changelog_begins_with_this_version() -> None:
    releases = _RELEASE.findall((ROOT / "CHANGELOG.md").read_text())
    assert releases[0][0] == __version__


def test_version_stands_in_one_place() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["project"]["dynamic"] == ["version"]
    where = pyproject["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    assert where == "mssproject.__version__"
    assert json.loads(document.document().json)["info"]["version"] == __version__
