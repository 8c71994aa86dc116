"""The admin's pages of roles: all beside each other, and the nodes that one may not use."""

import json
import re
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied

from accounts import ranks, services
from accounts.api.administration import role_json
from accounts.capabilities import Capability
from accounts.errors import UpstreamUnreachable
from accounts.models import AuditEntry, Role, User
from comfyproxy import admin_nodes
from mssproject.admin import RolesAdmin
from tests.comfyproxy.adminpages import request_of, sent

pytestmark = pytest.mark.django_db

CLASSES = ["EmptyImage", "KSampler", "SaveImage"]


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def watcher() -> User:
    """Staff who may look at roles and, as Django has it, change them; but shapes none."""
    role = Role.objects.create(slug="watcher", title="Watcher", rank=50, is_staff=True)
    role.permissions.add(*Permission.objects.filter(codename__in=["view_role", "change_role"]))
    return User.objects.create(username="watcher", role=role)


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Known:
        specs = dict.fromkeys(CLASSES)

    async def to_show() -> Any:
        return Known

    monkeypatch.setattr(admin_nodes.catalog, "to_show", to_show)


def pages() -> RolesAdmin:
    return RolesAdmin(Role, admin.site)


def role(slug: str) -> Role:
    return Role.objects.get(slug=slug)


# --- all beside each other -----------------------------------------------------------------


def form(*, on: dict[str, bool] | None = None, **numbers: str) -> dict[str, Any]:
    """What the matrix sends with these boxes ("user/can_run") changed."""
    states = {each.slug: role_json(each) for each in Role.objects.exclude(slug="owner")}
    ticked = {
        f"{slug}/{name}"
        for slug, state in states.items()
        for name, value in state.items()
        if value is True
    }
    for box, value in (on or {}).items():
        ticked = ticked | {box} if value else ticked - {box}
    return {"before": json.dumps(states), "on": sorted(ticked), **numbers}


def save(user: User, data: dict[str, Any]) -> list[str]:
    html, said = sent(pages().matrix_view, user, **data)
    assert html == ""
    return said


def test_admin_ticks_for_several_roles_at_once_with_a_row_for_each(adam: User) -> None:
    changed = {"user/can_upload": False, "guest/can_run": True, "guest/sfw_enforced": True}
    said = save(adam, form(on=changed) | {"power/max_waiting_prompts": " 7 "})
    assert said == ["Roles changed: 3."]
    assert Capability.UPLOAD not in ranks.capabilities_of_role(role("user"))
    assert Capability.RUN in ranks.capabilities_of_role(role("guest"))
    assert role("guest").sfw_enforced and role("power").max_waiting_prompts == 7
    rows = {row.details["role"]: row.details["changes"] for row in AuditEntry.objects.all()}
    assert rows == {
        "user": {"can_upload": {"before": True, "after": False}},
        "guest": {
            "can_run": {"before": False, "after": True},
            "sfw_enforced": {"before": False, "after": True},
        },
        "power": {"max_waiting_prompts": {"before": None, "after": 7}},
    }


def test_what_another_changed_meanwhile_stays(adam: User) -> None:
    data = form(on={"user/can_upload": False})
    services.change_role(role("user"), {"can_run": False, "mfa_required": True}, actor=adam)
    save(adam, data)
    assert role_json(role("user")) == role_json(role("user")) | {
        "can_run": False,
        "can_upload": False,
        "mfa_required": True,
    }


def test_saving_without_a_change_writes_nothing(adam: User) -> None:
    assert save(adam, form()) == ["Roles changed: 0."]
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"before": "x"}, "The form is not complete. Load the page again."),
        ({"before": "[]"}, "The form is not complete. Load the page again."),
        ({"before": '{"user": 1}'}, "The form is not complete. Load the page again."),
        ({"user/max_waiting_prompts": "-1"}, "“-1” is no number. Nothing was changed."),
        ({"user/max_waiting_prompts": "x"}, "“x” is no number. Nothing was changed."),
        ({"user/max_waiting_prompts": "9" * 12}, None),
        ({"user/max_prompt_bytes": "0"}, None),
    ],
)
def test_a_broken_form_changes_nothing_and_is_told(
    adam: User, data: dict[str, str], text: str | None
) -> None:
    before = [role_json(each) for each in Role.objects.all()]
    (said,) = save(adam, form(on={"guest/can_run": True}) | data)
    assert text is None or said == text
    assert "Roles changed" not in said
    assert [role_json(each) for each in Role.objects.all()] == before


