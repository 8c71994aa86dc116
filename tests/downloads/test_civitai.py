"""CivitAI: wishes and pasted addresses, the choice of the file, refusals in plain words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloads.errors import (
    DownloadError,
    NeedsLogin,
    NoSuchFile,
    NotFound,
    SourceBusy,
    SourceDown,
    SourceRefused,
    WrongContent,
)
from downloads.sources import SOURCES, BadWish
from downloads.sources.civitai import CivitAI
from downloads.sources.civitai_files import CivitaiWish, choose
from downloads.web import Web
from tests.downloads.anything import bodies
from tests.downloads.servers import Reply, Server, json_reply

HASH = "AB" * 32


def parse(**data: Any) -> CivitaiWish:
    return CivitAI().parse(data)


@pytest.mark.parametrize(
    ("data", "wish"),
    [
        ({"model_version_id": 456}, CivitaiWish(456)),
        ({"modelVersionId": "456"}, CivitaiWish(456)),
        ({"model_version_id": 456, "modelVersionId": 456}, CivitaiWish(456)),
        (
            {"model_version_id": 4, "format": "SafeTensor", "fp": ""},
            CivitaiWish(4, format="SafeTensor"),
        ),
        ({"model_version_id": 4, "folder_type": [], "destination_type": {}}, CivitaiWish(4)),
        ({"url": "https://civitai.com/models/123?modelVersionId=456"}, CivitaiWish(456, 123)),
        ({"url": "civitai.com/models/123/a-name?modelVersionId=456#x"}, CivitaiWish(456, 123)),
        ({"url": "https://civitai.com/models/123/a-name"}, CivitaiWish(None, 123)),
        (
            {
                "url": "https://civitai.com/api/download/models/456?type=Model&format=SafeTensor&fp=fp16"
            },
            CivitaiWish(456, type="Model", format="SafeTensor", fp="fp16"),
        ),
        ({"url": "https://civitai.com/api/download/models/4?fileId=9"}, CivitaiWish(4, file_id=9)),
        ({"url": "https://civitai.com/api/v1/model-versions/456"}, CivitaiWish(456)),
        ({"url": "https://civitai.red/models/1?modelVersionId=2"}, CivitaiWish(2, 1)),
        ({"url": "urn:air:sdxl:lora:civitai:123@456"}, CivitaiWish(456, 123)),
        ({"url": "civitai:123@456.safetensors"}, CivitaiWish(456, 123)),
        ({"model_version_id": "https://civitai.com/models/1?modelVersionId=2"}, CivitaiWish(2, 1)),
    ],
)
def test_a_wish_is_understood(data: dict[str, Any], wish: CivitaiWish) -> None:
    assert parse(**data) == wish


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "model_version_id"),
        ({"model_version_id": 0}, "model_version_id"),
        ({"model_version_id": -1}, "model_version_id"),
        ({"model_version_id": True}, "model_version_id"),
        ({"model_version_id": 1.5}, "model_version_id"),
        ({"model_version_id": "abc"}, "model_version_id"),
        ({"model_version_id": "1" * 30}, "model_version_id"),
        ({"model_version_id": [1]}, "model_version_id"),
        ({"model_version_id": 1, "modelVersionId": 2}, "modelVersionId"),
        (
            {"url": "https://civitai.com/models/1?modelVersionId=2", "model_version_id": 3},
            "model_version_id",
        ),
        ({"url": "https://evil.example/models/1?modelVersionId=2"}, "url"),
        ({"url": "https://civitai.com.evil.example/models/1"}, "url"),
        ({"url": "https://civitai.com/user/somebody"}, "url"),
        ({"url": "https://civitai.com/models/1?modelVersionId=x"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": 5}, "url"),
        ({"model_version_id": 1, "format": 5}, "format"),
        ({"model_version_id": 1, "type": "x" * 65}, "type"),
        ({"model_version_id": 1, "fp": "a\0"}, "fp"),
    ],
)
def test_a_bad_wish_is_refused_by_field(data: dict[str, Any], field: str) -> None:
    with pytest.raises(BadWish) as caught:
        parse(**data)
    assert caught.value.field == field


@given(bodies("url", "model_version_id", "modelVersionId", "type", "format", "model_id", "file_id"))
def test_any_body_is_a_wish_or_a_bad_one(data: dict[str, Any]) -> None:
    try:
        wish = CivitAI().parse(data)
    except BadWish:
        return
    assert CivitAI().parse(wish.as_dict()) == wish


def file(id: int, **changes: Any) -> dict[str, Any]:
    metadata = {"format": "SafeTensor", "size": "pruned", "fp": "fp16"}
    metadata |= changes.pop("metadata", {})
    values = {"id": id, "name": f"m{id}.safetensors", "type": "Model", "sizeKB": 2048.5}
    return values | {"metadata": metadata, "hashes": {"SHA256": HASH}} | changes


FILES = [
    file(1, metadata={"size": "full", "fp": "fp32"}),
    file(2, primary=True),
    file(3, name="m3.ckpt", metadata={"format": "PickleTensor"}),
    file(4, type="Training Data", metadata={"format": "Other"}),
    file(5, type="VAE"),
]


@pytest.mark.parametrize(
    ("wish", "chosen"),
    [
        ({}, 2),
        ({"format": "safetensor"}, 2),
        ({"fp": "fp32"}, 1),
        ({"size": "full"}, 1),
        ({"format": "PickleTensor"}, 3),
        ({"type": "training data"}, 4),
        ({"type": "VAE"}, 5),
        ({"file_id": 4}, 4),
    ],
)
def test_the_file_that_fits_is_chosen(wish: dict[str, Any], chosen: int) -> None:
    assert choose(FILES, CivitaiWish(1, **wish))["id"] == chosen


def test_what_fits_no_file_or_several_is_told_with_the_choices() -> None:
    with pytest.raises(NoSuchFile, match=r"m1.safetensors, Model, SafeTensor, full, fp32"):
        choose(FILES, CivitaiWish(1, fp="nf4"))
    with pytest.raises(NoSuchFile, match=r"Several files fit.*m1.*m3"):
        choose([FILES[0], FILES[2]], CivitaiWish(1))
    with pytest.raises(NoSuchFile, match="none"):
        choose([], CivitaiWish(1))


def version(**changes: Any) -> dict[str, Any]:
    values = {"id": 456, "modelId": 123, "name": "v1", "model": {"name": "M", "type": "LORA"}}
    return values | {"files": FILES} | changes


def ask(site: Server, web: Web, wish: CivitaiWish | None = None, key: str | None = "k") -> Any:
    return CivitAI(site.url).resolve(wish or CivitaiWish(456), key, web)


def test_a_version_is_resolved_to_its_file(site: Server, web: Web) -> None:
    site.routes["/api/v1/model-versions/456"] = json_reply(version())
    remote = ask(site, web)
    assert remote.filename == "m2.safetensors"
    assert remote.url == (
        f"{site.url}/api/download/models/456?fileId=2&type=Model&format=SafeTensor&size=pruned&fp=fp16"
    )
    assert (remote.size, remote.size_slack, remote.sha256) == (2097664, 1024, HASH.lower())
    assert remote.folder_type == "loras"
    assert remote.page_url == f"{site.url}/models/123?modelVersionId=456"
    assert remote.origin_hosts == {site.host}
    assert remote.headers == {"Authorization": "Bearer k"}
    assert site.asked[0].headers["Authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("model_type", "file_type", "folder"),
    [
        ("Checkpoint", "Model", "checkpoints"),
        ("Checkpoint", "VAE", "vae"),
        ("TextualInversion", "Model", "embeddings"),
        ("LoCon", "Model", "loras"),
        ("Upscaler", "Model", "upscale_models"),
        ("Controlnet", "Model", "controlnet"),
        ("Wildcards", "Model", None),
        (None, None, None),
    ],
)
def test_the_folder_is_guessed_by_type(
    site: Server, web: Web, model_type: Any, file_type: Any, folder: str | None
) -> None:
    only = [file(1, type=file_type)]
    site.routes["/api/v1/model-versions/456"] = json_reply(
        version(model={"type": model_type}, files=only)
    )
    assert ask(site, web).folder_type == folder


def test_a_model_without_a_version_is_its_newest(site: Server, web: Web) -> None:
    site.routes["/api/v1/models/123"] = json_reply({"modelVersions": [{"id": 456}, {"id": 4}]})
    site.routes["/api/v1/model-versions/456"] = json_reply(version())
    assert "/456?" in ask(site, web, CivitaiWish(None, 123)).url


def test_hostile_answers_are_data_or_errors(site: Server, web: Web) -> None:
    odd: list[Any] = [
        [], "x", {"files": "x"}, {"files": [1, None, {}]}, {"model": 5, "files": [{"id": []}]},
        {"files": [{"name": "../../x", "sizeKB": -1, "hashes": [], "metadata": 5}]},
        {"files": [{"name": 5, "sizeKB": 1e400, "hashes": {"SHA256": "zz"}}]},
    ]  # fmt: skip
    for body in odd:
        site.routes["/api/v1/model-versions/456"] = json_reply(body)
        try:
            remote = ask(site, web)
        except DownloadError:
            continue
        assert (remote.size, remote.sha256) == (None, None)


@pytest.mark.parametrize(
    ("reply", "kind", "permanent"),
    [
        (json_reply({"error": "Unauthorized"}, 401), NeedsLogin, True),
        (json_reply({"error": "Forbidden"}, 403), SourceRefused, True),
        (json_reply({"error": "No model"}, 404), NotFound, False),
        (Reply(410), NotFound, True),
        (Reply(429, headers={"Retry-After": "7"}), SourceBusy, False),
        (Reply(500), SourceDown, False),
        (Reply(200, b"<html>"), WrongContent, True),
        (Reply(418), SourceRefused, True),
    ],
)
def test_a_refusal_is_told_in_plain_words(
    site: Server, web: Web, reply: Reply, kind: type[DownloadError], permanent: bool
) -> None:
    site.routes["/api/v1/model-versions/456"] = reply
    with pytest.raises(kind) as caught:
        ask(site, web)
    assert caught.value.permanent is permanent
    assert caught.value.sentence.startswith("CivitAI")
    if isinstance(caught.value, SourceBusy):
        assert caught.value.retry_after == 7


def test_early_access_and_a_missing_key_say_what_to_do(site: Server, web: Web) -> None:
    site.routes["/api/v1/model-versions/456"] = json_reply({"error": "Early Access"}, 403)
    with pytest.raises(SourceRefused, match="early access: buy access at"):
        ask(site, web)
    site.routes["/api/v1/model-versions/456"] = json_reply({"error": "Unauthorized"}, 401)
    with pytest.raises(NeedsLogin, match="store an API key"):
        ask(site, web, key=None)


def test_a_model_for_the_site_only_is_refused(site: Server, web: Web) -> None:
    site.routes["/api/v1/model-versions/456"] = json_reply(version(usageControl="Generation"))
    with pytest.raises(SourceRefused, match="creator"):
        ask(site, web)


def test_a_key_that_no_header_can_carry_is_not_sent(site: Server, web: Web) -> None:
    site.routes["/api/v1/model-versions/456"] = json_reply(version())
    ask(site, web, key="a\r\nX-Evil: 1")
    assert "X-Evil" not in site.asked[0].headers


def test_a_search_lists_models_with_their_files(site: Server, web: Web) -> None:
    model = {"id": 123, "name": "M", "type": "LORA"}
    versions = [{"id": 456, "files": FILES[:1]}, {"id": 4, "files": FILES}]
    site.routes["/api/v1/models"] = json_reply({"items": [model | {"modelVersions": versions}, 5]})
    (found,) = CivitAI(site.url).search("a b&c", None, web)
    assert site.asked[0].query["query"] == ["a b&c"]
    assert (found.name, found.folder_type, found.page_url) == (
        "M",
        "loras",
        f"{site.url}/models/123",
    )
    (only,) = found.files
    assert (only.id, only.size, only.format) == ("1", 2097664, "SafeTensor")
    assert CivitAI().parse(only.wish) == CivitaiWish(456, file_id=1)


@given(st.sampled_from(sorted(SOURCES)), st.integers(300, 599), st.text(max_size=30), st.booleans())
def test_any_refusal_has_a_sentence(name: str, status: int, code: str, key: bool) -> None:
    source = SOURCES[name]()
    error = source.explain(status, {"X-Error-Code": code, "Retry-After": code}, code, "page", key)
    assert error.sentence and error.code
