"""Ticking models in the admin: what was changed is saved, and nothing else."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.accounts.acting import Newcomer, browser, session
from tests.browser import Browser
from tests.cast import Person
from tests.chromium import complaints, log_in
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

GRANTS = "/admin/accounts/modelgrant/"
SD, REAL, XL = (f"checkpoints/{name}.safetensors" for name in ("sd15", "portraits/real", "sdxl"))
GIVE = """
from accounts import granting, models
user = models.User.objects.get(username=username)
granting.grant(user, [granting.Item(*item) for item in items], actor=None)
result = user.pk
"""
TAKE = """
from accounts import granting, models
user = models.User.objects.get(username=username)
granting.revoke(user, [granting.Item(*item) for item in items], actor=None)
"""
HELD = """
from accounts.models import ModelGrant
rows = ModelGrant.objects.filter(user__username=username)
result = sorted(f"{row.folder}/{row.item_name}{row.source_backend}" for row in rows)
"""
TOLD = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(actor_name=actor, event__startswith="grant.").order_by("id")
result = [[row.event, row.subject_name, row.details["count"]] for row in rows]
"""


@pytest.fixture
def chief(newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture
def admin(gateway: Gateway, chief: Person) -> Browser:
    return browser(gateway, chief)


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    return newcomer()


def give(gateway: Gateway, person: Person, *items: str) -> str:
    """Give them these; the address of the page of their models."""
    split = [item.split("/", 1) for item in items]
    return f"{GRANTS}give/user/{gateway.run(GIVE, username=person.username, items=split)}/"


def held(gateway: Gateway, *people: Person) -> list[str]:
    found = [gateway.run(HELD, username=person.username) for person in people]
    return [item for items in found for item in items]


def form(page: Browser, address: str) -> dict[str, Any]:
    """What a browser would send of the form with the boxes, its lists as lists."""
    text = page.get(address).text.partition('<form method="post"')[2].partition("</form>")[0]
    fields: dict[str, Any] = {"m": [], "c": [], "o": [], "before_o": []}
    for tag in re.findall(r"<input [^>]*>", text):
        name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
        if name is None or value is None or ("checkbox" in tag and "checked" not in tag):
            continue
        text_of = html.unescape(value[1])
        if name[1] in fields and isinstance(fields[name[1]], list):
            fields[name[1]].append(text_of)
        else:
            fields[name[1]] = text_of
    return fields | {"do": "save"}


def said(page: Browser) -> str:
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', page.get(GRANTS).text, re.DOTALL)
    return "" if found is None else re.sub(r"<[^>]+>", "", found[1]).strip()


def test_only_what_was_changed_is_saved_with_one_row_each_way(
    gateway: Gateway, admin: Browser, chief: Person, person: Person
) -> None:
    page = give(gateway, person, SD, "checkpoints/gone.pt", "checkpoints/s*x", "loras/far")
    sent = form(admin, page)
    assert sent["m"] == [SD]
    # Meanwhile somebody else gives one of those shown, and takes another away.
    give(gateway, person, XL)
    sent["m"] = [SD, REAL, "loras/*"]
    assert admin.post(page, data=sent).status_code == 302
    assert said(admin) == "Given: 2 more. Taken away: 0."
    kept = ["checkpoints/gone.pt", "checkpoints/s*x", "loras/far"]
    assert held(gateway, person) == sorted([SD, XL, REAL, "loras/*", *kept])
    sent = form(admin, page)
    gone = sent["o"].pop(0)
    assert gone in sent["before_o"]
    assert admin.post(page, data=sent | {"m": ["loras/*"]}).status_code == 302
    assert said(admin) == "Given: 0 more. Taken away: 4."
    assert held(gateway, person) == sorted(["loras/*", *kept[1:]])
    assert admin.post(page, data=form(admin, page)).status_code == 302
    assert gateway.run(TOLD, actor=chief.username) == [
        ["grant.added", person.username, 2],
        ["grant.removed", person.username, 4],
    ]


def test_search_that_hides_ticked_models_does_not_take_them_away(
    gateway: Gateway, admin: Browser, person: Person
) -> None:
    page = give(gateway, person, SD, XL)
    sent = form(admin, f"{page}?q=sdxl")
    assert sent["m"] == [XL]
    answer = admin.post(f"{page}?q=sdxl", data=sent | {"m": []})
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{page}?q=sdxl")
    assert held(gateway, person) == [SD]


def test_roles_and_teams_are_given_by_the_same_page(
    gateway: Gateway, admin: Browser, chief: Person
) -> None:
    keys = gateway.run(
        """
from django.contrib.auth.models import Group
from accounts.models import Role
role, _ = Role.objects.get_or_create(slug="ticked", title="Ticked", rank=10)
team, _ = Group.objects.get_or_create(name="ticked-team")
result = {"role": role.pk, "team": team.pk}
"""
    )
    for kind, key in keys.items():
        page = f"{GRANTS}give/{kind}/{key}/"
        assert admin.post(page, data=form(admin, page) | {"m": [SD]}).status_code == 302
        assert form(admin, page)["m"] == [SD]
        assert admin.post(page, data=form(admin, page) | {"m": []}).status_code == 302
    assert [row[0] for row in gateway.run(TOLD, actor=chief.username)] == (
        ["grant.added", "grant.removed"] * 2
    )


def test_same_as_somebody_else_adds_theirs(
    gateway: Gateway, admin: Browser, person: Person, newcomer: Newcomer
) -> None:
    other = newcomer()
    page = give(gateway, person, SD)
    give(gateway, other, SD, REAL, "vae/*")
    token = {"csrfmiddlewaretoken": form(admin, page)["csrfmiddlewaretoken"], "do": "copy"}
    admin.post(page, data=token | {"like": other.username.upper()})
    assert said(admin) == f"Given: 2 more, as {other.username} has them."
    assert held(gateway, person) == held(gateway, other) == sorted([SD, REAL, "vae/*"])
    for nobody in ("nobody", "", "\0"):
        admin.post(page, data=token | {"like": nobody})
        assert said(admin) == "There is no such user."
    admin.post(page, data=token | {"do": "refresh"})
    assert re.fullmatch(r"ComfyUI has \d\d models now\.", said(admin))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"before": ""}, "The form is not complete. Load the page again."),
        ({"before": "{}"}, "The form is not complete. Load the page again."),
        ({"before": "[1]"}, "The form is not complete. Load the page again."),
        ({"do": "x"}, "The form is not complete. Load the page again."),
        ({"m": [XL, "loras/../x"]}, "“loras/../x”: item_name leaves its folder."),
        ({"m": [XL, "loras"]}, "“loras”: item_name must name a model."),
        ({"m": [XL, "/x"]}, "“/x”: folder must name a model folder."),
    ],
)
def test_broken_form_changes_nothing_and_is_told(
    gateway: Gateway, admin: Browser, person: Person, change: dict[str, Any], complaint: str
) -> None:
    page = give(gateway, person, SD)
    assert admin.post(page, data=form(admin, page) | change).status_code == 302
    assert said(admin) == complaint
    assert held(gateway, person) == [SD]


