"""Hugging Face: wishes and pasted addresses, the first answer's facts, refusals in plain words."""

from typing import Any

import pytest
from hypothesis import given

from downloads.errors import (
    DownloadError,
    NeedsLogin,
    NeedsTerms,
    NotFound,
    SourceBusy,
    SourceDown,
    SourceRefused,
)
from downloads.sources import BadWish
from downloads.sources.huggingface import HuggingFace, guess_folder
from downloads.sources.huggingface_wish import HuggingFaceWish
from downloads.web import Web
from tests.downloads.anything import bodies
from tests.downloads.servers import Reply, Server, json_reply, redirect

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HASH = "ab" * 32
PATH = "split_files/vae/v.safetensors"
WISH = HuggingFaceWish("o/m", PATH)
SITE = "https://huggingface.co"


@pytest.mark.parametrize(
    ("data", "wish"),
    [
        ({"repo_id": "o/m", "filename": "a.sft"}, HuggingFaceWish("o/m", "a.sft")),
        ({"repo_id": "gpt2", "filename": "a.sft"}, HuggingFaceWish("gpt2", "a.sft")),
        (
            {"repo_id": "o/m", "filename": "a.sft", "subfolder": "/b/c/", "revision": "refs/pr/1"},
            HuggingFaceWish("o/m", "b/c/a.sft", "refs/pr/1"),
        ),
        ({"url": f"{SITE}/o/m/blob/main/b/a%20b.sft"}, HuggingFaceWish("o/m", "b/a b.sft")),
        ({"url": f"{SITE}/o/m/resolve/v/a?download=true"}, HuggingFaceWish("o/m", "a", "v")),
        ({"url": f"{SITE}/o/m/blob/refs%2Fpr%2F1/a"}, HuggingFaceWish("o/m", "a", "refs/pr/1")),
        ({"url": f"{SITE}/o/m/blob/refs/pr/1/a.sft"}, HuggingFaceWish("o/m", "a.sft", "refs/pr/1")),
        ({"url": f"{SITE}/gpt2/resolve/main/a.sft"}, HuggingFaceWish("gpt2", "a.sft")),
        ({"url": f"{SITE}/models/o/m/blob/main/a.sft"}, HuggingFaceWish("o/m", "a.sft")),
        ({"url": "hf.co/o/m", "filename": "a.sft"}, HuggingFaceWish("o/m", "a.sft")),
        ({"repo_id": f"{SITE}/o/m/blob/main/a.sft"}, HuggingFaceWish("o/m", "a.sft")),
        (
            {"url": f"{SITE}/o/m/tree/dev/b", "filename": "a.sft"},
            HuggingFaceWish("o/m", "b/a.sft", "dev"),
        ),
    ],
)  # fmt: skip
def test_a_wish_is_understood(data: dict[str, Any], wish: HuggingFaceWish) -> None:
    assert HuggingFace().parse(data) == wish


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "repo_id"),
        ({"repo_id": 5}, "repo_id"),
        ({"repo_id": "o/m/x", "filename": "a"}, "repo_id"),
        ({"repo_id": "../m", "filename": "a"}, "repo_id"),
        ({"repo_id": "o/m.git", "filename": "a"}, "repo_id"),
        ({"repo_id": "o/" + "m" * 96, "filename": "a"}, "repo_id"),
        ({"repo_id": "o/m"}, "filename"),
        ({"repo_id": "o/m", "filename": "../a"}, "filename"),
        ({"repo_id": "o/m", "filename": "/a"}, "filename"),
        ({"repo_id": "o/m", "filename": "a\\b"}, "filename"),
        ({"repo_id": "o/m", "filename": "a\nb"}, "filename"),
        ({"repo_id": "o/m", "filename": "a", "subfolder": "b/../c"}, "filename"),
        ({"repo_id": "o/m", "filename": "a", "revision": "../x"}, "revision"),
        ({"url": f"{SITE}/o/m"}, "filename"),
        ({"url": f"{SITE}/o/m/tree/main/b"}, "filename"),
        ({"url": f"{SITE}/o/m/blob/main/a", "repo_id": "o/other"}, "repo_id"),
        ({"url": f"{SITE}/datasets/o/m/blob/main/a"}, "url"),
        ({"url": f"{SITE}/spaces/o/m/blob/main/a"}, "url"),
        ({"url": "https://evil.example/o/m/blob/main/a"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": SITE}, "url"),
    ],
)
def test_a_bad_wish_is_refused_by_field(data: dict[str, Any], field: str) -> None:
    with pytest.raises(BadWish) as caught:
        HuggingFace().parse(data)
    assert caught.value.field == field


@given(bodies("repo_id", "filename", "subfolder", "revision", "url"))
def test_any_body_is_a_wish_or_a_bad_one(data: dict[str, Any]) -> None:
    try:
        wish = HuggingFace().parse(data)
    except BadWish:
        return
    assert HuggingFace().parse(wish.as_dict()) == wish


