"""Grants as CSV and JSON: what is written is read back, faults are told by line, checked first."""

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import errors, grantfiles, granting, grantplans
from accounts.models import ModelGrant, User
from tests.accounts.acting import Newcomer, browser
from tests.browser import Browser
from tests.cast import Person
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

GRANTS = "/admin/accounts/modelgrant/"
HEAD = "holder_kind,holder,folder,item_name,source_backend\n"
HELD = """
from accounts.models import ModelGrant
rows = ModelGrant.objects.filter(user__username=username)
result = sorted(f"{row.folder}/{row.item_name}{row.source_backend}" for row in rows)
"""
TOLD = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(actor_name=actor).exclude(event="login").order_by("id")
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


def held(gateway: Gateway, person: Person) -> list[str]:
    return list(gateway.run(HELD, username=person.username))


def check(page: Browser, content: str | bytes, mode: str = "give") -> str:
    """Send a file; the page that says what it would do."""
    token = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', page.get(f"{GRANTS}import/").text
    )
    assert token is not None
    data = content.encode() if isinstance(content, str) else content
    answer = page.post(
        f"{GRANTS}import/",
        data={"csrfmiddlewaretoken": token[1], "mode": mode},
        files={"file": ("grants.csv", data)},
    )
    assert answer.status_code == 200
    return answer.text


def confirm(page: Browser, text: str) -> str:
    """Do what such a page says; the message afterwards."""
    fields = {
        name: found[1].replace("&quot;", '"').replace("&#x27;", "'").replace("&amp;", "&")
        for name in ("csrfmiddlewaretoken", "mode", "content")
        if (found := re.search(rf'type="hidden" name="{name}" value="([^"]*)"', text)) is not None
    }
    answer = page.post(f"{GRANTS}import/", files={name: (None, v) for name, v in fields.items()})
    assert answer.status_code == 302, answer.text[:300]
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', page.get(GRANTS).text, re.DOTALL)
    return "" if found is None else re.sub(r"<[^>]+>", "", found[1]).strip()


def told(text: str) -> list[str]:
    """The faults and refusals that a page lists."""
    body = text.partition('id="content-main"')[2] or text.partition('id="content"')[2]
    refusals = re.findall(r'<ul class="errorlist[^>]*><li>([^<]*)', body)
    return refusals or re.findall(r"<li>((?:Line|Entry) [^<]*)</li>", body)


names = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters="=+-@'\"\t;,"),
    min_size=1,
    max_size=12,
).filter(lambda text: text.strip() != "" and "\t" not in text)


@given(st.lists(st.tuples(names, names), min_size=1, max_size=5))
def test_whatever_the_names_are_files_bring_them_back_and_run_nothing(
    pairs: list[tuple[str, str]],
) -> None:
    rows = []
    for username, name in pairs:
        try:
            item = granting.item("loras", name)
        except errors.BadRequest:
            continue
        rows.append(ModelGrant(user=User(username=username), **item_fields(item)))
    if not rows:
        return
    text = grantfiles.to_csv(rows)
    for line in csv.reader(io.StringIO(text, newline="")):
        assert not [value for value in line if value[:1] in ("=", "+", "-", "@")]
    for form in (text, grantfiles.to_json(rows)):
        content = grantfiles.read(form.encode())
        assert content.faults == []
        assert [(line.holder, line.item) for line in content.lines] == [
            (row.user.username, granting.item_of(row)) for row in rows if row.user is not None
        ]


def item_fields(item: granting.Item) -> dict[str, str]:
    return {
        "folder": item.folder,
        "item_name": item.item_name,
        "source_backend": item.source_backend,
    }


