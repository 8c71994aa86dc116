"""Every list of the admin costs as many queries with thirty rows as with one; empty, it says what
to do; and each can be searched and filtered."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.utils import timezone
from django_otp_webauthn.models import WebAuthnCredential

from accounts import granting
from accounts.audit import audit
from accounts.granting import Item
from accounts.models import (
    AccountLink,
    ApiToken,
    AuditEntry,
    IpRule,
    Job,
    ModelGrant,
    Role,
    Session,
    TotpDevice,
    User,
)
from comfyproxy.files import FileRef
from comfyproxy.models import (
    Backend,
    BroadcastEvent,
    ContentVerdict,
    FileOwner,
    FileRecord,
    FormerNamespace,
    PromptRecord,
    RouteRule,
    SettingDefault,
    UserTree,
)
from downloads.models import DownloadJob, SourceKey
from mssproject.models import TaskRun
from tests.comfyproxy.adminpages import data_rows, page, request_of

pytestmark = pytest.mark.django_db


def user(number: int) -> User:
    return User.objects.create(username=f"user-{number}", role_id="user")


def prompt(number: int) -> None:
    owner = user(number)
    record = PromptRecord.objects.create(user=owner, number=number)
    row = FileRecord.of(FileRef("output", owner.namespace, "a.png"))
    row.save()
    FileOwner.objects.create(file=row, user=owner, prompt=record, type="output")


def session(number: int) -> None:
    Session.objects.create(user=user(number), expires_at=timezone.now() + timedelta(days=1))


def token(number: int) -> None:
    ApiToken.objects.create(user=user(number), token_hash=f"{number:064}", label=f"t{number}")


def link(number: int) -> None:
    AccountLink.objects.create(
        kind="password",
        user=user(number),
        created_by=user(number + 1000),
        token_hash=f"{number:064}",
        expires_at=timezone.now() + timedelta(days=1),
    )


def passkey(number: int) -> None:
    WebAuthnCredential.objects.create(
        user=user(number),
        name=f"key {number}",
        credential_id=bytes([number]),
        public_key=b"x",
        confirmed=True,
    )


def grant(number: int) -> None:
    granting.grant(user(number), [Item("loras", f"m{number}.pt")], actor=user(number + 1000))


def told(number: int) -> None:
    audit("login", actor=user(number), subject=user(number + 1000), number=number)


# Of each list, what makes one more row.
LISTS: dict[type[Any], Callable[[int], Any]] = {
    User: user,
    UserTree: user,
    Role: lambda n: Role.objects.create(slug=f"role-{n}", title=f"Role {n}", rank=10),
    Group: lambda n: Group.objects.create(name=f"team-{n}"),
    Session: session,
    ApiToken: token,
    AccountLink: link,
    TotpDevice: lambda n: TotpDevice.objects.create(user=user(n), secret="x"),
    WebAuthnCredential: passkey,
    IpRule: lambda n: IpRule.objects.create(kind="deny", network=f"192.0.2.{n}/32"),
    AccessAttempt: lambda n: AccessAttempt.objects.create(
        username=f"u{n}", ip_address="192.0.2.1", failures_since_start=1
    ),
    AuditEntry: told,
    ModelGrant: grant,
    PromptRecord: prompt,
    FileRecord: prompt,
    FormerNamespace: lambda n: FormerNamespace.objects.create(
        namespace=f"u-{n:010}", username=f"f{n}", keep_files=False
    ),
    Backend: lambda n: Backend.objects.create(name=f"comfyui-{n}"),
    BroadcastEvent: lambda n: BroadcastEvent.objects.create(event_type=f"node.{n}"),
    RouteRule: lambda n: RouteRule.objects.create(pattern=f"/x/{n}", capability="can_run"),
    SettingDefault: lambda n: SettingDefault.objects.create(setting_id=f"Comfy.{n}"),
    DownloadJob: lambda n: DownloadJob.objects.create(
        user=user(n), target=user(n + 1000), source="civitai"
    ),
    SourceKey: lambda n: SourceKey.objects.create(user=user(n), source="civitai", value="x"),
    Job: lambda n: Job.objects.create(kind="audit-export", started_by=user(n)),
}
# Pages of their own, with tests of their own.
OTHERS = {ContentVerdict, TaskRun}


@pytest.fixture
def adam() -> User:
    cache.clear()
    return User.objects.create(username="adam", role_id="admin")


def shown(model: type[Any], html: str) -> int:
    if model is Job:
        return html.count("Export the audit log</th>")
    return len(data_rows(html))


def test_no_list_is_forgotten_here() -> None:
    registered = {model for model in apps.get_models() if admin.site.is_registered(model)}
    assert registered == set(LISTS) | OTHERS


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_thirty_rows_cost_as_many_queries_as_one(model: type[Any], adam: User) -> None:
    LISTS[model](0)
    page(model, request_of(adam))  # what is remembered from then on
    html, one = page(model, request_of(adam))
    before = shown(model, html)
    assert before >= 1
    for number in range(1, 30):
        LISTS[model](number)
    cache.clear()
    page(model, request_of(adam))
    html, thirty = page(model, request_of(adam))
    assert shown(model, html) >= before + 29
    assert thirty == one


EMPTY = [model for model in LISTS if model not in (User, UserTree, Role, Job)]


@pytest.mark.parametrize("model", EMPTY, ids=lambda model: model.__name__)
def test_empty_list_says_what_to_do(model: type[Any], adam: User) -> None:
    html, _ = page(model, request_of(adam))
    text = admin.site.get_model_admin(model).empty_text
    assert "Nothing here yet" in html and text
    assert admin.site.get_model_admin(model).purpose
    html, _ = page(model, request_of(adam, query="q=nonsense"))
    if admin.site.get_model_admin(model).search_fields:
        assert "Nothing is like that" in html


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_list_is_found_by_what_it_shows_and_sorted_by_each_column(
    model: type[Any], adam: User
) -> None:
    LISTS[model](1)
    model_admin = admin.site.get_model_admin(model)
    if model is Job:
        return
    columns = len(model_admin.get_list_display(request_of(adam)))
    for column in range(1, columns + 1):
        html, _ = page(model, request_of(adam, query=f"o=-{column}"))
        assert shown(model, html) >= 1, column
    page(model, request_of(adam, query="q=x%00y"))
