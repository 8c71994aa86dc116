"""People before ComfyUI's own page, whatever version of it: who they are, what they run and have,
what they are refused, and a login that ends meanwhile."""

import requests
from playwright.sync_api import Browser, expect

from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, BOB, CHARLIE, GUEST, PASSWORD, POWER, Person
from tests.chromium import inaccessible
from tests.client import Client
from tests.comfypage import PHONE, ComfyPage, comfy_page, workflow
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import run, save, slow, submit
from tests.refusals import wait_until
from tests.wire.inside.conftest import Before

GRANT = """
from accounts import granting
from accounts.models import User
user = User.objects.get(username=username)
granting.grant(user, [granting.item(*pair) for pair in items], actor=None)
result = None
"""
DOWNLOAD = """
from accounts.models import User
from downloads.models import DownloadJob
user = User.objects.get(username=username)
DownloadJob.objects.create(user=user, target=user, source="civitai", filename="coming.safetensors",
    status="running", bytes_done=30, total_bytes=100, lease_owner="x")
result = None
"""
LOCK = """
from comfyproxy.models import SettingDefault
SettingDefault.objects.create(setting_id="Comfy.Locale", value="en", locked=True)
result = None
"""


def log_in(page: ComfyPage, person: Person) -> None:
    """Through the form that is shown."""
    page.page.get_by_label("User name").fill(person.username)
    page.page.get_by_label("Password").fill(PASSWORD)
    page.page.get_by_role("button", name="Log in", exact=True).click()


END_LOGINS = """
from accounts import proofs
from accounts.models import Session
for row in Session.objects.filter(user__username=username):
    proofs.end_session(row, actor=row.user, ip=None)
result = None
"""


def end_logins(gateway: Gateway, person: Person) -> None:
    gateway.run(END_LOGINS, username=person.username)


