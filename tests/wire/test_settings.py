"""ComfyUI's settings: each user their own, on the admin's defaults; some locked."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cast import PASSWORD
from tests.client import Client
from tests.gateway import Gateway
from tests.granted import Given
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

DEFAULT = """
from comfyproxy.models import SettingDefault
for setting_id, value, locked in rows:
    SettingDefault.objects.create(setting_id=setting_id, value=value, locked=locked)
"""
NO_DEFAULTS = """
from comfyproxy.models import SettingDefault
SettingDefault.objects.all().delete()
"""


@pytest.fixture
def defaults(gateway: Gateway) -> Iterator[Any]:
    """Call it with (id, value, locked): what an admin has set."""

    def make(*rows: tuple[str, Any, bool]) -> None:
        gateway.run(DEFAULT, rows=rows)

    yield make
    gateway.run(NO_DEFAULTS)


@pytest.fixture
def user(given: Given) -> Client:
    return given()


def as_text(client: Client, path: str, body: str) -> Any:
    """As the frontend sends it."""
    headers = {"Content-Type": "text/plain;charset=UTF-8"}
    return client.post(path, data=body.encode(), headers=headers)


def test_user_merges_settings_and_reads_them(user: Client) -> None:
    assert user.get("/settings").json() == {}
    answer = as_text(user, "/api/settings", '{"Comfy.UseNewMenu": "Top", "X": {"a": [1, null]}}')
    assert (answer.status_code, answer.content) == (200, b"")
    assert as_text(user, "/api/settings/Comfy.Locale", '"de"').status_code == 200
    assert as_text(user, "/settings/X", "0.5").status_code == 200
    expected = {"Comfy.UseNewMenu": "Top", "Comfy.Locale": "de", "X": 0.5}
    assert user.get("/api/settings").json() == expected
    assert user.get("/settings/Comfy.Locale").json() == "de"
    answer = user.get("/settings/Comfy.Nope")
    assert (answer.status_code, answer.text) == (200, "null")


def test_users_settings_never_meet(user: Client, given: Given) -> None:
    other = given()
    as_text(user, "/settings", '{"Comfy.ColorPalette": "mine"}')
    assert other.get("/settings").json() == {}
    as_text(other, "/settings", '{"Comfy.ColorPalette": "other"}')
    assert user.get("/settings/Comfy.ColorPalette").json() == "mine"


@pytest.mark.parametrize("path", ["/settings", "/settings/X"])
@pytest.mark.parametrize("body", ["", "{", "nan", "{'a': 1}", "\udcff"])
def test_user_sends_no_json_and_is_refused(user: Client, path: str, body: str) -> None:
    answer = user.post(path, data=body.encode("utf-8", "surrogateescape"))
    check_refusal(answer, 400, "INVALID_JSON")
    assert user.get("/settings").json() == {}


@pytest.mark.parametrize("body", ["[1]", "1", "null", '"a"'])
def test_user_sends_no_object_and_is_refused(user: Client, body: str) -> None:
    check_refusal(as_text(user, "/settings", body), 400, "BAD_REQUEST")


def test_user_gives_a_setting_no_name_and_is_refused(user: Client) -> None:
    for body in ('{"": 1}', '{"ok": 1, "%s": 1}' % ("x" * 201), '{"a\\u0000b": 1}'):
        check_refusal(as_text(user, "/settings", body), 400, "BAD_REQUEST")
    assert user.get("/settings").json() == {}


def test_user_saves_more_than_there_is_room_for_and_is_refused(user: Client) -> None:
    large = '"%s"' % ("x" * 1_200_000)
    assert as_text(user, "/settings/A", large).status_code == 200
    check_refusal(as_text(user, "/settings/B", large), 429, "QUOTA_EXCEEDED")
    check_refusal(as_text(user, "/settings/B", large[:-1] + "x" * 2**20 + '"'), 413, "TOO_LARGE")
    assert as_text(user, "/settings/A", large).status_code == 200
    many = ",".join(f'"s{number}": 1' for number in range(2000))
    check_refusal(as_text(user, "/settings", f"{{{many}}}"), 429, "QUOTA_EXCEEDED")
    assert set(user.get("/settings").json()) == {"A"}


def test_default_of_the_admin_holds_until_the_user_sets_their_own(
    user: Client, defaults: Any
) -> None:
    defaults(("Comfy.Locale", "fr", False), ("Comfy.Zoom", 0.5, False))
    assert user.get("/settings").json() == {"Comfy.Locale": "fr", "Comfy.Zoom": 0.5}
    as_text(user, "/settings/Comfy.Locale", '"de"')
    assert user.get("/settings").json() == {"Comfy.Locale": "de", "Comfy.Zoom": 0.5}
    assert user.get("/settings/Comfy.Zoom").json() == 0.5


def test_users_change_of_a_locked_setting_does_not_count(user: Client, defaults: Any) -> None:
    as_text(user, "/settings", '{"Comfy.Server": "before", "Other": 1}')
    defaults(("Comfy.Server", "fixed", True), ("Comfy.Hidden", None, True))
    assert user.get("/settings").json() == {"Comfy.Server": "fixed", "Other": 1}
    for path, body in (
        ("/settings", '{"Comfy.Server": "x", "Comfy.Hidden": "x", "Other": 2}'),
        ("/settings/Comfy.Server", '"x"'),
        ("/settings/Comfy.Hidden", '"x"'),
    ):
        assert as_text(user, path, body).status_code == 200
    assert user.get("/settings").json() == {"Comfy.Server": "fixed", "Other": 2}
    assert user.get("/settings/Comfy.Hidden").json() is None


def test_who_may_change_locked_settings_does(admin: Client, defaults: Any) -> None:
    defaults(("Comfy.Server", "fixed", True))
    assert admin.get("/settings/Comfy.Server").json() == "fixed"
    as_text(admin, "/settings/Comfy.Server", '"own"')
    assert admin.get("/settings/Comfy.Server").json() == "own"


GUEST_SESSION = """
from accounts import models, proofs, services
user = services.create_user(username="all", password=password, role="guest", actor=None)
models.User.objects.filter(pk=user.pk).update(shared=True)
user.refresh_from_db()
result = proofs.start_session(user, ip=None, user_agent="tests")[1]
"""


def test_guests_of_one_account_leave_nothing_to_each_other(gateway: Gateway) -> None:
    guest = Client(gateway.url, gateway.run(GUEST_SESSION, password=PASSWORD))
    assert as_text(guest, "/settings", '{"Comfy.ColorPalette": "evil"}').status_code == 200
    assert guest.get("/settings").json() == {}
    check_refusal(guest.post("/api/userdata/user.css", data=b"* {}"), 403, "PERMISSION_DENIED")
    check_refusal(guest.delete("/api/userdata/user.css"), 403, "PERMISSION_DENIED")
