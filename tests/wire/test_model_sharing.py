"""Models that are given or taken away: seen or gone with the very next request; and the lists
that one chooses from."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts.acting import app, browser, mint
from tests.browser import Browser
from tests.cast import ADMIN, ALICE, Person
from tests.client import Client
from tests.fakecomfy import safetensors
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, free_port, serving
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

API = "/mss-login/api"
NO_MODELS = ("configs", "custom_nodes")
SD, REAL = "sd15.safetensors", "portraits/real.safetensors"
# People of a role and in a team of these tests' own; dora has neither.
MAKE = """
from django.contrib.auth.models import Group
from accounts.models import Role, User
role, _ = Role.objects.get_or_create(slug="painter", title="Painter", rank=30)
role.permissions.set(Role.objects.get(slug="user").permissions.all())
team, _ = Group.objects.get_or_create(name="painters")
for name, role in (("petra", "painter"), ("tom", "user"), ("dora", "user")):
    User.objects.get_or_create(username=name, role_id=role)
result = [team.pk, User.objects.get(username="tom").pk]
"""
REMOVE = """
from django.contrib.auth.models import Group
from accounts.models import Role, User
User.objects.filter(username__in=["petra", "tom", "dora"]).delete()
Role.objects.get(slug="painter").delete()
Group.objects.get(name="painters").delete()
"""


@pytest.fixture(scope="module")
def keys(gateway: Gateway) -> Iterator[list[int]]:
    """(of the team, of tom)."""
    yield gateway.run(MAKE)
    gateway.run(REMOVE)


@pytest.fixture(scope="module")
def petra(gateway: Gateway, keys: list[int]) -> Client:
    return app(gateway, Person("petra", "painter"))


@pytest.fixture(scope="module")
def tom(gateway: Gateway, keys: list[int]) -> Client:
    return app(gateway, Person("tom", "user"))


@pytest.fixture(scope="module")
def dora(gateway: Gateway, keys: list[int]) -> Client:
    return app(gateway, Person("dora", "user"))


@pytest.fixture(scope="module")
def chief(gateway: Gateway) -> Browser:
    return browser(gateway, ADMIN)


def seen(client: Client) -> list[str]:
    """The checkpoints that somebody is shown, the same everywhere."""
    listed = client.get("/models/checkpoints").json()
    nodes = client.get("/object_info").json()["CheckpointLoaderSimple"]
    one = client.get("/object_info/CheckpointLoaderSimple").json()["CheckpointLoaderSimple"]
    combos = [node["input"]["required"]["ckpt_name"][0] for node in (nodes, one)]
    assert combos == [listed, listed]
    return list(listed)


def item(name: str) -> dict[str, str]:
    return {"folder": "checkpoints", "item_name": name}


def test_grant_to_a_user_is_at_work_with_the_next_request_and_so_is_its_end(
    admin: Client, tom: Client, dora: Client
) -> None:
    where = f"{API}/users/tom/shared-items"
    assert (seen(tom), seen(dora)) == ([], [])
    for given, expected in ((SD, [SD]), ("portraits/*", [REAL, SD]), ("*", None)):
        assert admin.post(where, json=item(given)).status_code == 200
        assert expected is None or sorted(seen(tom)) == expected
    assert sorted(seen(tom)) == sorted([SD, REAL, "sdxl.safetensors"])
    assert seen(dora) == []
    for taken, expected in (("*", [REAL, SD]), (SD, [REAL]), ("portraits/*", [])):
        assert admin.delete(where, json=item(taken)).status_code == 200
        assert sorted(seen(tom)) == expected


def test_grant_to_a_role_reaches_its_users_and_nobody_else(
    admin: Client, petra: Client, tom: Client
) -> None:
    where = f"{API}/groups/painter/shared-items"
    assert seen(petra) == []
    assert admin.post(where, json=item(SD)).status_code == 200
    assert (seen(petra), seen(tom)) == ([SD], [])
    assert admin.delete(where, json=item(SD)).status_code == 200
    assert (seen(petra), seen(tom)) == ([], [])


def test_joining_a_team_brings_its_models_and_leaving_it_takes_them(
    admin: Client, chief: Browser, tom: Client, dora: Client, keys: list[int]
) -> None:
    team, user = keys
    where = f"{API}/groups/painters/shared-items"
    assert admin.post(where, json=item(SD)).status_code == 200
    assert seen(tom) == []
    page = f"/admin/accounts/user/{user}/change/"
    assert chief.submit(page, groups=[team]).status_code == 302
    assert (seen(tom), seen(dora)) == ([SD], [])
    assert admin.post(where, json=item(REAL)).status_code == 200
    assert sorted(seen(tom)) == [REAL, SD]
    assert chief.submit(page, groups=[]).status_code == 302
    assert (seen(tom), seen(dora)) == ([], [])
    assert admin.delete(where, json={"items": [item(SD), item(REAL)]}).status_code == 200


def test_what_the_admin_ticks_and_deletes_is_at_work_at_once(
    chief: Browser, tom: Client, keys: list[int]
) -> None:
    page = f"/admin/accounts/modelgrant/give/user/{keys[1]}/"
    form = give_form(chief, page)
    ticked = {"do": "save", "m": [f"checkpoints/{SD}"]}
    assert chief.post(page, data=form | ticked).status_code == 302
    assert seen(tom) == [SD]
    listed = chief.get("/admin/accounts/modelgrant/?q=tom").text
    (row,) = re.findall(r"/admin/accounts/modelgrant/(\d+)/change/", listed)
    assert chief.submit(f"/admin/accounts/modelgrant/{row}/delete/").status_code == 302
    assert seen(tom) == []


def give_form(chief: Browser, page: str) -> dict[str, str]:
    """What the first form of the page carries unseen."""
    html = chief.get(page).text.partition("data-grants>")[2]
    token = html.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    before = html.partition('name="before" value="')[2].partition('"')[0]
    return {"csrfmiddlewaretoken": token, "before": before.replace("&quot;", '"')}


def test_effective_models_tell_through_whom(admin: Client, petra: Client, power: Client) -> None:
    admin.post(f"{API}/groups/painter/shared-items", json=item("portraits/*"))
    admin.post(f"{API}/users/petra/shared-items", json={"items": [item(REAL), item("not-there")]})
    answer = admin.get(f"{API}/users/PETRA/effective-models")
    pattern = {"holder": "role", "name": "painter", **item("portraits/*")}
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "username": "petra",
            "items": [
                {
                    **item(REAL),
                    "through": [{"holder": "user", "name": "petra", **item(REAL)}, pattern],
                }
            ],
        },
    )
    everything = admin.get(f"{API}/users/paula/effective-models").json()["items"]
    assert [each["item_name"] for each in everything if each["folder"] == "checkpoints"] == sorted(
        power.get("/models/checkpoints").json()
    )
    capability = "can_view_all_comfyui_items"
    (through,) = {str(each["through"]) for each in everything}
    assert capability in through
    check_refusal(admin.get(f"{API}/users/nobody/effective-models"), 404, "NOT_FOUND")
    admin.delete(f"{API}/groups/painter/shared-items", json=item("portraits/*"))
    admin.delete(f"{API}/users/petra/shared-items", json={"items": [item(REAL), item("not-there")]})
    assert seen(petra) == []


# --- lists to choose from --------------------------------------------------------------------


def test_lists_for_pickers_hold_every_model_under_present_and_former_names(
    admin: Client, comfy: FakeComfyThread
) -> None:
    direct = Client(comfy.url)
    folders = admin.get(f"{API}/available-model-folders").json()
    listed = [name for name in direct.get("/models").json() if name not in NO_MODELS]
    assert folders == {"folders": listed}
    for folder in listed:
        answer = admin.get(f"{API}/available-models/{folder}").json()
        names = direct.get(f"/models/{folder}").json()
        assert answer == {"folder": folder, "models": sorted(names, key=str.casefold)}
    for former, folder in (("unet", "diffusion_models"), ("clip", "text_encoders")):
        assert admin.get(f"{API}/available-models/{former}").json() == (
            admin.get(f"{API}/available-models/{folder}").json()
        )
    for unknown in ("nosuch", "LORAS", *NO_MODELS):
        check_refusal(admin.get(f"{API}/available-models/{unknown}"), 404, "NOT_FOUND")


PICKERS = [
    ("GET", "available-model-folders"),
    ("GET", "available-models/loras"),
    ("POST", "available-models/refresh"),
    ("GET", "users/alice/effective-models"),
]


@pytest.mark.parametrize(("method", "path"), PICKERS)
def test_lists_for_pickers_are_for_who_gives_models(
    gateway: Gateway,
    alice: Client,
    power: Client,
    guest: Client,
    anonymous: Client,
    method: str,
    path: str,
) -> None:
    fields = {"permission": "can_manage_model_sharing"}
    for client in (alice, power, guest):
        answer = client.request(method, f"{API}/{path}")
        check_refusal(answer, 403, "PERMISSION_DENIED", **fields)
    check_refusal(anonymous.request(method, f"{API}/{path}"), 401, "AUTH_REQUIRED")
    scoped = Client(gateway.url, mint(gateway, ADMIN, scopes=["can_manage_model_sharing"]))
    assert scoped.request(method, f"{API}/{path}").status_code == 200
    in_path = mint(gateway, ADMIN, in_path=True)
    check_refusal(
        Client(f"{gateway.url}/t/{in_path}").request(method, f"{API}/{path}"),
        403,
        "PERMISSION_DENIED",
    )
    wrong = "PUT" if method == "GET" else "GET"
    check_refusal(scoped.request(wrong, f"{API}/{path}"), 405, "METHOD_NOT_ALLOWED")
    if method == "GET":
        head = scoped.head(f"{API}/{path}")
        assert (head.status_code, head.content) == (200, b"")


def test_new_model_is_listed_after_a_refresh_and_lists_outlive_comfyui(
    tmp_path: Path,
) -> None:
    with (
        FakeComfyThread(tmp_path / "comfy", seed=True) as comfy,
        serving(tmp_path, comfy.url, (ADMIN, ALICE)) as server,
    ):
        chief = app(server, ADMIN)
        loras = f"{API}/available-models/loras"
        before = chief.get(loras).json()["models"]
        safetensors.write(Path(comfy.base_dir) / "models/loras/aaa-new.safetensors", None)
        done = chief.post(f"{API}/available-models/refresh").json()
        assert chief.get(loras).json()["models"] == ["aaa-new.safetensors", *before]
        folders = chief.get(f"{API}/available-model-folders").json()["folders"]
        assert (done["status"], done["folders"]) == ("ok", len(folders))
        comfy.stop_listening()
        assert chief.get(loras).json()["models"] == ["aaa-new.safetensors", *before]
        refused = chief.post(f"{API}/available-models/refresh")
        check_refusal(refused, 502, "UPSTREAM_UNREACHABLE")


def test_comfyui_that_never_answered_is_said_so(tmp_path: Path) -> None:
    with serving(tmp_path, f"http://127.0.0.1:{free_port()}", (ADMIN,)) as server:
        chief = app(server, ADMIN)
        for method, path in PICKERS[:3]:
            answer = chief.request(method, f"{API}/{path}")
            check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")
