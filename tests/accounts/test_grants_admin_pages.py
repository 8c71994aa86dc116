"""The admin's pages of models to tick: what they show, and that much costs no more queries."""

import html
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.test.utils import CaptureQueriesContext

from accounts import granting
from accounts.errors import UpstreamUnreachable
from accounts.granting import Item
from accounts.models import ModelGrant, Role, User
from comfyproxy import admin_give, catalog
from comfyproxy.admin_grants import ModelGrantAdmin
from tests.comfyproxy.adminpages import page, request_of, rows_in

pytestmark = pytest.mark.django_db

MODELS = {
    "checkpoints": ("sd.safetensors", "portraits\\real.safetensors", "portraits/old/x.ckpt"),
    "unet": ("flux.gguf",),
    "loras": (),
    "custom_nodes": ("secret.py",),
}


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """What ComfyUI had before it went away; a test may put more into it."""
    found = dict(MODELS)
    known = SimpleNamespace(models=SimpleNamespace(folders=found), fetched_at=float("-inf"))

    async def fetch(known: object) -> None:
        raise UpstreamUnreachable

    monkeypatch.setattr(catalog, "fetch", fetch)
    monkeypatch.setattr(catalog, "_current", known)
    monkeypatch.setattr(catalog, "_fetching", None)
    return found


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def alice() -> User:
    return User.objects.create(username="alice", role_id="user")


def grants_admin() -> ModelGrantAdmin:
    found = admin.site._registry[ModelGrant]
    assert isinstance(found, ModelGrantAdmin)
    return found


def give(request: HttpRequest, user: User | Role | Group) -> tuple[str, int]:
    """The page of a holder's models, and its queries."""
    kind = "user" if isinstance(user, User) else "role" if isinstance(user, Role) else "team"
    with CaptureQueriesContext(connection) as queries:
        answer = grants_admin().give_view(request, kind, user.pk)
    return answer.content.decode(), len(queries)


def matrix(request: HttpRequest) -> tuple[str, int]:
    with CaptureQueriesContext(connection) as queries:
        answer = grants_admin().matrix_view(request)
    return answer.content.decode(), len(queries)


def boxes(text: str) -> dict[str, tuple[bool, str]]:
    """value → (ticked, what stands beside it) of the tree's boxes."""
    found = {}
    for tag, label in re.findall(
        r'(<input type="checkbox" name="m"[^>]*>)(.*?)(?:</li>|</p>)', text
    ):
        value = re.search(r'value="([^"]*)"', tag)
        assert value is not None
        found[html.unescape(value[1])] = ("checked" in tag, re.sub(r"<[^>]*>", "", label).strip())
    return found


def cells(text: str) -> dict[str, tuple[bool, str]]:
    """value → (ticked, title) of the matrix."""
    found = {}
    for title, tag in re.findall(
        r'<td(?: class="grants-through" title="([^"]*)")?>(<input[^>]*>)', text
    ):
        value = re.search(r'value="([^"]*)"', tag)
        assert value is not None
        found[html.unescape(value[1])] = ("checked" in tag, title)
    return found


def before(text: str) -> list[str]:
    found = re.search(r'name="before" value="([^"]*)"', text)
    assert found is not None
    return sorted(json.loads(html.unescape(found[1])))


WHOLE = "This whole folder, also what comes later"


