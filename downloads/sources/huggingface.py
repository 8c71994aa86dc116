"""Hugging Face: a file of a repository, its size and SHA-256, and what refusals mean.

Sources: huggingface_hub 1.x, `file_download.py` (`get_hf_file_metadata`: the first answer's
`X-Linked-Size`, `X-Linked-Etag`, `X-Repo-Commit`), `utils/_http.py` (`X-Error-Code`),
`utils/_validators.py` (`validate_repo_id`); Hub API, GET /api/models and /api/models/{repo}.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

from accounts.sentences import english
from downloads.errors import (
    DownloadError,
    NeedsLogin,
    NeedsTerms,
    NotFound,
    SourceBusy,
    SourceRefused,
)
from downloads.paths import DEFAULT_FOLDERS, LEGACY_FOLDERS, is_model, map_legacy, suffix_of
from downloads.remote import Found, FoundFile, RemoteFile
from downloads.sources.base import (
    SHA256,
    bearer,
    explain_common,
    raise_for,
    retry_after,
)
from downloads.sources.huggingface_wish import NAME, REPO, HuggingFaceWish, parse
from downloads.urls import host_of
from downloads.web import Web

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class HuggingFace:
    name: ClassVar[str] = NAME
    label: ClassVar[str] = "Hugging Face"
    needs_key: ClassVar[bool] = False
    key_page: ClassVar[str] = "https://huggingface.co/settings/tokens"
    fields: ClassVar[tuple[str, ...]] = ("repo_id", "filename", "subfolder", "revision", "url")

    def __init__(self, base_url: str = "https://huggingface.co") -> None:
        self._base = base_url.rstrip("/")
        self._hosts = frozenset({host_of(base_url)})

    def parse(self, data: Mapping[str, Any]) -> HuggingFaceWish:
        """See `Source.parse` and `huggingface_wish.parse`."""
        return parse(data, self._base)

    def resolve(self, wanted: HuggingFaceWish, key: str | None, web: Web) -> RemoteFile:
        """See `Source.resolve`. The answer is pinned to the commit that the revision is now."""
        page = f"{self._base}/{wanted.repo_id}"
        answer = web.head(
            self._url(wanted, wanted.revision),
            credentials=bearer(key),
            credential_hosts=self._hosts,
        )
        if not 200 <= answer.status_code < 400:
            raise self.explain(answer.status_code, answer.headers, None, page, bool(key))
        headers = answer.headers
        moved = answer.status_code >= 300
        size = headers.get("X-Linked-Size") or ("" if moved else headers.get("Content-Length", ""))
        etag = (headers.get("X-Linked-Etag") or "").removeprefix("W/").strip('"').lower()
        commit = headers.get("X-Repo-Commit", "")
        return RemoteFile(
            source=self.name,
            url=self._url(wanted, commit if _COMMIT.fullmatch(commit) else wanted.revision),
            filename=wanted.path.rsplit("/", 1)[-1],
            size=int(size) if re.fullmatch(r"[0-9]{1,18}", size) else None,
            # Files outside LFS have git's own hash (40 digits) instead.
            sha256=etag if SHA256.fullmatch(etag) else None,
            folder_type=guess_folder(wanted.path),
            headers=bearer(key),
            origin_hosts=self._hosts,
            page_url=page,
        )

    def _url(self, wanted: HuggingFaceWish, revision: str) -> str:
        path = quote(wanted.path, safe="/")
        return f"{self._base}/{wanted.repo_id}/resolve/{quote(revision, safe='')}/{path}"

    def search(self, query: str, key: str | None, web: Web) -> list[Found]:
        """See `Source.search`. A whole repository name (`owner/model`) finds that repository,
        with sizes; a search has none."""
        query = query.strip()[:200]
        if "/" in query and REPO.fullmatch(query) and ".." not in query:
            path = f"/api/models/{query}?blobs=true"
        else:
            asked = {"search": query, "limit": 20, "full": "true", "sort": "downloads"}
            path = f"/api/models?{urlencode(asked)}"
        answer, body = web.get_json(
            self._base + path, credentials=bearer(key), credential_hosts=self._hosts
        )
        raise_for(self, answer, body, f"{self._base}/{query}", bool(key))
        models = body if isinstance(body, list) else [body]
        return [found for model in models if (found := self._found(model)) is not None]

    def _found(self, model: Any) -> Found | None:
        repo_id = model.get("id") if isinstance(model, dict) else None
        if not isinstance(repo_id, str) or not REPO.fullmatch(repo_id):
            return None
        siblings = model.get("siblings")
        files = [
            self._found_file(repo_id, entry["rfilename"], entry.get("size"))
            for entry in (siblings if isinstance(siblings, list) else [])
            if isinstance(entry, dict)
            and isinstance(entry.get("rfilename"), str)
            and is_model(entry["rfilename"])
            and suffix_of(entry["rfilename"]) not in (".json", ".yaml")
        ]
        kind = model.get("pipeline_tag")
        return Found(
            name=repo_id,
            page_url=f"{self._base}/{repo_id}",
            type=kind if isinstance(kind, str) else None,
            folder_type=next((folder for f in files if (folder := guess_folder(f.name))), None),
            files=tuple(files),
        )

    def _found_file(self, repo_id: str, path: str, size: Any) -> FoundFile:
        return FoundFile(
            id=path,
            name=path,
            size=size if type(size) is int else None,
            type=None,
            format=suffix_of(path).removeprefix(".") or None,
            wish={"source": self.name, "repo_id": repo_id, "filename": path},
        )

    def explain(
        self, status: int, headers: Mapping[str, str], body: Any, page_url: str, with_key: bool
    ) -> DownloadError:
        """See `Source.explain`. The reason is in the X-Error-Code header."""
        code = headers.get("X-Error-Code", "")
        if code == "GatedRepo":
            return NeedsTerms(
                english(
                    "This model needs a login on Hugging Face: accept its terms at %(page)s, "
                    "then try again.",
                    page=page_url,
                )
                if with_key
                else english(
                    "This model needs a login on Hugging Face: accept its terms at %(page)s, "
                    "store an access token, then try again.",
                    page=page_url,
                )
            )
        if code == "EntryNotFound":
            return NotFound(
                english("The repository has no such file. Check filename and subfolder.")
            )
        if code == "RevisionNotFound":
            return NotFound(
                english("The repository has no such revision. Check the branch or commit.")
            )
        # 401 stands for private and for missing repositories alike.
        if status == 401 and not with_key:
            return NeedsLogin(
                english(
                    "Hugging Face has no such public repository. If %(page)s is right, store an "
                    "access token from %(key_page)s that may read it, then try again.",
                    page=page_url,
                    key_page=self.key_page,
                )
            )
        if status == 401 and code != "RepoNotFound":
            return NeedsLogin(
                english(
                    "Hugging Face did not accept the access token: store a new one from "
                    "%(key_page)s, then try again.",
                    key_page=self.key_page,
                )
            )
        if code == "RepoNotFound" or status in (401, 404, 410):
            return NotFound(
                english("Hugging Face has no such repository, or the token may not read it.")
            )
        if status == 403:
            return SourceRefused(
                english(
                    "The access token may not read this repository: see %(page)s, and the token's "
                    "rights at %(key_page)s.",
                    page=page_url,
                    key_page=self.key_page,
                )
            )
        if status == 429 and (
            left := re.search(r";\s*t=([0-9]{1,9})", headers.get("RateLimit", ""))
        ):
            wait = retry_after(headers)
            return SourceBusy(
                english("Hugging Face takes no more requests for now. Try again later."),
                retry_after=float(left[1]) if wait is None else wait,
            )
        return explain_common(self.label, status, headers)


def guess_folder(path: str) -> str | None:
    """ComfyUI's folder type by a file's folders: repackaged repositories use its names."""
    for word in reversed(path.lower().split("/")[:-1]):
        if word in DEFAULT_FOLDERS or word in LEGACY_FOLDERS:
            return map_legacy(word)
    return None