@pytest.mark.parametrize("slug", ["owner", "above"])
def test_admin_shapes_neither_the_owners_role_nor_one_above(adam: User, slug: str) -> None:
    Role.objects.create(slug="above", title="Above", rank=90)
    states = {slug: role_json(role(slug))}
    data = {"before": json.dumps(states), "on": [f"{slug}/mfa_required"]}
    assert save(adam, data) == ["You may not change this role."]
    assert not role(slug).mfa_required
    html = pages().matrix_view(request_of(adam)).content.decode()
    for box in re.findall(rf'<input [^>]*value="{slug}/[^>]*>', html):
        assert "disabled" in box
    assert f'"{slug}":' not in html.replace("&quot;", '"')


def test_staff_who_shapes_no_role_looks_only(watcher: User) -> None:
    html = pages().matrix_view(request_of(watcher)).content.decode()
    assert "Your role does not let you change roles." in html and "data-save" not in html
    assert save(watcher, form(on={"guest/can_run": True})) == ["You may not change this role."]
    assert Capability.RUN not in ranks.capabilities_of_role(role("guest"))
    watcher.role.permissions.clear()
    with pytest.raises(PermissionDenied):
        pages().matrix_view(request_of(User.objects.get(pk=watcher.pk)))


# --- nodes ---------------------------------------------------------------------------------


def nodes_of(slug: str) -> Any:
    return partial(pages().nodes_view, id=str(role(slug).pk))


def test_admin_blocks_nodes_chosen_from_comfyuis(adam: User) -> None:
    services.change_role(role("power"), {"blocked_node_classes": ["Gone"]}, actor=adam)
    html = nodes_of("power")(request_of(adam)).content.decode()
    assert re.findall(r'name="m" value="(\w+)"( checked)?', html) == [
        ("Gone", " checked"),
        *((name, "") for name in CLASSES),
    ]
    assert "ComfyUI has none" in html
    _, said = sent(nodes_of("power"), adam, before='["Gone"]', m=["KSampler"])
    assert said == ["Blocked: 1 nodes."]
    assert role("power").blocked_node_classes == ["KSampler"]
    assert AuditEntry.objects.first().details["changes"] == {  # type: ignore[union-attr]
        "blocked_node_classes": {"before": ["Gone"], "after": ["KSampler"]}
    }


def test_what_another_blocked_meanwhile_stays_blocked(adam: User) -> None:
    services.change_role(role("power"), {"blocked_node_classes": ["A", "B"]}, actor=adam)
    sent(nodes_of("power"), adam, before='["A"]', m=["C"])
    assert role("power").blocked_node_classes == ["B", "C"]


def test_blocked_nodes_are_shown_while_comfyui_is_away(
    adam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise UpstreamUnreachable

    monkeypatch.setattr(admin_nodes.catalog, "to_show", away)
    services.change_role(role("power"), {"blocked_node_classes": ["A"]}, actor=adam)
    html = nodes_of("power")(request_of(adam)).content.decode()
    assert 'value="A" checked' in html and "ComfyUI has none" not in html


@pytest.mark.parametrize("before", ["", "x", "5", "[[]]"])
def test_a_broken_list_of_nodes_changes_nothing(adam: User, before: str) -> None:
    had = role("user").blocked_node_classes
    sent(nodes_of("user"), adam, before=before, m=["C"])
    assert role("user").blocked_node_classes == had


def test_a_name_that_is_too_long_is_refused(adam: User) -> None:
    _, (said,) = sent(nodes_of("power"), adam, before="[]", m=["x" * 201])
    assert "Blocked" not in said and role("power").blocked_node_classes == []


def test_staff_who_shapes_no_role_blocks_none(watcher: User) -> None:
    assert "data-save" not in nodes_of("user")(request_of(watcher)).content.decode()
    with pytest.raises(PermissionDenied):
        sent(nodes_of("user"), watcher, before="[]", m=["C"])


def test_owners_role_is_only_looked_at(adam: User) -> None:
    with pytest.raises(PermissionDenied):
        sent(nodes_of("owner"), adam, before="[]", m=["C"])