def test_tree_ticks_what_was_given_itself_and_tells_where_the_rest_comes_from(
    adam: User, alice: User
) -> None:
    crew = Group.objects.create(name="crew")
    alice.groups.add(crew)
    granting.grant(
        alice,
        [
            Item("checkpoints", "sd.safetensors"),
            Item("checkpoints", "portraits/old/*"),
            Item("checkpoints", "gone.safetensors"),
            Item("checkpoints", "s*"),
            Item("checkpoints", "portraits/real.safetensors", "http://elsewhere"),
        ],
        actor=None,
    )
    granting.grant(alice.role, [Item("checkpoints", "portraits/real.safetensors")], actor=None)
    granting.grant(crew, [Item("diffusion_models", "*")], actor=None)
    text, _ = give(request_of(adam), alice)
    folder = "checkpoints/portraits"
    through_star = "through checkpoints/portraits/old/*"
    assert boxes(text) == {
        "*/*": (False, "Every model, also what comes later"),
        "checkpoints/*": (False, WHOLE),
        f"{folder}/*": (False, WHOLE),
        f"{folder}/old/*": (True, WHOLE),
        f"{folder}/old/x.ckpt": (False, f"x.ckpt: {through_star}"),
        f"{folder}/real.safetensors": (False, "real.safetensors: through role user"),
        "checkpoints/sd.safetensors": (True, "sd.safetensors: through checkpoints/s*"),
        "diffusion_models/*": (False, f"{WHOLE} through team crew"),
        "diffusion_models/flux.gguf": (
            False,
            "flux.gguf: through team crew (diffusion_models/*)",
        ),
        "loras/*": (False, WHOLE),
    }
    assert before(text) == sorted(["checkpoints/sd.safetensors", f"{folder}/old/*"])
    others = re.findall(r'name="o" value="\d+" checked> ([^<]*)<', text)
    assert others == [
        "checkpoints/gone.safetensors",
        "checkpoints/portraits/real.safetensors",
        "checkpoints/s*",
    ]
    assert "on http://elsewhere" in text
    assert "secret.py" not in text
    # A role's page shows the role's own.
    text, _ = give(request_of(adam), alice.role)
    assert {value for value, (ticked, _) in boxes(text).items() if ticked} == {
        f"{folder}/real.safetensors"
    }


def test_tree_of_who_sees_all_says_so(adam: User, alice: User) -> None:
    note = "may use every model (can_view_all_comfyui_items)"
    assert note in give(request_of(adam), adam)[0]
    assert note not in give(request_of(adam), alice)[0]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("q=REAL", {"checkpoints/portraits/real.safetensors"}),
        ("q=check+old", {"checkpoints/portraits/old/x.ckpt"}),
        ("folder=diffusion_models", {"diffusion_models/flux.gguf"}),
        ("folder=loras", set()),
        ("folder=nosuch&q=%00", set()),
    ],
)
def test_tree_is_searched_without_scripts(
    adam: User, alice: User, query: str, values: set[str]
) -> None:
    text, _ = give(request_of(adam, query=query), alice)
    assert {value for value in boxes(text) if not value.endswith("*")} == values


def test_tree_is_cut_where_there_are_too_many(
    adam: User, alice: User, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_give, "MAX_SHOWN", 2)
    text, _ = give(request_of(adam), alice)
    assert len([value for value in boxes(text) if not value.endswith("*")]) == 2
    assert "Only the first 2 models are shown." in text