class InsideComfyui:
    """The tests of one version. A file each, so that they run side by side."""

    def test_person_logs_in_runs_a_prompt_and_sees_the_picture(
        self, gateway: Gateway, usual: set[str], chromium_browser: Browser
    ) -> None:
        with comfy_page(chromium_browser, gateway.url) as page:
            page.page.goto(gateway.url)
            assert page.page.url == f"{gateway.url}/login"
            log_in(page, ALICE)
            page.is_there()
            who, account, leave = page.menu("Account")
            assert (who, account, leave) == ("alice (User)", "My account", "Log out")
            queue = page.tab("My queue")
            expect(queue).to_contain_text("Nothing yet")
            page.load(workflow("castle"))
            page.run_button().click()
            row = queue.locator("li[data-state=success]")
            expect(row).to_have_count(1)
            picture = row.locator("img")
            expect(picture).to_be_visible()
            assert "castle" in (picture.get_attribute("src") or "")
            wait_until(lambda: picture.evaluate("image => image.naturalWidth") == 64, 10)
            page.page.keyboard.press("Control+s")
            page.page.get_by_role("dialog").get_by_role("textbox").fill("my castle")
            page.page.keyboard.press("Enter")
            alice = Client(gateway.url, session(gateway, ALICE), gateway.namespaces["alice"])
            saved = "/userdata/workflows%2Fmy%20castle.json"
            wait_until(lambda: alice.get(saved).status_code == 200, 10)
            assert "castle" in alice.get(saved).text
            # What a person without eyes or mouse has of it.
            assert inaccessible(page.page, ".mss-panel") == []
            assert page.troubles.found() - usual == set()

    def test_person_follows_waiting_prompts_cancels_one_and_opens_an_old_one(
        self, gateway: Gateway, front: FakeComfyThread, before: Before
    ) -> None:
        bob = before(BOB).open()
        client = Client(gateway.url, session(gateway, BOB), gateway.namespaces["bob"])
        extra = {"extra_data": {"extra_pnginfo": {"workflow": workflow("old")}}}
        run(client, save("old"), **extra)
        queue = bob.tab("My queue")
        expect(queue.locator("li[data-state=success]")).to_have_count(1)
        # Progress is told to the page that sent a prompt: this one, by its id.
        page_id = bob.page.evaluate("app.api.clientId")
        submit(client, slow(2, steps=20), client_id=page_id)
        bar = queue.locator("li[data-state=running]").get_by_role("progressbar")
        expect(bar).to_be_visible()
        wait_until(lambda: 0 < bar.evaluate("bar => bar.position") < 1, 5)
        expect(queue.locator("li[data-state=success]")).to_have_count(2)
        front.pause()
        try:
            bob.load(workflow("new"))
            bob.run_button().click()
            bob.run_button().click()
            waiting = queue.locator("li[data-state=running], li[data-state=waiting]")
            expect(waiting).to_have_count(2)
            last = queue.locator("li[data-state=waiting]").last
            expect(last).to_contain_text("Prompts before it: 1")
            last.get_by_role("button", name="Cancel").click()
            expect(queue.locator("li[data-state=cancelled]")).to_have_count(1)
            bob.run_button().click()
            expect(waiting).to_have_count(2)
            bob.run_button().click()
            bob.tells("That is more than you may have")
        finally:
            front.resume()
        expect(queue.locator("li[data-state=success]")).to_have_count(4)
        bob.close_dialogs()
        oldest = queue.locator("li[data-state=success]").last
        oldest.get_by_role("button", name="Open").click()
        wait_until(lambda: ["old"] in bob.on_canvas(), 10)

    def test_person_on_a_phone_is_told_why_a_picture_is_missing(
        self, gateway: Gateway, before: Before
    ) -> None:
        jwt = session(gateway, CHARLIE)
        charlie = Client(gateway.url, jwt, gateway.namespaces["charlie"])
        (image,) = run(charlie, save("explicit"))["outputs"]["2"]["images"]
        admin = Client(gateway.url, session(gateway, ADMIN))
        marked = admin.post("/mss-login-gallery/mark-nsfw", json={**image, "is_nsfw": True})
        assert marked.status_code == 200, marked.text
        page = before(CHARLIE, size=PHONE).open()
        queue = page.tab("My queue")
        expect(queue.locator("li[data-state=success] img")).to_be_visible()
        box = queue.bounding_box()
        assert box is not None and box["x"] + box["width"] <= PHONE["width"]
        page.tells("A picture is not shown")
        expect(page.toasts()).to_have_count(1)

    def test_person_finds_their_models_and_is_told_why_another_is_refused(
        self, gateway: Gateway, front: FakeComfyThread, before: Before
    ) -> None:
        allowed, other, *_ = requests.get(f"{front.url}/models/checkpoints", timeout=10).json()
        gateway.run(GRANT, username="alice", items=[["checkpoints", allowed]])
        alice = before(ALICE).open()
        models = alice.tab("My models")
        expect(models.locator("summary")).to_have_text(["checkpoints (1)"])
        models.locator("summary").click()
        expect(models.get_by_text(allowed)).to_be_visible()
        models.get_by_role("searchbox").fill("no such words")
        expect(models).to_contain_text("None of your models has these words")
        assert inaccessible(alice.page, ".mss-panel") == []
        # They have no part in downloads.
        expect(models.get_by_text("My downloads")).to_have_count(0)
        asked = len(front.requests)
        alice.load(workflow("castle", checkpoint=other))
        alice.run_button().click()
        alice.tells("This model is not yours to use")
        alice.tells(f"checkpoints/{other}")
        assert not any(each.path.endswith("/prompt") for each in front.requests[asked:])

    def test_person_sees_how_far_a_download_is_and_no_setting_that_is_locked(
        self, gateway: Gateway, before: Before
    ) -> None:
        gateway.run(DOWNLOAD, username="paula")
        gateway.run(LOCK)
        paula = before(POWER).open()
        row = paula.tab("My models").locator("li[data-status=running]")
        expect(row).to_contain_text("coming.safetensors")
        expect(row).to_contain_text("30 %")
        assert row.get_by_role("progressbar").evaluate("bar => bar.position") == 0.3
        kind = "id => app.extensionManager.setting.settings[id].type"
        assert paula.page.evaluate(kind, "Comfy.Locale") == "hidden"
        assert paula.page.evaluate(kind, "Comfy.LinkRenderMode") != "hidden"

    def test_guest_is_not_offered_what_the_role_lacks(
        self, gateway: Gateway, front: FakeComfyThread, before: Before, usual: set[str]
    ) -> None:
        guest = before(GUEST).open()
        assert guest.menu("Account")[0] == "gus (Guest)"
        expect(guest.run_button()).to_be_hidden()
        asked = len(front.requests)
        guest.page.locator("canvas").first.click(position={"x": 500, "y": 700})
        guest.page.keyboard.press("Control+Enter")
        guest.tells("You may look at workflows here, but not run them.")
        guest.page.keyboard.press("Control+s")
        guest.tells("You may not save workflows on this server.")
        # What is tried all the same is refused by the server, in words.
        upload = "app.api.fetchApi('/upload/image', {method: 'POST', body: new FormData()})"
        assert guest.page.evaluate(f"{upload}.then(answer => answer.status)") == 403
        guest.tells("You may not upload files here.")
        # Nothing is said of what nobody wanted: custom nodes ask for their routes by themselves.
        toasts = guest.toasts().count()
        asks = "app.api.fetchApi('/fakepack/info').then(answer => answer.status)"
        assert guest.page.evaluate(asks) == 403
        guest.page.wait_for_timeout(500)
        assert guest.toasts().count() <= toasts
        expect(guest.tab("My queue")).to_contain_text("You may look at workflows here")
        guest.page.evaluate(
            """() => {
                const node = window.LiteGraph.createNode("LoadImage");
                (app.rootGraph ?? app.graph).add(node);
            }"""
        )
        offered = """() => (app.rootGraph ?? app.graph)._nodes.at(-1).widgets
            .filter(each => each.type === "button").map(each => each.disabled)"""
        assert guest.page.evaluate(offered) == [True]
        sent = [each for each in front.requests[asked:] if each.kind == "http"]
        assert [each.path for each in sent if each.method not in ("GET", "HEAD")] == []
        refused = {
            "POST /api/upload/image: 403",
            "GET /api/fakepack/info: 403",
            "Failed to load resource: the server responded with a status of 403 (Forbidden)",
        }
        assert guest.troubles.found() - usual - refused == set()

    def test_person_whose_login_ends_logs_in_again_and_has_the_workflow(
        self, gateway: Gateway, before: Before
    ) -> None:
        alice = before(ALICE).open()
        alice.load(workflow("unsaved"))
        alice.page.wait_for_timeout(1000)
        end_logins(gateway, ALICE)
        dialog = alice.page.get_by_role("dialog").filter(has_text="You are logged out")
        expect(dialog).to_be_visible()
        dialog.get_by_role("button", name="Log in").click()
        alice.page.wait_for_url("**/login?next=**")
        log_in(alice, ALICE)
        alice.page.wait_for_url(f"{gateway.url}/**")
        alice.is_there()
        wait_until(lambda: ["unsaved"] in alice.on_canvas(), 10)

    def test_next_person_at_one_browser_finds_nothing_of_the_last(
        self, gateway: Gateway, before: Before
    ) -> None:
        page = before(ALICE).open()
        page.load(workflow("the secret of alice"))
        page.page.wait_for_timeout(1500)
        stored = "() => JSON.stringify([{...localStorage}, {...sessionStorage}])"
        assert "the secret of alice" in page.page.evaluate(stored), "there must be something left"
        page.page.goto(f"{gateway.url}/logout")
        log_in(page, BOB)
        page.page.wait_for_url(f"{gateway.url}/")
        # It begins anew once.
        expect(page.page.get_by_role("button", name="My queue", exact=True)).to_be_visible()
        page.is_there()
        assert page.menu("Account")[0] == "bob (User)"
        assert "alice" not in page.page.evaluate(stored)
        assert "the secret of alice" not in str(page.on_canvas())

    def test_socket_comes_back_when_the_person_logs_in_in_another_tab(
        self, gateway: Gateway, before: Before
    ) -> None:
        alice = before(ALICE).open()
        alice.tab("My queue")
        end_logins(gateway, ALICE)
        dialog = alice.page.get_by_role("dialog").filter(has_text="You are logged out")
        expect(dialog).to_be_visible()
        # Put off, it comes again with the next thing that somebody wants.
        dialog.get_by_role("button", name="Later").click()
        expect(dialog).to_be_hidden()
        wants = "app.api.fetchApi('/queue', {method: 'POST', body: '{}'}).then(() => {})"
        alice.page.evaluate(wants)
        expect(dialog).to_be_visible()
        other = ComfyPage(alice.page.context.new_page(), gateway.url)
        other.page.goto(f"{gateway.url}/login")
        log_in(other, ALICE)
        other.page.wait_for_url(f"{gateway.url}/")
        # The question is settled, and the first tab works again.
        expect(dialog).to_be_hidden()
        alice.load(workflow("again"))
        queue = alice.tab("My queue")
        done = queue.locator("li[data-state=success]").count()
        alice.run_button().click()
        expect(queue.locator("li[data-state=success]")).to_have_count(done + 1)

    def test_page_without_the_extension_api_works_without_us(
        self, gateway: Gateway, before: Before
    ) -> None:
        alice = before(ALICE)
        alice.page.route(
            "**/scripts/app.js",
            lambda route: route.fulfill(
                content_type="text/javascript", body="export const app = {};"
            ),
        )
        alice.open()
        expect(alice.page.get_by_role("button", name="My queue", exact=True)).to_have_count(0)
        alice.load(workflow("plain"))
        with alice.page.expect_response("**/api/prompt") as sent:
            alice.run_button().click()
        assert sent.value.status == 200
        assert not any("mss-login" in trouble for trouble in alice.troubles.found())