def test_file_is_checked_first_then_done_with_one_row_for_each_holder(
    gateway: Gateway, admin: Browser, chief: Person, person: Person, newcomer: Newcomer
) -> None:
    other = newcomer()
    content = (
        f"{HEAD}user,{person.username.upper()},unet,a\\b,\n"
        f"user,{person.username},loras,'=cmd|x,\n"
        f"user,{other.username},vae,*,http://far\n"
        f"user,{other.username},vae,*,http://far\n"
    )
    page = check(admin, content)
    assert "To give: 3. Given already: 0." in page
    assert held(gateway, person) == held(gateway, other) == []
    assert confirm(admin, page) == "Given: 3."
    assert held(gateway, person) == ["diffusion_models/a/b", "loras/=cmd|x"]
    assert held(gateway, other) == ["vae/*http://far"]
    exported = admin.get(f"{GRANTS}export.csv?q={person.username}")
    assert exported.headers["Content-Disposition"] == 'attachment; filename="model-grants.csv"'
    assert f"user,{person.username},loras,'=cmd|x,\r\n" in exported.text
    assert other.username not in exported.text
    again = check(admin, exported.content)
    assert "To give: 0. Given already: 2." in again
    listed = json.loads(admin.get(f"{GRANTS}export.json?q={person.username}").text)
    assert [row["item_name"] for row in listed] == ["a/b", "=cmd|x"]
    # The other way: what was exported is taken away.
    page = check(admin, json.dumps(listed[:1]), "take")
    assert "To take away: 1. Not given: 0." in page
    assert confirm(admin, page) == "Taken away: 1."
    assert held(gateway, person) == ["loras/=cmd|x"]
    rows = gateway.run(TOLD, actor=chief.username)
    assert sorted(rows) == sorted(
        [
            ["grant.added", person.username, 2],
            ["grant.added", other.username, 1],
            ["grant.removed", person.username, 1],
        ]
    )


def test_each_fault_is_told_with_its_line_and_nothing_is_changed(
    gateway: Gateway, admin: Browser, chief: Person, person: Person
) -> None:
    good = f"user,{person.username},loras,a,\n"
    content = (
        f"{HEAD}{good}person,x,loras,a,\nuser,nobody-at-all,loras,a,\n\n"
        f"user,{person.username},lo/ras,a,\nuser,{person.username},loras\nrole,none,vae,x,\n"
        f'team,"a\nb",vae,x,\nuser,,vae,x,\n'
    )
    page = check(admin, content)
    assert told(page) == [
        "Line 3: holder_kind must be one of user, role, team.",
        "Line 4: There is no user “nobody-at-all”.",
        "Line 6: folder must name a model folder.",
        "Line 7: There are too few or too many values.",
        "Line 8: There is no role “none”.",
        "Line 10: There is no team “a\nb”.",
        "Line 11: holder must name a user.",
    ]
    assert 'name="content"' not in page
    entries = [{"holder_kind": "user", "holder": person.username, "folder": 7, "item_name": "a"}, 5]
    assert told(check(admin, json.dumps(entries))) == [
        "Entry 1: folder must name a model folder.",
        "Entry 2: There are too few or too many values.",
    ]
    assert held(gateway, person) == []
    assert gateway.run(TOLD, actor=chief.username) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "The submitted file is empty."),
        (HEAD.encode(), "There is no grant in the file."),
        (b"\xff\xfea\0", "The file is not UTF-8. Save it as “CSV UTF-8”."),
        (b"holder,folder\nx,y\n", f"The first line must be: {HEAD.strip()}"),
        (
            b"holder_kind,holder,holder,folder,item_name\n",
            f"The first line must be: {HEAD.strip()}",
        ),
        (HEAD.encode() + b'user,"x', "Line 2 is not valid CSV: unexpected end of data."),
        (b"[1", "The file is not valid JSON."),
        (b'{"a": 1}', "The file must be a list of objects."),
        (b"[]", "There is no grant in the file."),
        (HEAD.encode() + b"user,x,loras,a,\n" * 20_001, "There are more than 20000 grants."),
        (HEAD.encode() + b"x" * (3 * 1024**2), "The file is larger than 3 MB."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_such_file_is_told(admin: Browser, content: bytes, complaint: str) -> None:
    (said,) = told(check(admin, content))
    assert said.replace("&#x27;", "'").startswith(complaint)


def test_spreadsheets_that_separate_by_semicolons_and_mark_their_files_are_read() -> None:
    text = "\ufeffholder_kind;holder;folder;item_name\r\nrole;user;loras;a,b\r\n"
    (line,) = grantfiles.read(text.encode()).lines
    assert (line.number, line.kind, line.holder, line.item) == (
        2,
        "role",
        "user",
        granting.Item("loras", "a,b"),
    )


@pytest.mark.django_db
def test_limits_of_holders_and_queries(django_assert_max_num_queries: Any) -> None:
    User.objects.bulk_create(
        User(username=f"u{number}", role_id="user", namespace=f"u-{number:06}")
        for number in range(501)
    )
    lines = [f"user,u{number},loras,a,\n" for number in range(501)]
    content = grantfiles.read((HEAD + "".join(lines)).encode())
    with pytest.raises(errors.BadRequest):
        grantplans.plan(content)
    content.lines.pop()
    with django_assert_max_num_queries(6):
        plan = grantplans.plan(content)
    assert (plan.new, plan.had, plan.faults) == (500, 0, [])
