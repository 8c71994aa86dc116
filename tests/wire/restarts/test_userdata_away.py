"""While ComfyUI is away, people's own files are there, and the list of ComfyUI's known last."""

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.granted import giving
from tests.refusals import check_refusal
from tests.userdata import COMFYUIS, address, names, read, saved, shown


def test_user_works_with_files_while_comfyui_is_away(
    shaky: FakeComfyThread, shaky_gateway: Gateway
) -> None:
    user = giving(shaky_gateway)()
    saved(user, "workflows/a.json", b"1")
    assert shown(user) == [COMFYUIS, "a.json"]
    shaky.stop_listening()
    try:
        assert shown(user) == [COMFYUIS, "a.json"]
        saved(user, "workflows/a.json", b"2")
        saved(user, "workflows/b.json", b"3")
        assert read(user, "workflows/a.json").content == b"2"
        assert user.delete(address("workflows/b.json")).status_code == 204
        check_refusal(read(user, f"workflows/{COMFYUIS}"), 502, "UPSTREAM_UNREACHABLE")
        assert user.post("/settings/X", data="1").status_code == 200
        assert user.get("/settings").json() == {"X": 1}
    finally:
        shaky.come_back()
    assert read(user, f"workflows/{COMFYUIS}").status_code == 200


def test_gateway_that_starts_before_comfyui_lists_what_is_its_own(
    shaky: FakeComfyThread, shaky_gateway: Gateway
) -> None:
    user: Client = giving(shaky_gateway)()
    shaky_gateway.stop()
    shaky.stop_listening()
    try:
        shaky_gateway.start()
        saved(user, "workflows/a.json", b"1")
        assert shown(user) == names(user) == ["a.json"]
    finally:
        shaky.come_back()
