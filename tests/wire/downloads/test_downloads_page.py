"""/account/downloads in a real browser: add, watch, cancel, try again, store a key."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.accounts.acting import session
from tests.browser import Browser
from tests.cast import ALICE, BOB, POWER
from tests.chromium import complaints, log_in
from tests.client import Client
from tests.downloads.servers import Reply, json_reply, safetensors
from tests.downloads.shop import KEY, Sites, downloading
from tests.downloadworker import DownloadWorker
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import check_refusal

WHERE = "/account/downloads"
AS_SCRIPT = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread, sites: Sites
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("page")
    with downloading(folder, comfy, sites) as server, DownloadWorker(server):
        yield server


def test_person_adds_a_model_and_watches_it_come(
    shop: Gateway, sites: Sites, chromium_page: Page
) -> None:
    sites.on_huggingface("org/page", "of-the-page.safetensors", safetensors(20_000_000, seed=20))
    sites.slow = 0.01
    log_in(chromium_page, shop.url, session(shop, ALICE))
    wrong = complaints(chromium_page)
    chromium_page.goto(f"{shop.url}/account")
    chromium_page.get_by_role("link", name="Downloads").click()
    expect(chromium_page.get_by_role("heading", name="Downloads", exact=True)).to_be_visible()
    chromium_page.get_by_label("Site", exact=True).select_option("huggingface")
    address = f"{sites.huggingface.url}/org/page/blob/main/of-the-page.safetensors"
    chromium_page.get_by_label("Address of the model's page or file").fill(address)
    chromium_page.get_by_label("Folder", exact=True).select_option("vae")
    chromium_page.get_by_role("button", name="Download", exact=True).click()
    expect(chromium_page.get_by_role("status")).to_have_text("It is in the list below.")
    jobs = chromium_page.get_by_role("list", name="Your downloads")
    expect(jobs.get_by_role("progressbar")).to_be_visible()
    expect(jobs).to_contain_text("MB")
    sites.slow = 0.0
    expect(jobs).to_contain_text("Done.")
    assert wrong == []


def test_person_is_told_why_and_tries_again(
    shop: Gateway, sites: Sites, chromium_page: Page
) -> None:
    path = "/org/closed/resolve/main/m.safetensors"
    sites.huggingface.routes[path] = Reply(403, b"", {"X-Error-Code": "GatedRepo"})
    log_in(chromium_page, shop.url, session(shop, ALICE))
    wrong = complaints(chromium_page)
    chromium_page.goto(shop.url + WHERE)
    chromium_page.get_by_label("Site", exact=True).select_option("huggingface")
    chromium_page.get_by_label("Address of the model's page or file").fill(
        f"{sites.huggingface.url}/org/closed/resolve/main/m.safetensors"
    )
    chromium_page.get_by_role("button", name="Download", exact=True).click()
    jobs = chromium_page.get_by_role("list", name="Your downloads")
    row = jobs.get_by_role("listitem").first
    expect(row).to_contain_text("Failed.")
    expect(row).to_contain_text("accept")
    sites.on_huggingface("org/closed", "m.safetensors", safetensors(1000, seed=21))
    row.get_by_role("button", name="Try again").click()
    expect(row).to_contain_text("Done.")
    assert wrong == []


def test_person_stores_a_key_looks_for_a_model_and_cancels_it(
    shop: Gateway, sites: Sites, chromium_page: Page
) -> None:
    content = safetensors(40_000_000, seed=22)
    sites.on_civitai(815, "found.safetensors", content)
    version = sites.civitai.routes["/api/v1/model-versions/815"]
    assert isinstance(version, Reply)
    about = json.loads(version.body)
    sites.civitai.routes["/api/v1/models"] = json_reply(
        {"items": [{"id": 816, "name": "A found one", "type": "LORA", "modelVersions": [about]}]}
    )
    log_in(chromium_page, shop.url, session(shop, POWER))
    wrong = complaints(chromium_page)
    chromium_page.goto(shop.url + WHERE)
    key = chromium_page.get_by_label("CivitAI: none")
    key.fill(KEY)
    chromium_page.locator("form[data-source=civitai]").get_by_role("button").click()
    expect(chromium_page.get_by_role("status")).to_have_text("The key is stored.")
    expect(chromium_page.get_by_label("CivitAI: stored")).to_have_value("")
    chromium_page.get_by_label("Or look for one").fill("a found one")
    chromium_page.get_by_role("button", name="Search").click()
    found = chromium_page.get_by_role("list", name="Found models")
    expect(found).to_contain_text("A found one")
    sites.slow = 0.05
    found.get_by_role("button", name="Download found.safetensors").click()
    jobs = chromium_page.get_by_role("list", name="Your downloads")
    expect(jobs.get_by_role("progressbar")).to_be_visible()
    jobs.get_by_role("button", name="Cancel found.safetensors").click()
    expect(jobs).to_contain_text("Cancelled.")
    sites.slow = 0.0
    assert wrong == []


def test_only_who_may_download_sees_the_page(shop: Gateway) -> None:
    bob = Browser(shop.url, session(shop, BOB))
    assert "/account/downloads" not in bob.get("/account").text
    assert bob.get(WHERE).status_code == 403
    for answer in (
        bob.get(f"{WHERE}/jobs", headers=AS_SCRIPT),
        bob.post(f"{WHERE}/jobs", json={}, headers=AS_SCRIPT),
        bob.post(f"{WHERE}/keys", json={}, headers=AS_SCRIPT),
        bob.get(f"{WHERE}/search", headers=AS_SCRIPT),
    ):
        check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_download_models")
    nobody = Browser(shop.url)
    assert nobody.get(WHERE).headers["Location"] == f"/login?next={WHERE}"


def test_other_sites_page_starts_no_download(shop: Gateway) -> None:
    alice = Browser(shop.url, session(shop, ALICE))
    cross = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    for path in ("jobs", "keys"):
        answer = alice.post(f"{WHERE}/{path}", json={}, headers=AS_SCRIPT | cross)
        check_refusal(answer, 403, "CROSS_ORIGIN")


def test_search_over_the_api_says_what_is_wrong(shop: Gateway, sites: Sites) -> None:
    client = Client(shop.url, session(shop, ALICE))
    path = "/mss-login/api/model-download/search"
    for params, field in (
        ({}, "source"),
        ({"source": "nope", "query": "x"}, "source"),
        ({"source": "civitai"}, "query"),
        ({"source": "civitai", "query": "x" * 201}, "query"),
    ):
        check_refusal(client.get(path, params=params), 400, "BAD_REQUEST", field=field)
    sites.civitai.routes["/api/v1/models"] = Reply(503, b"")
    answer = client.get(path, params={"source": "civitai", "query": "x"})
    assert (answer.status_code, answer.json()["code"]) == (502, "SOURCE_FAILED")


def test_search_for_a_repository_that_is_not_there_says_so(shop: Gateway, sites: Sites) -> None:
    client = Client(shop.url, session(shop, ALICE))
    sites.huggingface.routes["/api/models/some/thing"] = Reply(
        404, b"{}", {"X-Error-Code": "RepoNotFound"}
    )
    params = {"source": "huggingface", "query": "some/thing"}
    answer = client.get("/mss-login/api/model-download/search", params=params)
    check_refusal(answer, 404, "NOT_FOUND")
