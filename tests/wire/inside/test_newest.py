"""The newest page of ComfyUI that matters."""

import pytest

from tests.accounts.acting import session
from tests.cast import BOB
from tests.client import Client
from tests.comfypage import workflow
from tests.gateway import Gateway
from tests.refusals import wait_until
from tests.wire.inside.cases import InsideComfyui, end_logins, log_in
from tests.wire.inside.conftest import Before


@pytest.fixture(scope="module")
def version() -> str:
    return "newest"


class TestNewest(InsideComfyui):
    """See there."""

    # Told so, the page of 1.27 shows nothing at all, also without the gateway.
    def test_workflow_is_kept_where_comfyui_is_told_not_to(
        self, gateway: Gateway, before: Before
    ) -> None:
        bob = before(BOB)
        client = Client(gateway.url, session(gateway, BOB))
        client.post("/api/settings/Comfy.Workflow.Persist", json=False)
        try:
            bob.open()
            bob.load(workflow("unsaved too"))
            bob.tab("My queue")
            end_logins(gateway, BOB)
            bob.page.get_by_role("dialog").get_by_role("button", name="Log in").click()
            bob.page.wait_for_url("**/login?next=**")
            log_in(bob, BOB)
            bob.page.wait_for_url(f"{gateway.url}/**")
            bob.is_there()
            wait_until(lambda: ["unsaved too"] in bob.on_canvas(), 10)
        finally:
            jwt = session(gateway, BOB)
            answer = Client(gateway.url, jwt).post(
                "/api/settings/Comfy.Workflow.Persist", json=True
            )
            assert answer.status_code == 200
