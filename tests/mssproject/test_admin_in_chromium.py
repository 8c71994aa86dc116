"""The admin in a real browser, on a desktop and a phone, light and dark: nothing complains, people
who see badly can use it, and what its scripts do works."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, OWNER
from tests.chromium import complaints, inaccessible, log_in
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.prompts import run, save

SIZES = {"desktop": {"width": 1360, "height": 850}, "phone": {"width": 390, "height": 800}}
SEED = """
from accounts import links
from accounts.models import Role, User
from downloads.models import DownloadJob
adam, alice = User.objects.get(username="adam"), User.objects.get(username="alice")
links.create_invitation(Role.objects.get(slug="user"), actor=adam, note="for a friend")
DownloadJob.objects.create(user=alice, target=alice, source="civitai", filename="x.safetensors",
    status="running", bytes_done=30, total_bytes=100, lease_owner="x")
result = alice.pk
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway on which something happened."""
    with serving(tmp_path_factory.mktemp("shown"), comfy.url, (OWNER, ADMIN, ALICE)) as server:
        server.run(SEED)
        alice = Client(server.url, session(server, ALICE), server.namespaces["alice"])
        for number in range(2):
            run(alice, save(f"shown-{number}"))
        yield server


@pytest.fixture(params=SIZES)
def page(
    request: pytest.FixtureRequest, shown: Gateway, chromium_browser: Chromium
) -> Iterator[Page]:
    """The owner's browser, dark on the phone."""
    dark = request.param == "phone"
    context = chromium_browser.new_context(
        viewport=SIZES[request.param],  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    log_in(page, shown.url, session(shown, OWNER))
    yield page
    context.close()


def faults(page: Page) -> list[str]:
    """What axe finds, and whether the page is wider than the window."""
    width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return [*inaccessible(page), *([f"{width} px wide"] if width > window else [])]


PAGES = (
    "/admin/",
    "/admin/accounts/user/",
    "/admin/accounts/user/add/",
    "/admin/accounts/user/{alice}/change/",
    "/admin/accounts/user/{alice}/about/capabilities/",
    "/admin/accounts/user/{alice}/about/prompts/",
    "/admin/accounts/user/{alice}/about/sees/",
    "/admin/accounts/user/{alice}/delete/",
    "/admin/accounts/role/matrix/",
    "/admin/accounts/role/add/",
    "/admin/accounts/accountlink/add/",
    "/admin/accounts/modelgrant/",
    "/admin/accounts/modelgrant/matrix/",
    "/admin/accounts/modelgrant/give/user/{alice}/",
    "/admin/accounts/auditentry/",
    "/admin/comfyproxy/contentverdict/",
    "/admin/comfyproxy/promptrecord/",
    "/admin/comfyproxy/usertree/tree/shared/",
    "/admin/downloads/downloadjob/",
    "/admin/mssproject/taskrun/",
)


def test_owner_finds_every_page_usable_and_without_complaint(shown: Gateway, page: Page) -> None:
    alice = shown.run(
        "from accounts.models import User; result = User.objects.get(username='alice').pk"
    )
    wrong = complaints(page)
    found = {}
    for path in PAGES:
        answer = page.goto(shown.url + path.format(alice=alice))
        assert answer is not None and answer.status == 200, path
        found[path] = faults(page)
    assert {path: texts for path, texts in found.items() if texts} == {}
    assert wrong == []


def test_dashboard_follows_what_happens(shown: Gateway, page: Page) -> None:
    wrong = complaints(page)
    page.goto(f"{shown.url}/admin/")
    progress = page.get_by_role("progressbar", name="x.safetensors")
    expect(progress).to_have_js_property("value", 30)
    shown.run("from downloads.models import DownloadJob; DownloadJob.objects.update(bytes_done=60)")
    expect(progress).to_have_js_property("value", 60, timeout=9_000)
    shown.run("from downloads.models import DownloadJob; DownloadJob.objects.update(bytes_done=30)")
    # Charts are drawn: not one colour only.
    drawn = page.locator("canvas").first.evaluate(
        "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data).size"
    )
    assert drawn > 2
    assert wrong == []


def test_dashboard_of_who_was_logged_out_leads_to_the_login(shown: Gateway, page: Page) -> None:
    page.goto(f"{shown.url}/admin/")
    expect(page.get_by_text("Latest prompts")).to_be_visible()
    page.context.clear_cookies()
    page.wait_for_url("**/login?next=%2Fadmin%2F", timeout=9_000)


def test_owner_ticks_capabilities_and_is_told_how_many(shown: Gateway, page: Page) -> None:
    wrong = complaints(page)
    page.goto(f"{shown.url}/admin/accounts/role/matrix/")
    page.get_by_label("Guest: Upload pictures and masks").check()
    page.get_by_role("button", name="Save 1 change").click()
    expect(page.get_by_text("Roles changed: 1.")).to_be_visible()
    box = page.get_by_label("Guest: Upload pictures and masks")
    expect(box).to_be_checked()
    box.uncheck()
    page.get_by_role("button", name="Save 1 change").click()
    expect(box).not_to_be_checked()
    expect(page.get_by_label("Owner: Upload pictures and masks")).to_be_disabled()
    assert wrong == []


def test_owner_gives_a_model_in_the_matrix(shown: Gateway, page: Page) -> None:
    wrong = complaints(page)
    page.goto(f"{shown.url}/admin/accounts/modelgrant/matrix/")
    box = page.get_by_label("alice: sd15.safetensors")
    box.check()
    page.get_by_role("button", name="Save 1 change").click()
    expect(page.get_by_text("Given: 1 more. Taken away: 0.")).to_be_visible()
    box.uncheck()
    page.get_by_role("button", name="Save 1 change").click()
    expect(page.get_by_text("Given: 0 more. Taken away: 1.")).to_be_visible()
    assert wrong == []


def test_newcomer_finds_the_way_without_reading_docs(shown: Gateway, page: Page) -> None:
    """Invite a person, give them a role and two models, see their first prompt, revoke their
    token, find all of it in the audit log: by what the pages say alone."""
    size = page.viewport_size
    assert size is not None
    name = f"nina-{size['width']}"
    wrong = complaints(page)

    def menu(text: str) -> None:
        if size["width"] < 1280:
            page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name=text, exact=True).click()

    page.goto(f"{shown.url}/admin/")
    menu("Users")
    page.get_by_role("link", name="Invite somebody").click()
    page.get_by_label("Role").select_option(label="User")
    page.get_by_label("For whom").or_(page.get_by_label("Note")).fill(name)
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_label("Link").input_value()
    # The person makes their account, and a token.
    person = Client(shown.url)
    person.headers["Origin"] = shown.url
    token = link.partition("invite_token=")[2]
    body = {"invite_token": token, "username": name, "password": "correct-Horse-9-battery"}
    assert person.post("/join", json=body).status_code in (200, 201, 302)
    made = person.post(
        "/mss-login/generate_token",
        json={"username": name, "password": "correct-Horse-9-battery", "label": "her phone"},
    )
    assert made.status_code == 200, made.text
    app = Client(shown.url, made.json()["token"])
    # Two models, by the dashboard's hint.
    page.goto(f"{shown.url}/admin/")
    page.get_by_role("link", name="Grant some now.").click()
    page.get_by_label(f"{name}: sd15.safetensors").check()
    page.get_by_label(f"{name}: sdxl.safetensors").check()
    page.get_by_role("button", name="Save 2 changes").click()
    expect(page.get_by_text("Given: 2 more. Taken away: 0.")).to_be_visible()
    # Her first prompt arrives.
    answer = app.post("/prompt", json={"prompt": save(f"first-{size['width']}")})
    assert answer.status_code == 200, answer.text
    page.goto(f"{shown.url}/admin/")
    expect(page.locator(".mss-card").filter(has_text="Latest prompts")).to_contain_text(name)
    # Her token is revoked.
    menu("API tokens")
    row = page.locator("#result_list tr").filter(has_text=name)
    row.get_by_role("link").first.click()
    page.get_by_role("link", name="Delete API token").click()
    page.get_by_role("button", name=re.compile("^Yes")).click()
    expect(page.locator(".messagelist")).to_contain_text("deleted successfully")
    assert app.get("/queue").status_code == 401
    menu("Audit log")
    table = page.locator("#result_list")
    for event in ("token.revoked", "grant.added", "token.created", "invitation.accepted"):
        expect(table).to_contain_text(event)
    expect(table).to_contain_text("invitation.created")
    assert wrong == []
