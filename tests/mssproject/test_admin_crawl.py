"""Every link of the admin, followed by each kind of person: what opens, for whom it does not."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest

from tests.accounts.acting import session
from tests.browser import Browser
from tests.cast import ADMIN, ALICE, OWNER, Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.prompts import run, save

# Somebody who looks after users, and somebody who only looks at what people ran.
HELPDESK, WATCHER = Person("helga", "helpdesk"), Person("walt", "watcher")
SECRETS = ("v1:not-to-be-shown", "totp-not-to-be-shown")
SEED = """
from datetime import timedelta
from django.contrib.auth.models import Group, Permission
from django.utils import timezone
from axes.models import AccessAttempt
from accounts import granting, links
from accounts.models import IpRule, Role, Session, TotpDevice, User
from comfyproxy.models import (Backend, BroadcastEvent, FormerNamespace, NsfwScan, RouteRule,
    SettingDefault)
from downloads.models import DownloadJob, SourceKey
from tests.passwords import hashed

for slug, codes in (
    ("helpdesk", ["view_user", "add_user", "change_user", "view_session", "delete_session",
                  "view_accountlink", "add_accountlink"]),
    ("watcher", ["view_promptrecord", "view_filerecord"]),
):
    role = Role.objects.create(slug=slug, title=slug.title(), rank=50, is_staff=True)
    role.permissions.set(Permission.objects.filter(codename__in=codes))
for name, slug in (("helga", "helpdesk"), ("walt", "watcher")):
    User.objects.create(username=name, role_id=slug, password=hashed(password))
alice, adam = User.objects.get(username="alice"), User.objects.get(username="adam")
crew = Group.objects.create(name="crew")
alice.groups.add(crew)
granting.grant(alice, [granting.item("checkpoints", "sd15.safetensors")], actor=adam)
granting.grant(crew, [granting.item("loras", "*")], actor=adam)
links.create_invitation(Role.objects.get(slug="user"), actor=adam, note="for a friend")
links.create_password_link(alice, actor=adam)
TotpDevice.objects.create(user=alice, secret=secrets[1], confirmed=False)
AccessAttempt.objects.create(username="ghost", ip_address="192.0.2.9", failures_since_start=3)
BroadcastEvent.objects.create(event_type="crystools.monitor")
FormerNamespace.objects.create(namespace="u-crawltest0", username="gone", keep_files=True)
RouteRule.objects.create(pattern="/crawl/list", capability="can_run")
SettingDefault.objects.create(setting_id="Comfy.Crawl")
DownloadJob.objects.create(user=alice, target=alice, source="civitai", filename="x.safetensors",
    status="completed")
SourceKey.objects.create(user=alice, source="civitai", value=secrets[0])
IpRule.objects.create(kind="deny", network="198.51.100.0/24")
Backend.objects.get_or_create(name="comfyui")
"""


@pytest.fixture(scope="module")
def admin_gateway(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread
) -> Iterator[Gateway]:
    """A gateway with something in each list of the admin."""
    cast = (OWNER, ADMIN, ALICE)
    with serving(tmp_path_factory.mktemp("crawl"), comfy.url, cast) as server:
        server.run(SEED, password="x", secrets=SECRETS)
        alice = Client(server.url, session(server, ALICE), server.namespaces["alice"])
        run(alice, save("crawl"))
        # Whose files the crawl looks at: the first of all.
        adam = Client(server.url, session(server, ADMIN))
        assert adam.post("/userdata/workflows%2Fcrawl.json", data=b"{}").status_code == 200
        yield server


@dataclass
class Found:
    """What one person came to: the address of a page → its status; texts of all pages."""

    statuses: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)


def kind(path: str) -> str:
    """Pages of one kind look alike but for their keys and what is looked for: one of each is
    enough."""
    parts = urlsplit(path)
    query = sorted(name for name, _ in parse_qsl(parts.query))
    shape = re.sub(
        r"/(\d+|[0-9a-f-]{32,36}|u-\w+|user-\d+|former-\d+)(?=/|$)", "/<key>", parts.path
    )
    return f"{shape}?{','.join(query)}"


def crawl(gateway: Gateway, person: Person) -> Found:
    """Follow every link of the admin from its first page on, one of each kind."""
    page = Browser(gateway.url, session(gateway, person))
    found, seen, left = Found(), set(), ["/admin/"]
    while left:
        path = left.pop(0)
        if kind(path) in seen:
            continue
        seen.add(kind(path))
        answer = page.get(path, allow_redirects=False)
        found.statuses[path] = answer.status_code
        if "text/html" not in answer.headers.get("Content-Type", ""):
            continue
        found.texts.append(answer.text)
        for link in re.findall(r'<a [^>]*?href="([^"#]*)', answer.text):
            target = urlsplit(urljoin(gateway.url + path, unescape(link)))
            if len(parse_qsl(target.query)) > 1:
                continue  # filters upon filters, without end
            if target.netloc == urlsplit(gateway.url).netloc and target.path.startswith("/admin/"):
                left.append(target.path + (f"?{target.query}" if target.query else ""))
    return found


@pytest.fixture(scope="module")
def by_owner(admin_gateway: Gateway) -> Found:
    return crawl(admin_gateway, OWNER)


def bad(found: Found) -> dict[str, int]:
    """What did not open. One's own password is changed on the account page."""
    return {
        path: status
        for path, status in found.statuses.items()
        if status != 200
        and (status, re.sub(r"\d+", "", path)) != (302, "/admin/accounts/user//password/")
    }


