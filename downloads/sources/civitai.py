"""CivitAI: a model version's files, the one that fits a wish, and what its refusals mean.

Sources: developer.civitai.com, "Model versions" (GET /api/v1/model-versions/{id}) and "Models"
(GET /api/v1/models); github.com/civitai/civitai, `src/server/services/file.service.ts`: the
download takes a `fileId`, and falls back on type, format, size and fp.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from accounts.sentences import english
from downloads.errors import (
    DownloadError,
    NeedsLogin,
    NotFound,
    SourceRefused,
    WrongContent,
)
from downloads.remote import Found, FoundFile, RemoteFile
from downloads.sources.base import (
    SHA256,
    BadWish,
    bearer,
    explain_common,
    id_field,
    raise_for,
    text_field,
)
from downloads.sources.civitai_files import (
    CHOICES,
    MODEL_FOLDERS,
    NAME,
    CivitaiWish,
    choose,
    folder_of,
    mapping,
    mappings,
    metadata_of,
    size_of,
)
from downloads.urls import host_of
from downloads.web import Web

_SITES: Final = frozenset({"civitai.com", "www.civitai.com", "civitai.red", "civitai.green"})
_AIR: Final = re.compile(
    r"(?:urn:air:[\w.-]+:[\w.-]+:)?civitai:([0-9]{1,15})(?:@([0-9]{1,15}))?(?:\.\w+)?", re.I
)


class CivitAI:
    name: ClassVar[str] = NAME
    label: ClassVar[str] = "CivitAI"
    needs_key: ClassVar[bool] = True
    key_page: ClassVar[str] = "https://civitai.com/user/account"
    fields: ClassVar[tuple[str, ...]] = ("model_version_id", "url", "file_id", *CHOICES)

    def __init__(self, base_url: str = "https://civitai.com") -> None:
        self._base = base_url.rstrip("/")
        self._hosts = frozenset({host_of(base_url)})

    def parse(self, data: Mapping[str, Any]) -> CivitaiWish:
        """See `Source.parse`. `model_version_id` and `url` may each hold an id, a page's or
        download's address, or an AIR (`urn:air:sdxl:lora:civitai:123@456`)."""
        wish: dict[str, Any] = {}
        for name in ("url", "model_version_id", "modelVersionId"):
            value = data.get(name)
            if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]*\s*", value):
                wish |= self._address(text_field(data, name, 2000) or "", name)
            elif name != "url" or isinstance(value, str):
                number = id_field(data, name)
                if number is not None and wish.get("version_id", number) != number:
                    raise BadWish(english("Two different model versions are named."), name)
                wish |= {"version_id": number} if number is not None else {}
            elif value is not None:
                raise BadWish("url must be a text.", "url")
        for key, name in (("model_id", "model_id"), ("file_id", "file_id")):
            number = id_field(data, name)
            wish |= {key: number} if number is not None else {}
        for name in CHOICES:
            text = text_field(data, name, 64)
            wish |= {name: text} if text is not None else {}
        if wish.get("version_id") is None and wish.get("model_id") is None:
            raise BadWish(
                english("Name the model version: its id or its page."), "model_version_id"
            )
        return CivitaiWish(**{"version_id": None} | wish)

    def _address(self, text: str, field: str) -> dict[str, Any]:
        """What a pasted address says. Raises BadWish for other sites' and for other pages."""
        if not re.search(r"[/:]", text):
            raise BadWish(f"{field} must be a number or an address of CivitAI.", field)
        if air := _AIR.fullmatch(text):
            found = {"model_id": air[1], "version_id": air[2]}
            return {name: int(value) for name, value in found.items() if value and int(value)}
        try:
            parts = urlsplit(text if "//" in text else f"https://{text}")
            host, query = (parts.hostname or "").lower(), parse_qs(parts.query, max_num_fields=50)
        except ValueError:
            raise BadWish(english("This is not an address of CivitAI."), field) from None
        if host not in _SITES and host != urlsplit(self._base).hostname:
            raise BadWish(english("This is not an address of CivitAI."), field)
        values = {name: entry[0] for name, entry in query.items()}
        wish: dict[str, Any] = {}
        if page := re.match(r"/models/([0-9]{1,15})(?:/|$)", parts.path):
            wish = {"model_id": id_field({"url": page[1]}, "url")}
            ids = {"version_id": values.get("modelVersionId")}
        elif version := re.fullmatch(
            r"/api/(?:download/models|v1/model-versions)/([0-9]{1,15})/?", parts.path
        ):
            wish = {"version_id": id_field({"url": version[1]}, "url")}
            wish |= {name: text_field(values, name, 64) for name in CHOICES}
            ids = {"file_id": values.get("fileId")}
        else:
            raise BadWish(english("This page of CivitAI is not a model's."), field)
        for name, value in ids.items():
            wish[name] = id_field({"url": value}, "url")
        return {name: value for name, value in wish.items() if value is not None}

    def resolve(self, wanted: CivitaiWish, key: str | None, web: Web) -> RemoteFile:
        """See `Source.resolve`. A wish for a model takes its newest version."""
        version_id = wanted.version_id or self._newest(wanted.model_id or 0, key, web)
        version = self._ask(f"/api/v1/model-versions/{version_id}", key, web)
        model = mapping(version.get("model"))
        if str(version.get("usageControl") or "Download").lower() != "download":
            raise SourceRefused(english("Its creator does not let this model be downloaded."))
        file = choose(mappings(version.get("files")), wanted)
        asked = {"fileId": file.get("id"), "type": file.get("type"), **metadata_of(file)}
        query = urlencode({name: str(value) for name, value in asked.items() if value})
        sha256 = str(mapping(file.get("hashes")).get("SHA256") or "").lower()
        return RemoteFile(
            source=self.name,
            url=f"{self._base}/api/download/models/{version_id}?{query}",
            filename=str(file.get("name") or f"civitai-{version_id}.safetensors"),
            size=size_of(file),
            sha256=sha256 if SHA256.fullmatch(sha256) else None,
            folder_type=folder_of(str(model.get("type") or ""), file),
            headers=bearer(key),
            origin_hosts=self._hosts,
            page_url=self._page(version.get("modelId"), version_id),
            # sizeKB is exact for new files and rounded for old ones.
            size_slack=1024,
        )

    def search(self, query: str, key: str | None, web: Web) -> list[Found]:
        """See `Source.search`. Only files of the newest version of each model."""
        asked = urlencode({"query": query[:200], "limit": 20})
        found = []
        for model in mappings(self._ask(f"/api/v1/models?{asked}", key, web).get("items")):
            versions = mappings(model.get("modelVersions"))[:1]
            kind = str(model.get("type") or "")
            found.append(
                Found(
                    name=str(model.get("name") or ""),
                    page_url=self._page(model.get("id")),
                    type=kind or None,
                    folder_type=MODEL_FOLDERS.get(kind.lower()),
                    files=tuple(
                        self._found_file(version, file)
                        for version in versions
                        for file in mappings(version.get("files"))
                    ),
                )
            )
        return found

    def _found_file(self, version: Mapping[str, Any], file: Mapping[str, Any]) -> FoundFile:
        wish = {"source": self.name, "model_version_id": version.get("id")}
        return FoundFile(
            id=str(file.get("id") or ""),
            name=str(file.get("name") or ""),
            size=size_of(file),
            type=str(file["type"]) if file.get("type") else None,
            format=metadata_of(file).get("format"),
            wish=wish | ({"file_id": file["id"]} if file.get("id") else {}),
        )

    def _newest(self, model_id: int, key: str | None, web: Web) -> int:
        model = self._ask(f"/api/v1/models/{model_id}", key, web)
        for version in mappings(model.get("modelVersions")):
            if isinstance(version.get("id"), int):
                return int(version["id"])
        raise NotFound(english("This model has no version to download."))

    def _ask(self, path: str, key: str | None, web: Web) -> Mapping[str, Any]:
        answer, body = web.get_json(
            self._base + path, credentials=bearer(key), credential_hosts=self._hosts
        )
        raise_for(self, answer, body, self._base, bool(key))
        if not isinstance(body, dict):
            raise WrongContent(
                english("CivitAI's answer is not understood. Try again later."), tries=3
            )
        return body

    def _page(self, model_id: Any, version_id: int | None = None) -> str:
        if not isinstance(model_id, int):
            return self._base
        tail = f"?modelVersionId={version_id}" if version_id else ""
        return f"{self._base}/models/{model_id}{tail}"

    def explain(
        self, status: int, headers: Mapping[str, str], body: Any, page_url: str, with_key: bool
    ) -> DownloadError:
        """See `Source.explain`. Errors are JSON: `{"error": …, "message": …}`."""
        said = " ".join(str(mapping(body).get(name) or "") for name in ("error", "message"))
        if status in (401, 403) and "early access" in said.lower():
            return SourceRefused(
                english(
                    "This model is in early access: buy access at %(page)s, or wait until it is "
                    "free, then try again.",
                    page=page_url,
                ),
                code="EARLY_ACCESS",
            )
        if status == 401:
            return NeedsLogin(
                english(
                    "CivitAI did not accept the API key for this: see %(page)s, and store a new "
                    "key from %(key_page)s, then try again.",
                    page=page_url,
                    key_page=self.key_page,
                )
                if with_key
                else english(
                    "CivitAI asks for a login: store an API key from %(key_page)s, then try again.",
                    key_page=self.key_page,
                )
            )
        if status == 403:
            return SourceRefused(
                english(
                    "CivitAI does not let this model be downloaded: see %(page)s.", page=page_url
                )
            )
        if status == 404:
            # Right after publishing, and while its storage has trouble, CivitAI answers 404
            # for what is there.
            return NotFound(
                english("CivitAI has no such model version or file. Check the id."),
                permanent=False,
                tries=3,
            )
        if status == 410:
            return NotFound(english("CivitAI has archived or removed this model."), code="GONE")
        return explain_common(self.label, status, headers)