def test_four_thousand_boxes_are_sent_at_once(
    gateway: Gateway, admin: Browser, person: Person
) -> None:
    page = give(gateway, person)
    many = [f"loras/deep/{number}.safetensors" for number in range(4000)]
    assert admin.post(page, data=form(admin, page) | {"m": many}).status_code == 302
    assert said(admin) == "Given: 4000 more. Taken away: 0."
    assert len(held(gateway, person)) == 4000
    before = {"before": json.dumps(many), "m": many[:1]}
    assert admin.post(page, data=form(admin, page) | before).status_code == 302
    assert held(gateway, person) == many[:1]


def test_matrix_saves_what_was_changed_for_each_user(
    gateway: Gateway, admin: Browser, chief: Person, person: Person, newcomer: Newcomer
) -> None:
    other = newcomer()
    keys = {
        who: give(gateway, who, *given).split("/")[-2]
        for who, given in (
            (person, [SD, XL, "loras/x"]),
            (other, [XL, "checkpoints/s*"]),
        )
    }
    page = f"{GRANTS}matrix/?folder=checkpoints&q=sd"
    shared = [f"{key}/{XL}" for key in keys.values()]
    sent = form(admin, f"{page}&who={person.username}")
    assert sorted(sent["c"]) == sorted([f"{keys[person]}/{SD}", shared[0]])
    both = {"before": json.dumps([*sent["c"], shared[1]])}
    ticked = {"c": [shared[0], f"{keys[other]}/{SD}"]}
    assert admin.post(page, data=sent | both | ticked).status_code == 302
    assert said(admin) == "Given: 1 more. Taken away: 2."
    assert held(gateway, person) == [XL, "loras/x"]
    assert held(gateway, other) == sorted(["checkpoints/s*", SD])
    rows = gateway.run(TOLD, actor=chief.username)
    assert sorted(rows) == sorted(
        [
            ["grant.removed", person.username, 1],
            ["grant.removed", other.username, 1],
            ["grant.added", other.username, 1],
        ]
    )
    # One user who is gone: nothing of it happens.
    sent = form(admin, page) | {"before": "[]"}
    for bad in ("999999", "x", "-1", "²", "9" * 30):
        admin.post(page, data=sent | {"c": [f"{bad}/{REAL}", f"{keys[person]}/{REAL}"]})
        assert "a user of this page was deleted meanwhile" in said(admin)
    assert held(gateway, person) == [XL, "loras/x"]


