"""Our extension of ComfyUI's page over HTTP: its place in the list, its files, what it asks for."""

import re
from typing import Any
from uuid import uuid4

import pytest
import requests

from comfyproxy.handlers.extension import ADDRESS, FOLDER
from tests.accounts.acting import session
from tests.cast import ALICE, GUEST, OWNER, POWER
from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.granted import Given
from tests.prompts import run, save, slow, submit
from tests.refusals import asked, check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_log")
MAIN = f"{ADDRESS}/main.js"
FILES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("path", ["/extensions", "/api/extensions"])
def test_everybodys_page_loads_ours_after_comfyuis_own(
    comfy: FakeComfyThread, alice: Client, guest: Client, power: Client, path: str
) -> None:
    own = requests.get(comfy.url + path, timeout=10).json()
    assert own, "there must be something to add to"
    for client in (alice, guest, power):
        answer = client.get(path)
        assert answer.json() == [*own, MAIN]
        assert answer.headers["Cache-Control"].startswith("private")


@pytest.mark.parametrize("name", FILES)
def test_extension_comes_from_the_gateway_and_is_revalidated(
    guest: Client, forwarded: FakeComfyThread, name: str
) -> None:
    answer = guest.get(f"{ADDRESS}/{name}")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / name).read_bytes()
    kind = {"js": "text/javascript", "css": "text/css"}[name.rpartition(".")[2]]
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"
    known = {"If-None-Match": answer.headers["ETag"]}
    again = guest.get(f"{ADDRESS}/{name}", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert guest.get(f"{ADDRESS}/{name}", headers={"If-None-Match": '"old"'}).status_code == 200
    head = guest.head(f"{ADDRESS}/{name}")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(answer.content)
    assert asked(forwarded) == []


def test_extension_imports_only_what_is_served_and_names_no_other_server(guest: Client) -> None:
    for name in FILES:
        source = (FOLDER / name).read_text()
        assert not re.search(r"\bhttps?:|[\"'`(]//", source), name
        for module in re.findall(r'from "\./([^"]+)"', source):
            assert guest.get(f"{ADDRESS}/{module}").status_code == 200, module


@pytest.mark.parametrize(
    "path",
    ["nothing.js", "", "../../manage.py", "%2e%2e/handlers/extension.py", "a/b.js", "MAIN.JS"],
)
def test_nothing_else_is_served_below_its_address(
    alice: Client, forwarded: FakeComfyThread, path: str
) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    answer = raw_request(alice.base_url, "GET", f"{ADDRESS}/{path}", headers)
    assert answer.status in (400, 404)
    assert asked(forwarded) == []


def test_stranger_gets_none_of_it(anonymous: Client) -> None:
    for path in ("/extensions", MAIN, "/account/frontend", "/account/models", "/account/prompts"):
        check_refusal(anonymous.get(path), 401, "AUTH_REQUIRED")


# --- what it asks for ------------------------------------------------------------------------


def told(gateway: Gateway, person: Any) -> dict[str, Any]:
    """As the page asks: with the cookie alone."""
    answer = requests.get(
        f"{gateway.url}/account/frontend",
        cookies={"jwt_token": session(gateway, person)},
        headers={"Sec-Fetch-Site": "same-origin"},
        timeout=10,
    )
    assert answer.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def test_page_is_told_who_sits_before_it_and_what_they_may(gateway: Gateway) -> None:
    alice, guest, owner, power = (told(gateway, each) for each in (ALICE, GUEST, OWNER, POWER))
    assert (alice["username"], alice["role_title"]) == (ALICE.username, "User")
    assert [each["is_staff"] for each in (alice, guest, owner, power)] == [False] * 2 + [
        True,
        False,
    ]
    runs = [each["permissions"]["can_run"] for each in (alice, guest, owner, power)]
    assert runs == [True, False, True, True]
    assert alice["shared"] is False and alice["locked_settings"] == []


LOCK = """
from comfyproxy.models import SettingDefault
SettingDefault.objects.filter(setting_id="Comfy.Locale").delete()
if lock:
    SettingDefault.objects.create(setting_id="Comfy.Locale", value="de", locked=True)
result = None
"""


def test_locked_settings_are_named_to_who_cannot_change_them(gateway: Gateway) -> None:
    gateway.run(LOCK, lock=True)
    try:
        assert told(gateway, ALICE)["locked_settings"] == ["Comfy.Locale"]
        assert told(gateway, OWNER)["locked_settings"] == []
    finally:
        gateway.run(LOCK, lock=False)


@pytest.mark.usefixtures("known")
def test_user_sees_the_models_they_were_given_and_no_folder_without_one(
    given: Given, power: Client, guest: Client
) -> None:
    everything = power.get("/account/models").json()["folders"]
    assert set(everything) > {"checkpoints", "loras"}
    name = everything["checkpoints"][0]
    greta = given(("checkpoints", name))
    assert greta.get("/account/models").json() == {"folders": {"checkpoints": [name]}}
    assert given().get("/account/models").json() == {"folders": {}}
    assert greta.get("/models/checkpoints").json() == [name]


@pytest.mark.usefixtures("calm")
def test_user_sees_own_prompts_with_place_and_pictures(given: Given) -> None:
    greta, other = given(), given()
    assert greta.get("/account/prompts").json() == {"prompts": []}
    entry = run(greta, save("mine"))
    (image,) = entry["outputs"]["2"]["images"]
    running = submit(other, slow())
    waiting = [submit(greta, slow()), submit(greta, slow())]

    def own(client: Client) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get("/account/prompts").json()["prompts"]
        return found

    wait_until(lambda: [each["state"] for each in own(other)] == ["running"])
    assert [each["prompt_id"] for each in own(other)] == [running]
    mine = own(greta)
    assert [each["state"] for each in mine] == ["waiting", "waiting", "success"]
    assert [each["prompt_id"] for each in mine[:2]] == waiting
    # The other's, then each after the one before.
    assert [each["ahead"] for each in mine] == [1, 2, None]
    (address,) = mine[2]["pictures"]
    assert image["filename"] in address
    assert greta.get(address).headers["Content-Type"] == "image/png"
    assert other.get(address).status_code == 404
    cancelled = greta.post(f"/api/jobs/{waiting[0]}/cancel").json()
    assert cancelled == {"cancelled": True}
    wait_until(lambda: own(greta)[0]["state"] == "waiting")
    assert sorted(each["state"] for each in own(greta)) == ["cancelled", "success", "waiting"]


def test_prompt_of_nobody_is_in_no_list(alice: Client, comfy: FakeComfyThread) -> None:
    stray = str(uuid4())
    requests.post(
        f"{comfy.url}/prompt", json={"prompt": save("stray"), "prompt_id": stray}, timeout=10
    )
    assert stray not in alice.get("/account/prompts").text
