"""GET /readyz: open to everybody, telling nothing of anybody, in JSON whatever is asked."""

import pytest

from tests.client import Client
from tests.prompts import save, submit
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log", "calm")


def test_anybody_learns_what_works_and_nothing_of_anybody(anonymous: Client, alice: Client) -> None:
    prompt_id = submit(alice, save())
    answer = anonymous.get("/readyz", headers={"Cookie": "jwt_token=nonsense"})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"status", "database", "comfyui", "comfyui_worker"}
    assert (body["database"], body["comfyui"]) == ("ok", "ok")
    assert not [word for word in ("alice", prompt_id, alice.namespace) if word in answer.text]
    assert anonymous.head("/readyz").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_as_json(method: str, anonymous: Client) -> None:
    answer = anonymous.request(method, "/readyz")
    check_refusal(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/readyz/", "/api/readyz", "/READYZ"])
def test_another_spelling_is_no_way_around_the_login(path: str, anonymous: Client) -> None:
    assert anonymous.get(path).status_code in (401, 404)
