"""Prompts in the admin: stopping anybody's, and looking at what they made."""

import re
from typing import Any

import pytest

from tests.accounts.acting import browser
from tests.browser import Browser
from tests.cast import ADMIN, OWNER, Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import ids, run, save, slow, submit, wait_running
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "calm")

PROMPTS = "/admin/comfyproxy/promptrecord/"
STATES = """
from comfyproxy.models import PromptRecord
rows = PromptRecord.objects.filter(prompt_id__in=ids)
result = {str(row.pk): row.state for row in rows}
"""
TOLD = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(event="prompts.cancelled").order_by("subject_name", "id")
result = [
    [row.actor_name, row.subject_name, row.ip, sorted(row.details["prompts"])]
    for row in rows if set(row.details["prompts"]) & set(ids)
]
"""
# Staff of the installation's own: they may look at prompts.
MAKE_STAFF = """
from django.contrib.auth.models import Permission
from accounts.models import Role, User
role, _ = Role.objects.get_or_create(slug=slug, title=slug, rank=50, is_staff=True)
role.permissions.set(Permission.objects.filter(codename__in=["view_promptrecord", *held]))
User.objects.get_or_create(username=slug, role=role)
"""


@pytest.fixture
def chief(gateway: Gateway) -> Browser:
    return browser(gateway, ADMIN)


def staff(gateway: Gateway, *held: str) -> Browser:
    slug = f"staff-{len(held)}"
    gateway.run(MAKE_STAFF, slug=slug, held=held)
    return browser(gateway, Person(slug, slug))


def cancel(page: Browser, *prompts: str) -> str:
    """Choose the action; what the next page says."""
    chosen = {
        "action": "cancel_prompts",
        "_selected_action": list(prompts),
        "confirmed": "yes",
    }
    answer = page.submit(PROMPTS, **chosen)
    assert answer.status_code == 302
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', page.get(PROMPTS).text, re.DOTALL)
    assert found is not None
    return re.sub(r"<[^>]+>", "", found[1]).strip()


def test_admin_stops_running_and_waiting_prompts_of_several_people_and_no_others(
    gateway: Gateway, chief: Browser, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    over = run(alice, save())["prompt"][1]
    running = submit(alice, slow())
    wait_running(comfy, running)
    waiting, bobs, others = submit(alice, save()), submit(bob, save()), submit(bob, slow())
    said = cancel(chief, over, running, waiting, bobs)
    assert said == "Stopped 3 of 4 prompts. 1 neither waited nor ran any more."
    wait_until(lambda: ids(comfy) == ([others], []))
    alice.get(f"/history/{running}")
    assert gateway.run(STATES, ids=[over, running, waiting, bobs, others]) == {
        over: "success",
        running: "interrupted",
        waiting: "cancelled",
        bobs: "cancelled",
        others: "accepted",
    }
    assert gateway.run(TOLD, ids=[running, waiting, bobs, others]) == [
        ["adam", "alice", "127.0.0.1", sorted([running, waiting])],
        ["adam", "bob", "127.0.0.1", [bobs]],
    ]


def test_nothing_to_stop_is_said_and_not_written_down(
    gateway: Gateway, chief: Browser, alice: Client
) -> None:
    over = run(alice, save())["prompt"][1]
    assert cancel(chief, over) == "Stopped 0 of 1 prompts. 1 neither waited nor ran any more."
    assert gateway.run(TOLD, ids=[over]) == []


def test_staff_without_the_capability_stops_nothing(
    gateway: Gateway, alice: Client, comfy: FakeComfyThread
) -> None:
    running = submit(alice, slow())
    wait_running(comfy, running)
    refused = cancel(staff(gateway), running)
    assert refused == "Your role does not allow this: it takes can_manage_backend."
    assert ids(comfy) == ([running], [])
    assert gateway.run(TOLD, ids=[running]) == []
    assert cancel(staff(gateway, "can_manage_backend"), running) == "Stopped 1 of 1 prompts."
    wait_until(lambda: ids(comfy) == ([], []))


def pictures(page: Browser, prompt_id: str) -> list[str]:
    html = page.get(f"{PROMPTS}{prompt_id}/change/").text
    return [src.replace("&amp;", "&") for src in re.findall(r'<img [^>]*src="([^"]*)"', html)]


def kinds(page: Browser, addresses: list[str]) -> list[Any]:
    answers = [page.get(address) for address in addresses]
    return [(answer.status_code, answer.headers.get("Content-Type")) for answer in answers]


def test_page_shows_pictures_to_who_sees_everybodys(
    gateway: Gateway, chief: Browser, alice: Client, bob: Client
) -> None:
    made, theirs = (run(client, save("same"))["prompt"][1] for client in (alice, bob))
    for page in (chief, browser(gateway, OWNER), staff(gateway, "can_view_all_history", "x")):
        (address,) = pictures(page, made)
        assert alice.namespace in address and bob.namespace not in address
    # As the page's own browser fetches it.
    assert kinds(chief, pictures(chief, made)) == [(200, "image/png")]
    assert kinds(chief, pictures(chief, theirs)) == [(200, "image/png")]
    csp = chief.get(f"{PROMPTS}{made}/change/").headers["Content-Security-Policy"]
    assert "img-src 'self' data:" in csp and "script-src 'self';" in f"{csp};"


def test_page_shows_none_to_staff_who_sees_only_their_own(gateway: Gateway, alice: Client) -> None:
    made = run(alice, save("same"))["prompt"][1]
    page = staff(gateway)
    html = page.get(f"{PROMPTS}{made}/change/").text
    assert "Your role does not let you see other users' files" in html
    assert (pictures(page, made), alice.namespace in html) == ([], False)


@pytest.mark.parametrize("event", ["status", "executed"])
def test_admin_cannot_make_comfyuis_own_event_one_for_everybody(
    gateway: Gateway, chief: Browser, event: str
) -> None:
    answer = chief.submit("/admin/comfyproxy/broadcastevent/add/", event_type=event)
    assert answer.status_code == 200
    assert "This event is ComfyUI&#x27;s own." in answer.text
    count = "from comfyproxy.models import BroadcastEvent\n"
    count += "result = BroadcastEvent.objects.filter(event_type=event).count()"
    assert gateway.run(count, event=event) == 0


def test_admin_tests_the_connection_to_comfyui(gateway: Gateway, chief: Browser) -> None:
    list_page = "/admin/comfyproxy/backend/"
    # The button is the page's first form.
    csrf = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', chief.get(list_page).text)
    assert csrf is not None
    form = {"csrfmiddlewaretoken": csrf[1]}
    answer = chief.post("/admin/comfyproxy/backend/test/", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (302, list_page)
    where = re.escape(gateway.env["COMFYUI_URL"])
    said = rf"ComfyUI 0\.\d+\.\d+ at {where} answers, in \d+ ms\. Running: \d+, waiting: \d+\."
    assert re.search(said, chief.get(list_page).text)
    assert chief.get("/admin/comfyproxy/backend/test/").status_code == 405