def test_owner_opens_every_page(by_owner: Found) -> None:
    assert bad(by_owner) == {}
    # It went everywhere: the lists of all models, and a page of each that has rows.
    lists = {path for path in by_owner.statuses if re.fullmatch(r"/admin/\w+/\w+/", path)}
    assert len(lists) >= 23, lists
    for part in (
        "/accounts/user/",
        "/about/audit/",
        "/role/matrix/",
        "/nodes/",
        "/modelgrant/matrix/",
        "/modelgrant/give/",
        "/usertree/tree/",
        "/usertree/file/",
        "/promptrecord/",
        "/contentverdict/",
        "/taskrun/",
        "/add/",
        "/delete/",
        "/password/",
        "/export.csv",
    ):
        assert any(part in path for path in by_owner.statuses), part
    assert len(by_owner.statuses) > 100


def test_every_page_says_what_it_is_for(by_owner: Found) -> None:
    lists = [
        text
        for path, text in zip(by_owner.statuses, by_owner.texts, strict=False)
        if re.fullmatch(r"/admin/\w+/\w+/", path)
    ]
    assert len(lists) >= 20
    silent = [
        re.findall(r"<title>(.*?)</title>", text, re.DOTALL)
        for text in lists
        if 'class="mss-purpose"' not in text and "Which pictures are explicit." not in text
    ]
    assert silent == []


def test_no_page_shows_a_secret(admin_gateway: Gateway, by_owner: Found) -> None:
    hashes = admin_gateway.run(
        "from accounts.models import AccountLink, ApiToken, User\n"
        "result = [*User.objects.values_list('password', flat=True),"
        "*AccountLink.objects.values_list('token_hash', flat=True)]"
    )
    whole = "".join(by_owner.texts)
    for secret in (*SECRETS, *hashes):
        assert secret not in whole


def test_admin_opens_every_page_that_is_linked(admin_gateway: Gateway) -> None:
    assert bad(crawl(admin_gateway, ADMIN)) == {}


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (HELPDESK, {"user", "session", "accountlink"}),
        (WATCHER, {"promptrecord", "filerecord"}),
    ],
)
def test_staff_is_offered_only_what_opens_and_refused_the_rest(
    admin_gateway: Gateway, by_owner: Found, person: Person, expected: set[str]
) -> None:
    own = crawl(admin_gateway, person)
    # Django links what a row refers to, whether one may look at it or not.
    refused = {
        path for path, status in bad(own).items() if status == 403 and path.endswith("/change/")
    }
    assert {path for path in bad(own) if path not in refused} == set()
    assert not {path.split("/")[3] for path in refused} & expected
    lists = {path.split("/")[3] for path in own.statuses if re.fullmatch(r"/admin/\w+/\w+/", path)}
    assert lists == expected
    # What the owner came to is refused, whether it is offered or not.
    page = Browser(admin_gateway.url, session(admin_gateway, person))
    open_to_them = {kind(path) for path in own.statuses}
    for path in by_owner.statuses:
        model = path.split("?")[0].split("/")[3:4]
        if kind(path) in open_to_them or not model or model[0] in expected:
            continue
        answer = page.get(path, allow_redirects=False)
        assert answer.status_code in (302, 403, 404), path
        assert "alice" not in answer.text and "u-" not in answer.text, path


@pytest.mark.parametrize("who", ["alice", "nobody"])
def test_others_open_no_page_and_learn_nothing(
    admin_gateway: Gateway, by_owner: Found, who: str
) -> None:
    page = Browser(admin_gateway.url, session(admin_gateway, ALICE) if who == "alice" else None)
    for path in by_owner.statuses:
        answer = page.get(path, allow_redirects=False)
        assert (answer.status_code, answer.text) == (302, ""), path
        assert "login" in answer.headers["Location"], path


def test_plain_user_changes_nothing_by_any_form(admin_gateway: Gateway, by_owner: Found) -> None:
    page = Browser(admin_gateway.url, session(admin_gateway, ALICE))
    before = _state(admin_gateway)
    for path in by_owner.statuses:
        answer = page.post(path, data={"do": "save", "post": "yes"}, allow_redirects=False)
        assert answer.status_code in (302, 403), path
    assert _state(admin_gateway) == before


def _state(gateway: Gateway) -> Any:
    return gateway.run(
        "from django.apps import apps\n"
        "skipped = {'Session', 'TaskRun', 'Challenge'}\n"
        "result = {model._meta.label: model._base_manager.count() for model in apps.get_models()"
        " if model.__name__ not in skipped}"
    )