def test_tree_of_a_comfyui_that_was_never_there_shows_what_was_given(
    adam: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_current", None)
    granting.grant(alice, [Item("loras", "a"), Item("*", "*")], actor=None)
    text, _ = give(request_of(adam), alice)
    assert boxes(text) == {"*/*": (True, "Every model, also what comes later")}
    assert re.findall(r'name="o" value="\d+" checked> ([^<]*)<', text) == ["loras/a"]
    assert '<li class="warning">ComfyUI does not answer.' in text
    assert matrix(request_of(adam))[0].count("No model was found.") == 1


def test_matrix_shows_users_and_models_with_the_reasons(adam: User, alice: User) -> None:
    bob = User.objects.create(username="bob", role_id="user")
    granting.grant(alice, [Item("checkpoints", "sd.safetensors")], actor=None)
    granting.grant(bob, [Item("checkpoints", "p*/*"), Item("loras", "sd.safetensors")], actor=None)
    granting.grant(alice.role, [Item("*", "sd.*")], actor=None)
    text, _ = matrix(request_of(adam, query="role=user&q=s"))
    real, old, sd = "portraits/real.safetensors", "portraits/old/x.ckpt", "sd.safetensors"
    role, own = "through role user (*/sd.*)", "through checkpoints/p*/*"
    assert cells(text) == {
        f"{key}/checkpoints/{name}": state
        for key, states in (
            (alice.pk, {old: (False, ""), real: (False, ""), sd: (True, role)}),
            (bob.pk, {old: (False, own), real: (False, own), sd: (False, role)}),
        )
        for name, state in states.items()
    }
    assert before(text) == [f"{alice.pk}/checkpoints/{sd}"]
    assert "sees all" not in text
    assert text.count("sees all") < matrix(request_of(adam))[0].count("sees all")
    narrow = cells(matrix(request_of(adam, query="who=BO&folder=diffusion_models"))[0])
    assert list(narrow) == [f"{bob.pk}/diffusion_models/flux.gguf"]


def test_matrix_is_paged(adam: User, models: dict[str, Any]) -> None:
    User.objects.bulk_create(User(username=f"u{number:02}", role_id="user") for number in range(59))
    models["loras"] = tuple(f"{number:03}.pt" for number in range(130))
    sizes = []
    for query in ("", "&up=2", "&mp=2", "&up=2&mp=2", "&up=x&mp=-7", "&up=99&mp=99"):
        text, _ = matrix(request_of(adam, query=f"folder=loras{query}"))
        sizes.append(len(cells(text)))
    assert sizes == [5000, 1000, 1500, 300, 1500, 300]
    links = re.findall(r'<a href="(\?[^"]*)">(\w+ \w+)</a>', text)
    assert [name for _, name in links] == ["Previous users", "Previous models"]
    assert "folder=loras" in links[0][0]


def fill(models: dict[str, Any], alice: User, count: int) -> None:
    """So many models, users, teams and grants of every kind."""
    models["loras"] = tuple(f"s{number % 5}/{number}.pt" for number in range(count))
    for number in range(count):
        user, _ = User.objects.get_or_create(username=f"u{number}", role_id="user")
        team, _ = Group.objects.get_or_create(name=f"t{number}")
        user.groups.add(team)
        alice.groups.add(team)
        items = [Item("loras", f"s{number % 5}/{number}.pt"), Item("loras", f"{number}*")]
        for holder in (user, team, Group.objects.get(name="t0"), alice, alice.role):
            granting.grant(holder, [*items, Item("vae", f"gone{number}")], actor=alice)


def deletion(request: HttpRequest, team: Group) -> int:
    """The queries of the page that asks before a team is deleted."""
    with CaptureQueriesContext(connection) as queries:
        answer = admin.site._registry[Group].delete_view(request, str(team.pk))
        assert isinstance(answer, TemplateResponse) and "loras/0*" in answer.render().text
    return len(queries)


PAGES: dict[str, Callable[[User, User], int]] = {
    "list": lambda adam, alice: page(ModelGrant, request_of(adam))[1],
    "user": lambda adam, alice: give(request_of(adam), alice)[1],
    "role": lambda adam, alice: give(request_of(adam), alice.role)[1],
    "team": lambda adam, alice: give(request_of(adam), Group.objects.get(name="t0"))[1],
    "deletion": lambda adam, alice: deletion(request_of(adam), Group.objects.get(name="t0")),
    "matrix": lambda adam, alice: matrix(request_of(adam, query="folder=loras"))[1],
}


@pytest.mark.parametrize("kind", PAGES)
def test_page_of_thirty_costs_as_many_queries_as_a_page_of_one(
    kind: str, adam: User, alice: User, models: dict[str, Any]
) -> None:
    fill(models, alice, 1)
    PAGES[kind](adam, alice)  # what Django remembers from then on
    one = PAGES[kind](adam, alice)
    fill(models, alice, 30)
    assert PAGES[kind](adam, alice) == one


def test_list_tells_holder_model_who_and_when(adam: User, alice: User) -> None:
    granting.grant(alice, [Item("loras", "<b>.pt")], actor=adam)
    granting.grant(alice.role, [Item("vae", "x")], actor=None)
    text, _ = page(ModelGrant, request_of(adam))
    shown = re.findall(r"field-(\w+)[^>]*>(?:<a[^>]*>)?([^<]*)", rows_in(text))
    columns = [value for name, value in shown if name != "created_at"]
    assert columns == ["user alice", "loras", "&lt;b&gt;.pt", "adam", "role User", "vae", "x", ""]
    found = "q=ALI", "q=vae", "q=adam", "folder=loras", "role__slug__exact=user"
    for query, count in (*((query, 1) for query in found), ("q=nothing", 0)):
        listed, _ = page(ModelGrant, request_of(adam, query=query))
        assert rows_in(listed).count("field-folder") == count, query
