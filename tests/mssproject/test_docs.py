"""What people read is true: links lead somewhere, names and codes are those of the code."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import get_resolver

from accounts import errors
from accounts.capabilities import DEFAULT_ROLES, DESCRIPTIONS
from accounts.errors import GatewayError
from mssproject import __version__
from mssproject.env import ALIASES, OTHER_SPELLINGS, SECRETS
from mssproject.openapi import comfyui, document
from mssproject.openapi.operations import GATEWAY
from tests.gateway import ROOT
from tests.mssproject.test_openapi import OF_DOWNLOADS

DOCS = ROOT / "docs"
ADMINISTRATION = DOCS / "administration.md"
# Keep a Changelog, https://keepachangelog.com/en/1.1.0/: `## [1.0.0] - 2026-01-31`.
_RELEASE = re.compile(r"^## \[(?P<version>[^]]+)\] - (?P<date>\d{4}-\d\d-\d\d|unreleased)$", re.M)
_CODE_ROW = re.compile(r"^\| (\d{3}) \| `([A-Z0-9_]+)` \|", re.M)


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


# --- the codes of refusals ---------------------------------------------------------------


def kinds(of: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def refusals() -> set[tuple[int, str]]:
    """Status and code of each refusal, as the sources raise it."""
    assert get_resolver().url_patterns  # which reads all modules
    found = {(kind.status, kind.code) for kind in kinds() if "code" in vars(kind)}
    for app in ("accounts", "comfyproxy", "downloads"):
        for path in (ROOT / app).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call):
                    found |= raised_by(call)
    # Raised where downloads run, and told by the job: `NotFound` there is another.
    return {(status, code) for status, code in found if code not in OF_DOWNLOADS}


def raised_by(call: ast.Call) -> set[tuple[int, str]]:
    """Of `errors.Conflict(…, code="FILE_EXISTS")`: 409 and the code."""
    kind = vars(errors).get(ast.unparse(call.func).rpartition(".")[2])
    if not (isinstance(kind, type) and issubclass(kind, GatewayError)):
        return set()
    return {
        (kind.status, str(given.value.value))
        for given in call.keywords
        if given.arg == "code" and isinstance(given.value, ast.Constant)
    }


def test_client_guide_has_each_code_with_its_status() -> None:
    text = (DOCS / "client-guide.md").read_text()
    rows = [(int(status), code) for status, code in _CODE_ROW.findall(text)]
    assert len(set(rows)) == len(rows)
    assert set(rows) == refusals()


def test_document_has_each_code_with_its_status() -> None:
    described = {
        (status, code)
        for operation in (
            *GATEWAY.values(),
            *comfyui.BY_HANDLER.values(),
            *comfyui.BY_ROUTE.values(),
        )
        for status, codes in operation.refused.items()
        for code in codes
    }
    assert described <= refusals()


# --- what roles begin with ---------------------------------------------------------------


def test_administrators_page_has_each_capability_and_its_roles() -> None:
    rows = re.findall(r"^\| `(can_\w+)` \| (.+) \| (.+) \|$", ADMINISTRATION.read_text(), re.M)
    assert sorted(rows) == sorted(
        (
            str(capability),
            str(meaning),
            ", ".join(role.slug for role in DEFAULT_ROLES if capability in role.capabilities),
        )
        for capability, meaning in DESCRIPTIONS.items()
    )


# --- links and names ---------------------------------------------------------------------

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def prose(path: Path) -> str:
    """A page without its code, in which a # is no heading and brackets are no link."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    return re.sub(r"^ {4,}(?![-*\d]).*$", "", text, flags=re.M)


def anchors(path: Path) -> set[str]:
    """As GitHub makes them: lower case, no punctuation, a hyphen for each space."""
    found: list[str] = []
    for title in re.findall(r"^#+ +(.+?) *$", prose(path), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        again = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
        found.append(f"{anchor}-{again}" if again else anchor)
    return set(found)


def links(path: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", prose(path))
    return [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    dead = []
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue  # another site's
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_picture_is_shown_somewhere_and_every_page_is_led_to() -> None:
    led_to = {
        (path.parent / link.partition("#")[0]).resolve()
        for path in PAGES
        for link in links(path)
        if not re.match(r"[a-z]+:|#", link)
    }
    there = {*DOCS.glob("*.md"), *DOCS.glob("pictures/*"), *DOCS.glob("examples/*.*")}
    assert there - led_to == set()


# What is set for something else than the gateway, or stands for several.
OTHERS_SETTINGS = {
    "MSS_LOGIN_DATA_DIR",  # of the former extension (docs/migrating.md)
    "COMFYUI_IMAGE",  # compose.yaml
    "COMFYUI_MODELS",
    "COMFYUI_BASE",
}


# Every name that begins as a setting's does; not `MSS_LOCKOUT_…`.
_BEGINNINGS = "|".join(sorted({name.partition("_")[0] for name in (*ALIASES, *OTHER_SPELLINGS)}))
_SETTING = re.compile(rf"\b(?:{_BEGINNINGS})_[A-Z0-9_]*[A-Z0-9]\b")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_a_page_names_is_one(path: Path) -> None:
    known = {*ALIASES, *OTHER_SPELLINGS, *(f"{name}_FILE" for name in SECRETS), *OTHERS_SETTINGS}
    codes = {code for _, code in refusals()}
    assert set(_SETTING.findall(path.read_text())) - known - codes == set()