def test_search_as_one_types_and_tick_what_is_shown(
    gateway: Gateway, chief: Person, person: Person, chromium_page: Page
) -> None:
    page = give(gateway, person, SD)
    log_in(chromium_page, gateway.url, session(gateway, chief))
    wrong = complaints(chromium_page)
    chromium_page.goto(gateway.url + page)
    shown = chromium_page.locator("li[data-model]:visible")
    expect(shown).to_have_count(0)  # all folders are closed
    chromium_page.get_by_label("Search").fill("SAFE people lora")
    expect(shown).to_have_text("alice lora.safetensors")
    chromium_page.get_by_role("button", name="Tick all shown", exact=True).click()
    chromium_page.get_by_role("button", name="Save 1 change", exact=True).click()
    expect(chromium_page.locator(".messagelist")).to_have_text("Given: 1 more. Taken away: 0.")
    chromium_page.goto(f"{gateway.url}{GRANTS}matrix/?folder=loras&who={person.username}")
    box = chromium_page.get_by_label(f"{person.username}: people/alice lora.safetensors")
    expect(box).to_be_checked()
    for path in ("add/", "import/", ""):
        chromium_page.goto(gateway.url + GRANTS + path)
    assert held(gateway, person) == [SD, "loras/people/alice lora.safetensors"]
    assert wrong == []


def test_ticks_of_a_folder_are_counted_and_not_lost_without_a_warning(
    gateway: Gateway, chief: Person, person: Person, chromium_page: Page
) -> None:
    page = give(gateway, person)
    log_in(chromium_page, gateway.url, session(gateway, chief))
    wrong = complaints(chromium_page)
    chromium_page.goto(gateway.url + page)
    folder = chromium_page.locator("details", has=chromium_page.get_by_text("portraits")).first
    folder.locator("summary").first.click()
    # The sub folder is closed: what is in it is not ticked unseen.
    folder.get_by_role("button", name="Tick all in it", exact=True).first.click()
    expect(chromium_page.get_by_role("button", name="Save 2 changes")).to_be_visible()
    warned: list[str] = []
    chromium_page.on("dialog", lambda dialog: (warned.append(dialog.type), dialog.accept()))
    chromium_page.reload()
    assert warned == ["beforeunload"]
    assert held(gateway, person) == []
    assert wrong == []


def test_empty_folder_can_be_given_as_a_whole(
    gateway: Gateway, admin: Browser, person: Person
) -> None:
    page = give(gateway, person)
    assert "hypernetworks/*" in admin.get(page).text
    assert "hypernetworks/*" not in admin.get(f"{page}?q=x").text
    sent = form(admin, page) | {"m": ["hypernetworks/*"]}
    assert admin.post(page, data=sent).status_code == 302
    assert form(admin, page)["m"] == ["hypernetworks/*"]


@pytest.mark.parametrize("where", ["give", "matrix"])
def test_new_model_is_shown_once_comfyui_was_asked(
    where: str, gateway: Gateway, admin: Browser, person: Person, comfy: FakeComfyThread
) -> None:
    page = give(gateway, person) if where == "give" else f"{GRANTS}matrix/?folder=vae"
    admin.get(page)
    new = Path(comfy.base_dir) / "models/vae/brand-new.safetensors"
    new.write_bytes(b"x")
    try:
        assert "brand-new" not in admin.get(page).text
        token = {"csrfmiddlewaretoken": form(admin, page)["csrfmiddlewaretoken"]}
        assert admin.post(page, data=token | {"do": "refresh"}).status_code == 302
        assert "brand-new" in admin.get(page).text
    finally:
        new.unlink()
        admin.post(page, data=token | {"do": "refresh"})
