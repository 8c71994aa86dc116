"""Deleting people in the admin: what happens to their files is asked, answered and written down."""

import re
from typing import Any

import pytest
import requests

from tests.accounts.acting import Newcomer, browser, mint
from tests.browser import Browser
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

USERS = "/admin/accounts/user/"
HIDDEN = (
    "Set COMFYUI_OUTPUT_DIR, COMFYUI_INPUT_DIR, COMFYUI_TEMP_DIR to have the files themselves "
    "deleted; until then they are hidden."
)
PREPARE = """
from accounts.models import User
from comfyproxy.models import PromptRecord
user = User.objects.get(username=username)
PromptRecord.objects.create(user=user, number=1)
result = user.pk
"""
STATE = """
from accounts.models import AuditEntry, User
from django.contrib.admin.models import LogEntry
rows = AuditEntry.objects.filter(subject_name__in=usernames, event="user.deleted")
result = {
    "left": sorted(User.objects.filter(username__in=usernames).values_list(
        "username", flat=True)),
    "told": sorted([row.subject_name, row.actor_name, row.details] for row in rows),
}
"""


@pytest.fixture(scope="module")
def adam(newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture(scope="module")
def admin(gateway: Gateway, adam: Person) -> Browser:
    return browser(gateway, adam)


def prepare(gateway: Gateway, person: Person) -> int:
    return int(gateway.run(PREPARE, username=person.username))


def state(gateway: Gateway, *people: Person) -> dict[str, Any]:
    return dict(gateway.run(STATE, usernames=[person.username for person in people]))


def delete(admin: Browser, how: str, *keys: int, **answer: str) -> requests.Response:
    """Ask for the deletion and confirm it, with this answer about the files."""
    if how == "page":
        (key,) = keys
        return admin.submit(f"{USERS}{key}/delete/", **answer)
    asked = admin.submit(USERS, action="delete_selected", _selected_action=list(keys))
    assert 'name="files" value="keep"' in asked.text
    chosen = {"_selected_action": list(keys), "post": "yes", **answer}
    return admin.submit(USERS, action="delete_selected", **chosen)


@pytest.mark.parametrize("files", ["keep", "delete"])
@pytest.mark.parametrize("how", ["page", "action"])
def test_admin_deletes_people_who_have_run_prompts(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, adam: Person, how: str, files: str
) -> None:
    people = [newcomer()] if how == "page" else [newcomer(), newcomer()]
    bystander = newcomer()
    client = Client(gateway.url, mint(gateway, people[0]))
    assert client.get("/queue").status_code == 200
    keys = [prepare(gateway, person) for person in people]
    assert delete(admin, how, *keys, files=files).status_code == 302
    assert client.get("/queue").json()["code"] in ("TOKEN_INVALID", "TOKEN_REVOKED")
    assert state(gateway, *people, bystander) == {
        "left": [bystander.username],
        "told": sorted(
            [person.username, adam.username, {"role": "user", "files": files}] for person in people
        ),
    }


@pytest.mark.parametrize("answer", [{}, {"files": ""}, {"files": "perhaps"}], ids=str)
@pytest.mark.parametrize("how", ["page", "action"])
def test_without_an_answer_nothing_is_deleted_and_the_admin_is_told(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, how: str, answer: dict[str, str]
) -> None:
    people = [newcomer(), newcomer()]
    keys = [prepare(gateway, person) for person in people][: 1 if how == "page" else 2]
    page = delete(admin, how, *keys, **answer)
    if how == "page":
        assert (page.status_code, page.headers["Location"]) == (302, f"{USERS}{keys[0]}/delete/")
        page = admin.get(page.headers["Location"])
    assert page.status_code == 200
    assert "Nothing was deleted. Choose what happens to the files." in page.text
    assert re.findall(r'type="radio" name="files" value="(\w+)"', page.text) == ["keep", "delete"]
    names = sorted(person.username for person in people)
    assert state(gateway, *people) == {"left": names, "told": []}
    recent = admin.get("/admin/").text.partition('class="actionlist"')[2]
    assert not any(name in recent for name in names)


@pytest.mark.parametrize("how", ["page", "action"])
def test_page_says_that_files_are_only_hidden_and_does_not_list_what_is_owned(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, how: str
) -> None:
    person = newcomer()
    key = prepare(gateway, person)
    if how == "page":
        page = admin.get(f"{USERS}{key}/delete/").text
    else:
        page = admin.submit(USERS, action="delete_selected", _selected_action=[key]).text
    assert HIDDEN in page and person.username in page
    assert re.findall(r"promptrecord/[0-9a-f-]{36}/", page) == []
    # Chosen by nobody but the person.
    assert "checked" not in page


def test_owner_and_unknown_accounts_are_no_choice(
    gateway: Gateway, admin: Browser, newcomer: Newcomer
) -> None:
    owner, user = gateway.run(
        "from accounts.models import User\n"
        "result = [User.objects.get(username=name).pk for name in ('olga', username)]",
        username=newcomer().username,
    )
    assert admin.get(f"{USERS}{owner}/delete/").status_code == 403
    asked = admin.submit(USERS, action="delete_selected", _selected_action=[owner, user])
    assert 'name="files"' not in asked.text and "permission to delete" in asked.text
    chosen = {"_selected_action": [owner, user], "post": "yes", "files": "delete"}
    assert admin.submit(USERS, action="delete_selected", **chosen).status_code == 403
    assert admin.get(f"{USERS}999999/delete/").status_code == 302
