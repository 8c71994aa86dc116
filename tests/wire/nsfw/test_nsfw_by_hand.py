"""Without a classifier people alone say what is explicit."""

from collections.abc import Iterator

import pytest

from tests.accounts.acting import session
from tests.cast import ALICE, OWNER
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.judge import GREEN
from tests.prompts import file_of, run, save
from tests.refusals import check_refusal, faults
from tests.wire.nsfw.conftest import ENFORCE
from tests.wire.nsfw.test_nsfw_people import WORK, mark

pytestmark = pytest.mark.usefixtures("calm")

WAITING = """
from comfyproxy.models import FileRecord
result = FileRecord.objects.filter(unscored_since__isnull=False).count()
"""


@pytest.fixture(params=["", "block"], ids=["default", "block"])
def by_hand(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread
) -> Iterator[Gateway]:
    env = {"MSS_NSFW_CLASSIFIER": "none", "MSS_NSFW_UNKNOWN": request.param}
    folder = tmp_path_factory.mktemp("by-hand")
    with serving(folder, comfy.url, (OWNER, ALICE), **env) as server:
        server.run(ENFORCE, username=ALICE.username)
        yield server
        assert faults(server.log(), []) == []


def test_untagged_pictures_are_as_the_owner_says_and_tags_hold_for_copies(
    by_hand: Gateway, request: pytest.FixtureRequest
) -> None:
    alice = Client(by_hand.url, session(by_hand, ALICE), by_hand.namespaces[ALICE.username])
    blocks = by_hand.env["MSS_NSFW_UNKNOWN"] == "block"
    told = alice.get("/mss-login/api/me").json()["nsfw"]
    assert told == {"classifier": "none", "unknown": "block" if blocks else "show"}
    first = file_of(run(alice, save("hand", color=GREEN + 80)))
    copy = file_of(run(alice, {**save("hand", color=GREEN + 80), "9": save()["1"]}))
    answer = alice.get("/view", params=first)
    if blocks:
        check_refusal(answer, 403, "NSFW_BLOCKED", reason="unknown")
    else:
        assert answer.status_code == 200
    assert mark(alice, first).status_code == 200
    check_refusal(alice.get("/view", params=copy), 403, "NSFW_BLOCKED", reason="explicit")
    # The worker has nothing to judge with.
    by_hand.run(WORK)
    assert by_hand.run(WAITING) == 0
