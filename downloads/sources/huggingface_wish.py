"""Which file of a Hugging Face repository a request body means. Pure.

Source: huggingface_hub 1.x, `utils/_validators.py` (`validate_repo_id`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from accounts.sentences import english
from downloads.sources.base import BadWish, text_field

NAME: Final = "huggingface"
REPO: Final = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*", re.A)
_SITES: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
# First words of addresses that are no repositories of models.
_OTHER: Final = frozenset({"datasets", "spaces", "buckets", "papers", "collections", "docs"})
_FILES: Final = frozenset({"blob", "resolve", "raw"})


@dataclass(frozen=True, slots=True)
class HuggingFaceWish:
    """A file of a repository: `path` holds its folders too."""

    repo_id: str
    path: str
    revision: str = "main"

    def as_dict(self) -> dict[str, Any]:
        return {
            "source": NAME,
            "repo_id": self.repo_id,
            "filename": self.path,
            "revision": self.revision,
        }


def parse(data: Mapping[str, Any], base_url: str) -> HuggingFaceWish:
    """See `Source.parse`. A file's address may stand in `url` or in `repo_id`; what else
    the body names wins over what the address says."""
    repo_id = text_field(data, "repo_id", 2000)
    url = text_field(data, "url", 2000)
    if repo_id is not None and "//" in repo_id:
        repo_id, url = None, url or repo_id
    named: dict[str, str] = _address(url, base_url) if url else {}
    if repo_id and named.get("repo_id", repo_id) != repo_id:
        raise BadWish(english("url and repo_id name two repositories."), "repo_id")
    repo_id = repo_id or named.get("repo_id")
    if repo_id is None:
        raise BadWish(english("Name the repository, for example owner/model."), "repo_id")
    dotted = ".." in repo_id or "--" in repo_id or repo_id.endswith((".git", ".", "-"))
    if len(repo_id) > 96 or dotted or not REPO.fullmatch(repo_id):
        raise BadWish(english("This is not the name of a repository."), "repo_id")
    path = named.get("path")
    if filename := text_field(data, "filename"):
        folder = text_field(data, "subfolder") or named.get("folder") or ""
        path = f"{folder.strip('/')}/{filename}" if folder.strip("/") else filename
    if not path:
        raise BadWish(english("Name the file in the repository."), "filename")
    if not _is_path(path) or len(path) > 1000:
        raise BadWish(english("This is not the name of a file in a repository."), "filename")
    revision = text_field(data, "revision", 200) or named.get("revision") or "main"
    if not _is_path(revision):
        raise BadWish(english("This is not a revision: name a branch, tag or commit."), "revision")
    return HuggingFaceWish(repo_id, path, revision)


def _address(url: str, base_url: str) -> dict[str, str]:
    """repo_id, revision, and path or folder of a pasted address."""
    try:
        parts = urlsplit(url if "//" in url else f"https://{url}")
        host = (parts.hostname or "").lower()
    except ValueError:
        host = ""
    if host not in _SITES and host != urlsplit(base_url).hostname:
        raise BadWish(english("This is not an address of Hugging Face."), "url")
    words = [unquote(word) for word in parts.path.split("/") if word]
    if not words or words[0] in _OTHER:
        raise BadWish(english("Only models can be downloaded, not datasets or spaces."), "url")
    if words[0] == "models" or (words[:2] == ["api", "models"]):
        words = words[1 if words[0] == "models" else 2 :]
    # Repositories of old have no owner: gpt2/resolve/main/…
    kinds = _FILES | {"tree", "commit", "discussions"}
    owned = 1 if len(words) > 1 and words[1] in kinds else 2
    named = {"repo_id": "/".join(words[:owned])}
    rest = words[owned:]
    if len(rest) < 2 or rest[0] not in _FILES | {"tree"}:
        return named
    at = 4 if rest[1] == "refs" and len(rest) > 3 else 2
    named["revision"] = "/".join(rest[1:at])
    if not all(text.isprintable() for text in rest):
        raise BadWish(english("This is not an address of Hugging Face."), "url")
    named["folder" if rest[0] == "tree" else "path"] = "/".join(rest[at:])
    return named


def _is_path(text: str) -> bool:
    """Whether a text can be a path inside a repository: relative, no dot segments."""
    words = text.split("/")
    return (
        all(word not in ("", ".", "..") for word in words)
        and "\\" not in text
        and text.isprintable()
    )
