"""Giving models and taking them away: what is there afterwards, and the one row about it."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import errors, granting
from accounts.granting import Item, item
from accounts.grantreads import own, reaching, who_see_all
from accounts.holders import Holder
from accounts.models import AuditEntry, ModelGrant, Role, User

pytestmark = pytest.mark.django_db

A, B, STAR = Item("loras", "a.safetensors"), Item("loras", "b.safetensors"), Item("vae", "x/*")


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def alice() -> User:
    return User.objects.create(username="alice", role_id="user")


@pytest.fixture
def crew() -> Group:
    return Group.objects.create(name="crew")


def had(holder: Holder) -> list[Item]:
    return [granting.item_of(row) for row in granting.grants_of(holder)]


def told() -> list[list[Any]]:
    """The audit rows: event, who did it, about whom, what."""
    return [
        [row.event, row.actor_name, row.subject_name, row.details]
        for row in AuditEntry.objects.order_by("id")
    ]


@pytest.mark.parametrize("kind", ["user", "role", "team"])
def test_each_kind_of_holder_is_given_models_and_one_row_tells_of_it(
    kind: str, adam: User, alice: User, crew: Group
) -> None:
    role = Role.objects.get(slug="user")
    holder: Holder = {"user": alice, "role": role, "team": crew}[kind]
    rows = granting.grant(holder, [B, A, STAR, A], actor=adam, ip="10.0.0.1")
    assert [granting.item_of(row) for row in rows] == had(holder) == [A, B, STAR]
    assert {(row.granted_by, row.granted_by_role) for row in rows} == {(adam, "admin")}
    shown = {"user": "user alice", "role": "role User", "team": "team crew"}[kind]
    models = ["loras/b.safetensors", "loras/a.safetensors", "vae/x/*"]
    details = {"holder": shown, "models": models, "count": 3}
    subject = "alice" if kind == "user" else ""
    assert told() == [["grant.added", "adam", subject, details]]
    others = [other for other in (alice, role, crew) if other != holder]
    assert [had(other) for other in others] == [[], []]


def test_giving_again_and_taking_what_is_not_there_leave_everything_as_it_is(
    adam: User, alice: User
) -> None:
    (first,) = granting.grant(alice, [A], actor=adam)
    (again,) = granting.grant(alice, [A], actor=None)
    assert (again.pk, again.granted_by) == (first.pk, adam)
    assert granting.revoke(alice, [B, STAR], actor=adam) == 0
    assert granting.revoke(alice, [], actor=adam) == 0
    assert (had(alice), len(told())) == ([A], 1)
    assert granting.revoke(alice, [A, B], actor=adam) == 1
    assert (had(alice), [row[0] for row in told()]) == ([], ["grant.added", "grant.removed"])


def test_same_model_of_two_backends_is_given_and_taken_each_by_itself(alice: User) -> None:
    far = Item("loras", "a.safetensors", "http://far:8188")
    granting.grant(alice, [A, far], actor=None)
    assert granting.revoke(alice, [far], actor=None) == 1
    assert had(alice) == [A]


def test_exactly_these_changes_the_difference_alone(adam: User, alice: User) -> None:
    before = granting.grant(alice, [A, STAR], actor=None)
    assert granting.set_grants(alice, [A, B], actor=adam) == (1, 1)
    assert had(alice) == [A, B]
    assert granting.grants_of(alice)[0].pk == before[0].pk
    assert granting.set_grants(alice, [B], actor=adam, folder="loras") == (0, 1)
    granting.grant(alice, [STAR, Item("diffusion_models", "m")], actor=None)
    assert granting.set_grants(alice, [], actor=adam, folder="unet") == (0, 1)
    assert had(alice) == [B, STAR]


def test_copying_adds_what_the_other_was_given_itself(adam: User, alice: User, crew: Group) -> None:
    bob = User.objects.create(username="bob", role_id="user")
    bob.groups.add(crew)
    granting.grant(crew, [STAR], actor=None)
    granting.grant(bob, [A, B], actor=None)
    granting.grant(alice, [B], actor=None)
    assert granting.copy_grants(bob, alice, actor=adam) == 1
    assert (had(alice), had(bob), had(crew)) == ([A, B], [A, B], [STAR])


def test_replacing_tells_before_and_after(adam: User, alice: User) -> None:
    row, _ = granting.grant(alice, [A, STAR], actor=None)
    granting.replace(row, A, actor=adam)
    granting.replace(row, B, actor=adam)
    assert had(alice) == [B, STAR]
    assert granting.grants_of(alice)[0].granted_by == adam
    before, after = "loras/a.safetensors", "loras/b.safetensors"
    assert told()[1:] == [
        [
            "grant.changed",
            "adam",
            "alice",
            {"holder": "user alice", "before": before, "after": after},
        ]
    ]
    with pytest.raises(errors.Conflict):
        granting.replace(row, STAR, actor=adam)
    granting.revoke(alice, [B], actor=None)
    with pytest.raises(errors.NotFound):
        granting.replace(row, A, actor=adam)
    assert had(alice) == [STAR]


def test_holder_that_is_gone_is_not_found_and_nothing_is_told(
    adam: User, alice: User, crew: Group
) -> None:
    role = Role.objects.create(slug="studio", title="Studio", rank=30)
    for holder in (alice, crew, role):
        key = holder.pk
        holder.delete()
        holder.pk = key
        with pytest.raises(errors.NotFound):
            granting.grant(holder, [A], actor=adam)
        with pytest.raises(errors.NotFound):
            granting.set_grants(holder, [A], actor=adam)
    assert (ModelGrant.objects.count(), told()) == (0, [])


@pytest.mark.parametrize("kind", ["user", "role", "team"])
def test_deleted_holder_takes_its_grants_along_and_no_others(kind: str, alice: User) -> None:
    bob = User.objects.create(username="bob", role_id="user")
    kinds = {
        "user": bob,
        "role": Role.objects.create(slug="studio", title="Studio", rank=30),
        "team": Group.objects.create(name="bobs"),
    }
    for holder in (alice, *kinds.values()):
        granting.grant(holder, [A, STAR], actor=None)
    gone = kinds.pop(kind)
    gone.delete()
    assert [had(holder) for holder in (alice, *kinds.values())] == [[A, STAR]] * 3
    assert ModelGrant.objects.count() == 6


def test_deleted_granter_leaves_the_grant_in_force(adam: User, alice: User) -> None:
    granting.grant(alice, [A], actor=adam)
    adam.delete()
    (row,) = granting.grants_of(alice)
    assert (row.granted_by, row.granted_by_role) == (None, "admin")
    assert had(alice) == [A]


def test_thousands_at_once_cost_few_statements(adam: User, alice: User) -> None:
    many = [Item("loras", f"{number}.safetensors") for number in range(3000)]
    granting.grant(alice, many[:1], actor=adam)
    with CaptureQueriesContext(connection) as queries:
        rows = granting.grant(alice, many, actor=adam)
    assert (len(rows), len(queries) < 60) == (3000, True)
    assert told()[-1][3]["count"] == 2999
    assert len(told()[-1][3]["models"]) == 100
    assert granting.set_grants(alice, many[:1], actor=adam) == (0, 2999)
    with pytest.raises(errors.BadRequest):
        granting.grant(alice, (Item("loras", str(n)) for n in range(20_001)), actor=adam)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("unet", "a\\b.gguf"), Item("diffusion_models", "a/b.gguf")),
        (("clip", "/x/", "local"), Item("text_encoders", "x")),
        (("*", "*", None), Item("*", "*")),
        (("my folder-2.x", " a b ", "http://far"), Item("my folder-2.x", " a b ", "http://far")),
    ],
)
def test_items_are_stored_in_one_form(given: Any, expected: Item) -> None:
    assert item(*given) == expected


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (("", "a"), "folder"),
        (("a/b", "a"), "folder"),
        (("lo*", "a"), "folder"),
        ((None, "a"), "folder"),
        ((["loras"], "a"), "folder"),
        (("x" * 101, "a"), "folder"),
        (("loras", ""), "item_name"),
        (("loras", "  "), "item_name"),
        (("loras", "/"), "item_name"),
        (("loras", "\\"), "item_name"),
        (("loras", "a\0"), "item_name"),
        (("loras", "a\n"), "item_name"),
        (("loras", 5), "item_name"),
        (("loras", None), "item_name"),
        (("loras", "x" * 501), "item_name"),
        (("loras", "*a*b*c*d*"), "item_name"),
        (("loras", "../a"), "item_name"),
        (("loras", "a/./b"), "item_name"),
        (("loras", "a\\..\\b"), "item_name"),
        (("loras", "a", 5), "source_backend"),
        (("loras", "a", "x\n"), "source_backend"),
        (("loras", "a", "x" * 201), "source_backend"),
    ],
)
def test_malformed_item_is_refused_with_its_field(given: Any, field: str) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        item(*given)
    assert refused.value.fields == {"field": field}


def test_reads_tell_through_whom_each_user_has_what(alice: User, crew: Group, adam: User) -> None:
    bob = User.objects.create(username="bob", role_id="user")
    bob.groups.add(crew)
    granting.grant(alice, [A], actor=None)
    granting.grant(Role.objects.get(slug="user"), [STAR], actor=None)
    granting.grant(crew, [B, Item("loras", "far", "http://elsewhere")], actor=None)
    found = reaching([alice, bob, adam])
    shown = {key: [(str(h), sorted(h.items)) for h in held] for key, held in found.items()}
    star, a, b = [("vae", "x/*")], [("loras", "a.safetensors")], [("loras", "b.safetensors")]
    assert shown == {
        alice.pk: [("user alice", a), ("role user", star)],
        bob.pk: [("user bob", []), ("role user", star), ("team crew", b)],
        adam.pk: [("user adam", []), ("role admin", [])],
    }
    assert reaching([bob], "vae")[bob.pk][2].items == frozenset()
    assert own(crew).items == {("loras", "b.safetensors")}
    assert who_see_all([alice, bob, adam]) == {adam.pk}
