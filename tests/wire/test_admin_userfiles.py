"""The admin's pages of users' files: browse, open, download, upload, share, copy, restore."""

import html
import re
from typing import Any

import pytest

from tests.accounts.acting import browser
from tests.browser import Browser
from tests.cast import ADMIN, ALICE, OWNER
from tests.client import Client
from tests.gateway import Gateway
from tests.granted import Given
from tests.userdata import address, names, read, saved

pytestmark = pytest.mark.usefixtures("clean_log")

LIST = "/admin/comfyproxy/usertree/"
SHARED = f"{LIST}tree/shared/"
PK = "from accounts.models import User; result = User.objects.get(namespace=namespace).pk"
TOLD = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(event__startswith="files.").order_by("-id")[:10]
result = [[row.event, row.actor_name, row.subject_name] for row in rows]
"""


@pytest.fixture
def page(gateway: Gateway) -> Browser:
    return browser(gateway, ADMIN)


@pytest.fixture
def ann(given: Given) -> Client:
    client = given()
    saved(client, "workflows/a.json", b'{"nodes":[1]}')
    saved(client, "workflows/sub/b.json", b"{}")
    saved(client, "pic.png", bytes(range(256)))
    return client


def username(client: Client) -> str:
    return str(client.get("/mss-login/api/me").json()["username"])


def tree(gateway: Gateway, client: Client) -> str:
    return f"{LIST}tree/user-{gateway.run(PK, namespace=client.namespace)}/"


def do(page: Browser, where: str, what: str, files: Any = None, **fields: Any) -> str:
    """Send the page's form; what the person is told."""
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.get(where).text)
    assert token is not None
    data = {"csrfmiddlewaretoken": token[1], "do": what, **fields}
    answer = page.post(where, data=data, files=files)
    assert answer.status_code == 302, answer.text[:500]
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', page.get(LIST).text, re.DOTALL)
    return "" if found is None else html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip()


def test_administrator_sees_whose_files_there_are(
    page: Browser, ann: Client, gateway: Gateway
) -> None:
    listed = page.get(LIST, params={"q": username(ann)}).text
    row = listed.partition('id="result_list"')[2]
    assert re.search(r"field-file_count[^>]*>3<", row)
    key = gateway.run(PK, namespace=ann.namespace)
    shown = page.get(tree(gateway, ann)).text
    assert page.get(f"{LIST}{key}/change/").status_code == 200
    for name in ("workflows/a.json", "workflows/sub/b.json", "pic.png"):
        assert f">{name}</a>" in shown
    found = page.get(tree(gateway, ann), params={"q": "SUB"}).text
    assert "sub/b.json" in found and "pic.png" not in found


def test_administrator_opens_and_downloads(page: Browser, ann: Client, gateway: Gateway) -> None:
    saved(ann, "workflows/a.json", b'{"nodes":[2],"x":"<script>"}')
    where = tree(gateway, ann).replace("/tree/", "/file/")
    shown = page.get(where, params={"path": "workflows/a.json"}).text
    assert "&quot;nodes&quot;: [\n    2\n  ]" in shown
    assert '<script>"' not in shown
    (version,) = re.findall(r"\?version=([0-9a-f]{32}\.[\w-]+)", shown)
    where = where.replace("/file/", "/download/")
    answer = page.get(where, params={"version": version})
    assert answer.content == b'{"nodes":[1]}'
    answer = page.get(where, params={"path": "pic.png"})
    assert answer.content == bytes(range(256))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="pic.png"'
    shown = page.get(where.replace("/download/", "/file/"), params={"path": "pic.png"}).text
    assert "This file is no text" in shown


def test_administrator_shares_deletes_and_restores(
    page: Browser, ann: Client, bob: Client, gateway: Gateway
) -> None:
    where, name = tree(gateway, ann), f"workflows/of {username(ann)}.json"
    saved(ann, name, b"one")
    assert do(page, where, "promote", path=[name]) == "Shared with all: 1."
    assert read(bob, name).content == b"one"
    assert f">{name}</a>" in page.get(SHARED).text
    assert (
        do(page, where, "promote", path=["pic.png"]) == "Only what lies in workflows can be shared."
    )
    assert do(page, SHARED, "delete", path=[name]) == "Deleted: 1. They can be restored below."
    assert name.partition("/")[2] not in names(bob)
    gone = page.get(SHARED).text.partition("<h2>Deleted</h2>")[2]
    version = re.search(rf'{re.escape(name)}.*?name="version" value="([^"]+)"', gone, re.DOTALL)
    assert version is not None
    assert do(page, SHARED, "restore", version=version[1]) == f"Restored: {name}."
    assert read(bob, name).content == b"one"
    do(page, SHARED, "delete", path=[name])
    assert do(page, where, "delete", path=["workflows/a.json", "nope"]).startswith("Deleted: 1.")
    assert "a.json" not in names(ann)
    assert gateway.run(TOLD)[0] == ["files.deleted", "adam", username(ann)]


