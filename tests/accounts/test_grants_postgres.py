"""Model grants on PostgreSQL and Redis: at once in other processes, and many at the same time."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.accounts.acting import Newcomer, app, browser
from tests.accounts.test_postgres_redis import ADMIN, USER, big, database  # noqa: F401
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import wait_until

API = "/mss-login/api"
MODEL = {"folder": "checkpoints", "item_name": "sd15.safetensors"}
RACERS = 6
FAR = """
from django.contrib.auth.models import Group
from accounts import granting, models
user = models.User.objects.get(username=username)
crew, _ = Group.objects.get_or_create(name="crew")
holder = {"user": user, "role": user.role, "team": crew}[kind]
if kind == "team":
    user.groups.add(crew)
item = granting.item(**model)
if give:
    granting.grant(holder, [item], actor=None)
else:
    granting.revoke(holder, [item], actor=None)
"""


def seen(client: Client) -> list[str]:
    return list(client.get("/models/checkpoints").json())


def test_grants_of_another_process_are_announced(big: Gateway) -> None:  # noqa: F811
    client = app(big, USER)
    assert seen(client) == []
    for kind in ("user", "role", "team"):
        for give, expected in ((True, [MODEL["item_name"]]), (False, [])):
            big.run(FAR, username=USER.username, kind=kind, model=MODEL, give=give)
            # Told through Redis at once; by what is remembered at the latest.
            wait_until(lambda expected=expected: seen(client) == expected, 5)


def test_grants_of_another_process_count_within_five_seconds_without_redis(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer()
    client = app(gateway, person)
    for give, expected in ((True, [MODEL["item_name"]]), (False, [])):
        # Remembered just now: the longest that it can take.
        assert seen(client) != expected
        gateway.run(FAR, username=person.username, kind="user", model=MODEL, give=give)
        wait_until(lambda expected=expected: seen(client) == expected, 5)


def test_many_who_give_the_same_at_once_give_it_once(big: Gateway) -> None:  # noqa: F811
    where = f"{API}/users/{USER.username}/shared-items"
    clients = [app(big, ADMIN) for _ in range(RACERS)]
    items = [{"folder": "loras", "item_name": f"{number}"} for number in range(20)]
    together = threading.Barrier(RACERS)

    def ask(client: Client, method: str) -> int:
        together.wait()
        return client.request(method, where, json={"items": items}).status_code

    with ThreadPoolExecutor(RACERS) as pool:
        given = list(pool.map(lambda client: ask(client, "POST"), clients))
        listed = clients[0].get(where).json()["items"]
        taken = list(pool.map(lambda client: ask(client, "DELETE"), clients))
    assert given == [200] * RACERS
    assert [(i["folder"], i["item_name"]) for i in listed] == sorted(
        ("loras", str(number)) for number in range(20)
    )
    assert sorted(taken) == [200] + [404] * (RACERS - 1)
    counted = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(details__count=20)
result = sorted(rows.values_list("event", flat=True))
"""
    assert big.run(counted) == ["grant.added", "grant.removed"]


def test_pages_and_odd_input_work(big: Gateway) -> None:  # noqa: F811
    page, chief = browser(big, ADMIN), app(big, ADMIN)
    where = f"{API}/users/{USER.username}/shared-items"
    big.run(FAR, username=USER.username, kind="team", model=MODEL, give=True)
    for holder in (f"users/{USER.username}", "groups/user", "groups/crew"):
        assert chief.post(f"{API}/{holder}/shared-items", json=MODEL).status_code == 200
    key = big.run(
        "from accounts.models import User; result = User.objects.get(username=username).pk",
        username=USER.username,
    )
    grants = "/admin/accounts/modelgrant/"
    for path in (
        "",
        "?q=sd15&folder=checkpoints&role__slug__exact=user",
        f"give/user/{key}/?q=%00",
        "matrix/?who=%00&role=%00&q=%00&folder=%00&up=%00",
        "export.csv?q=sd15",
        "add/",
    ):
        assert page.get(grants + path).status_code == 200, path
    text = page.get(f"{grants}give/user/{key}/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
    assert token is not None
    form = {"csrfmiddlewaretoken": token[1]}
    for body in (
        {"do": "copy", "like": "\0"},
        {"do": "save", "before": "[]", "m": "loras/\0"},
        {"do": "save", "before": "[]", "before_o": "\0"},
    ):
        assert page.post(f"{grants}give/user/{key}/", data=form | body).status_code == 302
    assert len(chief.get(where).json()["items"]) == 1
    effective = chief.get(f"{API}/users/{USER.username}/effective-models").json()["items"]
    ((item, through),) = [(i["item_name"], i["through"]) for i in effective]
    assert (item, [each["holder"] for each in through]) == (
        MODEL["item_name"],
        ["user", "role", "team"],
    )
    imported = f"holder_kind,holder,folder,item_name\nuser,{USER.username},vae,x\nteam,crew,vae,y\n"
    answer = page.post(f"{grants}import/", data=form | {"mode": "give"}, files={"file": imported})
    assert "To give: 2. Given already: 0." in answer.text
    for name in ("a\0b", "x" * 501):
        assert chief.post(where, json={**MODEL, "item_name": name}).status_code == 400
