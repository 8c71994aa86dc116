"""The admin's lists of prompts, files and the rest, and a prompt's page."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.utils import timezone

from accounts.capabilities import Capability
from accounts.errors import UpstreamUnreachable
from accounts.models import AuditEntry, User
from comfyproxy import admin_prompts
from comfyproxy.files import FileRef
from comfyproxy.models import (
    Backend,
    FileOwner,
    FileRecord,
    FormerNamespace,
    PromptRecord,
)
from tests.comfyproxy.adminpages import data_rows, page, post, request_of, rows_in

pytestmark = pytest.mark.django_db

State = PromptRecord.State
SEES_ALL = Capability.VIEW_ALL_HISTORY


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def alice() -> User:
    return User.objects.create(username="alice", role_id="user", namespace="u-alice00000")


def prompt(user: User, *files: FileRef, **fields: Any) -> PromptRecord:
    record = PromptRecord.objects.create(user=user, number=0, **fields)
    for ref in files:
        row, _ = FileRecord.objects.get_or_create(
            key=FileRecord.key_of(ref),
            defaults={"type": ref.type, "subfolder": ref.subfolder, "filename": ref.filename},
        )
        FileOwner.objects.create(file=row, user=user, prompt=record)
    return record


def test_list_of_prompts_tells_whose_when_how_long_and_how_many_files(
    adam: User, alice: User
) -> None:
    refs = [FileRef("temp", "", f"{name}.png") for name in "ab"]
    record = prompt(alice, *refs, state=State.ERROR, execution_seconds=2.449)
    html, _ = page(PromptRecord, request_of(adam))
    cells = re.findall(r'class="field-(\w+)[^>]*>(?:<a[^>]*>)?([^<]*)', rows_in(html))
    shown = dict(cells)
    assert (shown["prompt_id"], shown["user"]) == (str(record.pk), "alice")
    assert (shown["state"], shown["seconds"], shown["file_count"]) == ("failed", "2.4", "2")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state__exact=success", ["alice"]),
        ("q=ALI", ["alice"]),
        ("q=nobody", []),
        ("created_at__year=2020", ["bob"]),
        ("q={alices}", ["alice"]),
        ("q={alices_part}", ["alice"]),
        ("q=%00", None),
        ("o=8.2", ["alice", "bob"]),
    ],
)
def test_prompts_are_found_by_state_date_id_and_user(
    query: str, names: list[str] | None, adam: User, alice: User
) -> None:
    bob = User.objects.create(username="bob", role_id="user")
    record = prompt(alice, FileRef("temp", "", "x.png"), state=State.SUCCESS)
    prompt(bob, created_at=timezone.now().replace(year=2020, day=1))
    filled = query.format(alices=record.pk, alices_part=str(record.pk)[:23])
    html, _ = page(PromptRecord, request_of(adam, query=filled))
    found = re.findall(r'class="field-user[^>]*>(?:<a[^>]*>)?([^<]*)', rows_in(html))
    assert names is None or sorted(found) == names


def test_files_are_listed_with_their_owners_and_links_to_those_one_may_open(
    adam: User, alice: User
) -> None:
    shared, own = FileRef("temp", "", "shared.png"), FileRef("output", "u-x", "a b&c.png")
    for user in (alice, adam, alice):
        prompt(user, shared)
    prompt(alice, own)
    former = FormerNamespace.objects.create(
        namespace="u-former0000", username="lena", keep_files=False
    )
    gone = FileRecord.of(FileRef("temp", "", "gone.png"))
    gone.former = former
    gone.save()

    def listed(*capabilities: Capability) -> dict[str, list[str]]:
        html, _ = page(FileRecord, request_of(adam, *capabilities))
        found = {}
        for row in data_rows(html):
            path = re.search(r"field-path[^>]*><a[^>]*>([^<]*)", row)
            owners = re.search(r"field-owned_by[^>]*>([^<]*)", row)
            link = re.search(r'field-link[^>]*>(?:<a href="([^"]*)")?([^<]*)', row)
            assert path is not None and owners is not None and link is not None
            found[path[1]] = [owners[1], link[1] or link[2]]
        return found

    address = "/view?filename=a+b%26c.png&amp;subfolder=u-x&amp;type=output"
    open_shared = "/view?filename=shared.png&amp;subfolder=&amp;type=temp"
    assert listed(SEES_ALL) == {
        "shared.png": ["adam, alice", open_shared],
        "u-x/a b&amp;c.png": ["alice", address],
        "gone.png": ["(deleted with lena)", "hidden"],
    }
    assert listed() == {
        "shared.png": ["adam, alice", open_shared],
        "u-x/a b&amp;c.png": ["alice", "hidden"],
        "gone.png": ["(deleted with lena)", "hidden"],
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=alice", ["x.png"]),
        ("q=u-y", ["y.png"]),
        ("type=input", []),
        ("q=png", ["x.png", "y.png"]),
    ],
)
def test_files_are_found_by_name_folder_type_and_owner(
    query: str, names: list[str], adam: User, alice: User
) -> None:
    prompt(alice, FileRef("temp", "", "x.png"))
    prompt(adam, FileRef("temp", "u-y", "y.png"))
    html, _ = page(FileRecord, request_of(adam, query=query))
    found = re.findall(r"field-path[^>]*><a[^>]*>(?:u-y/)?([^<]*)", rows_in(html))
    assert sorted(found) == names


def test_prompt_shows_its_files_lazily_and_small(adam: User, alice: User) -> None:
    record = prompt(
        alice, FileRef("output", "u-x", "p <i>.png"), FileRef("output", "u-x", "clip.mp4")
    )
    html, _ = page(PromptRecord, request_of(adam, SEES_ALL), record.pk)
    picture = "/view?filename=p+%3Ci%3E.png&amp;subfolder=u-x&amp;type=output"
    image = f'<img loading="lazy" src="{picture}" alt="" height="96">'
    assert f"{image} u-x/p &lt;i&gt;.png</a>" in html
    clip = "/view?filename=clip.mp4&amp;subfolder=u-x&amp;type=output"
    assert f'href="{clip}" target="_blank" rel="noopener">open u-x/clip.mp4</a>' in html
    assert re.findall("<img[^>]*>", html) == [image]
    # The content security policy allows neither.
    assert "style=" not in html.partition('id="content-main"')[2]
    assert "can_view_all_history" not in html


def test_who_may_not_see_others_files_gets_neither_pictures_nor_names(
    adam: User, alice: User
) -> None:
    theirs = prompt(alice, FileRef("output", "u-x", "secret.png"))
    own = prompt(adam, FileRef("output", "u-y", "mine.png"))
    html, _ = page(PromptRecord, request_of(adam), theirs.pk)
    assert "secret.png" not in html
    hint = "Your role does not let you see other users' files (can_view_all_history)."
    assert hint in html
    html, _ = page(PromptRecord, request_of(adam), own.pk)
    assert "mine.png" in html and "can_view_all_history" not in html


def test_prompt_with_hundreds_of_files_shows_two_hundred(adam: User, alice: User) -> None:
    few = prompt(alice, FileRef("temp", "", "few.png"))
    page(PromptRecord, request_of(adam, SEES_ALL), few.pk)
    _, cost = page(PromptRecord, request_of(adam, SEES_ALL), few.pk)
    many = prompt(alice, *(FileRef("temp", "", f"{number}.png") for number in range(201)))
    html, same = page(PromptRecord, request_of(adam, SEES_ALL), many.pk)
    assert (html.count("<img"), same) == (200, cost)
    assert "There are more" in html


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [
        ((), "Your role does not allow this: it takes can_manage_backend."),
        ((Capability.MANAGE_BACKEND,), "ComfyUI does not answer. Ask the administrator whether"),
    ],
)
def test_cancelling_that_cannot_be_says_why(
    capabilities: tuple[Capability, ...],
    said: str,
    adam: User,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(wanted: object) -> set[str]:
        raise UpstreamUnreachable

    monkeypatch.setattr(admin_prompts, "cancel", refuse)
    chosen = {"action": "cancel_prompts", "_selected_action": [prompt(alice).pk]}
    _, (message,) = post(PromptRecord, adam, *capabilities, **chosen, confirmed="yes")
    assert message.startswith(said)
    assert AuditEntry.objects.count() == 0


@pytest.mark.parametrize("key", ["x", "00000000-0000-0000-0000-000000000000", "1_00"])
def test_prompt_that_does_not_exist_leads_back(key: str, adam: User) -> None:
    answer = admin.site._registry[PromptRecord].change_view(request_of(adam), key)
    assert answer.status_code == 302


@pytest.mark.parametrize(
    "model", [PromptRecord, FileRecord, Backend, FormerNamespace], ids=lambda model: model.__name__
)
def test_what_the_gateway_keeps_is_looked_at_only(model: type[Any], adam: User) -> None:
    model_admin = admin.site._registry[model]
    request = request_of(adam, *Capability)
    assert model_admin.get_model_perms(request) == {
        "add": False,
        "change": False,
        "delete": False,
        "view": True,
    }
    assert "delete_selected" not in model_admin.get_actions(request)