def ask(site: Server, web: Web, key: str | None = None, wish: HuggingFaceWish = WISH) -> Any:
    return HuggingFace(site.url).resolve(wish, key, web)


def test_size_and_hash_come_from_the_first_answer(site: Server, storage: Server, web: Web) -> None:
    reply = redirect(f"{storage.url}/cdn")
    reply.headers |= {"X-Linked-Size": "1234", "X-Linked-Etag": f'"{HASH}"'}
    reply.headers |= {"X-Repo-Commit": COMMIT, "ETag": '"other"'}
    site.routes[f"/o/m/resolve/main/{PATH}"] = reply
    remote = ask(site, web, "k")
    assert (remote.size, remote.sha256, remote.size_slack) == (1234, HASH, 0)
    assert remote.url == f"{site.url}/o/m/resolve/{COMMIT}/{PATH}"
    assert (remote.filename, remote.folder_type) == ("v.safetensors", "vae")
    assert remote.page_url == f"{site.url}/o/m"
    assert site.asked[0].method == "HEAD"
    assert site.asked[0].headers["Authorization"] == "Bearer k"
    assert storage.asked == []


def test_a_renamed_repository_is_followed(site: Server, web: Web) -> None:
    site.routes[f"/o/m/resolve/main/{PATH}"] = redirect(f"/new/m/resolve/main/{PATH}", 307)
    site.routes[f"/new/m/resolve/main/{PATH}"] = Reply(200, b"x" * 50, {"ETag": f'"{"a" * 40}"'})
    remote = ask(site, web)
    assert (remote.size, remote.sha256) == (50, None)


def test_names_and_revisions_are_escaped(site: Server, web: Web) -> None:
    site.routes["/o/m/resolve/refs%2Fpr%2F1/a%20%23%3F.sft"] = Reply(200, b"x")
    assert ask(site, web, wish=HuggingFaceWish("o/m", "a #?.sft", "refs/pr/1")).size == 1


@pytest.mark.parametrize(
    ("status", "code", "key", "kind", "says"),
    [
        (401, "GatedRepo", None, NeedsTerms, "accept its terms at .*/o/m, store an access token"),
        (403, "GatedRepo", "k", NeedsTerms, "accept its terms at .*/o/m, then try again"),
        (401, "RepoNotFound", None, NeedsLogin, "no such public repository"),
        (401, "RepoNotFound", "k", NotFound, "no such repository"),
        (404, "RepoNotFound", "k", NotFound, "no such repository"),
        (404, "EntryNotFound", None, NotFound, "no such file"),
        (404, "RevisionNotFound", None, NotFound, "no such revision"),
        (401, "", "k", NeedsLogin, "did not accept the access token"),
        (403, "", "k", SourceRefused, "may not read"),
        (500, "", None, SourceDown, "trouble"),
    ],
)
def test_a_refusal_is_told_in_plain_words(
    site: Server,
    web: Web,
    status: int,
    code: str,
    key: str | None,
    kind: type[DownloadError],
    says: str,
) -> None:
    site.routes[f"/o/m/resolve/main/{PATH}"] = Reply(status, headers={"X-Error-Code": code})
    with pytest.raises(kind, match=says) as caught:
        ask(site, web, key)
    assert caught.value.permanent is (status < 500)


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "9"}, {"RateLimit": '"api";r=0;t=9'}, {"Retry-After": "0"}]
)
def test_a_busy_site_says_how_long(site: Server, web: Web, headers: dict[str, str]) -> None:
    site.routes[f"/o/m/resolve/main/{PATH}"] = Reply(429, headers=headers)
    with pytest.raises(SourceBusy) as caught:
        ask(site, web)
    assert caught.value.retry_after == float(headers.get("Retry-After", "9"))


def test_a_search_lists_repositories_with_their_model_files(site: Server, web: Web) -> None:
    files = [{"rfilename": n} for n in (PATH, "README.md", "config.json", "a.bin")] + [5, {}]
    site.routes["/api/models"] = json_reply(
        [{"id": "o/m", "siblings": files, "pipeline_tag": "text-to-image"}, {"id": "../x"}, 5]
    )
    (found,) = HuggingFace(site.url).search("some model", None, web)
    assert (found.name, found.folder_type, found.type) == ("o/m", "vae", "text-to-image")
    assert [file.name for file in found.files] == [PATH, "a.bin"]
    assert HuggingFace().parse(found.files[0].wish) == WISH


def test_a_repository_named_in_full_is_listed_with_sizes(site: Server, web: Web) -> None:
    files = [{"rfilename": PATH, "size": 77}]
    site.routes["/api/models/o/m"] = json_reply({"id": "o/m", "siblings": files})
    (found,) = HuggingFace(site.url).search(" o/m ", None, web)
    assert [file.size for file in found.files] == [77]


def test_the_folder_is_guessed_by_the_path() -> None:
    assert guess_folder("split_files/Diffusion_Models/a.sft") == "diffusion_models"
    assert guess_folder("clip/a.sft") == "text_encoders"
    assert guess_folder("loras") is None