def test_administrator_restores_a_version(page: Browser, ann: Client, gateway: Gateway) -> None:
    saved(ann, "workflows/a.json", b"spoilt")
    where = tree(gateway, ann).replace("/tree/", "/file/")
    address_of = f"{where}?path=workflows/a.json"
    (version,) = re.findall(r'name="version" value="([^"]+)"', page.get(address_of).text)
    assert do(page, address_of, "", version=version) == "Restored: workflows/a.json."
    assert read(ann, "workflows/a.json").content == b'{"nodes":[1]}'
    assert do(page, address_of, "", version="x") == "This version is not there any more."


def test_administrator_uploads(page: Browser, ann: Client, gateway: Gateway) -> None:
    where = tree(gateway, ann)
    sent = {"file": ("new flow.json", b"{}")}
    assert do(page, where, "upload", sent, folder="workflows") == "Saved: workflows/new flow.json."
    assert read(ann, "workflows/new flow.json").content == b"{}"
    assert do(page, where, "upload", {"file": ("x.css", b"1")}, folder="") == "Saved: x.css."
    assert "not valid" in do(page, where, "upload", sent, folder="../x")
    assert "Leave out" in do(page, where, "upload", {"file": ("nul", b"1")}, folder="workflows")
    assert do(page, where, "upload", folder="workflows") == "This field is required."
    assert (
        do(page, SHARED, "upload", sent, folder="") == "Only what lies in workflows can be shared."
    )


def test_administrator_copies_to_users_and_to_a_role(
    page: Browser, ann: Client, given: Given, gateway: Gateway
) -> None:
    ben, eve = given(), given()
    saved(ben, "workflows/a.json", b"ben's")
    where, path = tree(gateway, ann), ["workflows/a.json", "workflows/sub/b.json"]
    people = f"{username(ben)}, {username(eve)}"
    said = do(page, where, "copy", path=path, users=people)
    assert said == "Copies made: 3. Left out, as the name was taken or there was no room: 1."
    assert read(ben, "workflows/a.json").content == b"ben's"
    assert read(eve, "workflows/a.json").content == b'{"nodes":[1]}'
    said = do(page, where, "copy", path=path[:1], users=username(ben), overwrite="1")
    assert said == "Copies made: 1."
    assert read(ben, "workflows/a.json").content == b'{"nodes":[1]}'
    assert do(page, where, "copy", path=path, users="nobody") == "There is no user nobody."
    assert do(page, where, "copy", path=path) == "Name users, or choose a role."
    assert do(page, where, "copy", users=people) == "Tick the files first."
    power = browser(gateway, ADMIN)
    assert do(power, where, "copy", path=path[:1], role="power").startswith("Copies made: ")


def test_administrator_may_not_change_the_owners(
    page: Browser, owner: Client, ann: Client, gateway: Gateway
) -> None:
    saved(owner, "workflows/own.json")
    where = tree(gateway, owner)
    assert ">workflows/own.json</a>" in page.get(where).text
    refusal = "This user's role ranks above yours."
    assert do(page, where, "delete", path=["workflows/own.json"]) == refusal
    said = do(page, tree(gateway, ann), "copy", path=["workflows/a.json"], users=OWNER.username)
    assert said == refusal
    owner.delete(address("workflows/own.json"))


def test_kept_files_of_a_deleted_user_are_found(
    page: Browser, ann: Client, admin: Client, gateway: Gateway
) -> None:
    name = username(ann)
    admin.delete(f"/mss-login/api/users/{name}", json={"files": "keep"})
    link = re.search(rf'href="({LIST}tree/former-\d+/)">{name} \(deleted\)<', page.get(LIST).text)
    assert link is not None
    assert ">workflows/a.json</a>" in page.get(link[1]).text


def test_only_staff_open_the_pages(ann: Client, gateway: Gateway) -> None:
    for person in (ALICE,):
        visitor = browser(gateway, person)
        for where in (LIST, SHARED, tree(gateway, ann)):
            assert visitor.get(where).status_code in (302, 403)


@pytest.mark.parametrize(
    "key", ["user-0", "user-x", "former-0", "nope", "user-²", "user-" + "9" * 30]
)
def test_administrator_opens_what_is_not_there(page: Browser, key: str) -> None:
    assert page.get(f"{LIST}tree/{key}/").status_code == 404


@pytest.mark.parametrize("path", ["", "nope", "../x", "a%00b", "x" * 2000])
def test_administrator_opens_a_file_that_is_not_there(page: Browser, path: str) -> None:
    for kind in ("file", "download"):
        answer = page.get(f"{LIST}{kind}/shared/", params={"path": path})
        assert (answer.status_code, answer.headers["Location"]) == (302, SHARED)


def test_settings_defaults_are_made_in_the_admin(
    page: Browser, given: Given, gateway: Gateway
) -> None:
    where = "/admin/comfyproxy/settingdefault/add/"
    user = given()
    assert user.get("/settings").json() == {}
    answer = page.submit(where, setting_id="Comfy.Test", value='"Top"', locked="on")
    assert answer.status_code == 302
    assert user.get("/settings").json() == {"Comfy.Test": "Top"}
    answer = page.submit(where, setting_id="Comfy.Other", value="{not json")
    assert answer.status_code == 200
    gateway.run(
        "from comfyproxy.models import SettingDefault; SettingDefault.objects.all().delete()"
    )
