"""/ws: an open socket ends within 10 s of its token, its session or its user."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cast import PASSWORD
from tests.client import Client
from tests.gateway import Gateway
from tests.listener import Listener, Refused
from tests.prompts import save, submit

pytestmark = pytest.mark.usefixtures("clean_log")

PREPARE = """
from accounts import models, proofs, services
role = models.Role.objects.create(slug="fleeting", title="Fleeting", rank=30)
role.permissions.set(models.Role.objects.get(slug="user").permissions.all())
result = {}
for name, by_token in cases:
    slug = "fleeting" if name == "demoted" else "user"
    user = services.create_user(username=f"end-{name}", password=password, role=slug, actor=None)
    if by_token:
        _, result[name] = proofs.create_api_token(
            user, label="", scopes=None, expires_at=None, actor=user)
    else:
        _, result[name] = proofs.start_session(user, ip=None, user_agent="")
"""
USER = "from accounts.models import User, Session, ApiToken, Role\n"
USER += "from accounts import proofs, services\n"
USER += "user = User.objects.get(username=f'end-{name}')\n"
SOON = "from datetime import timedelta\nfrom django.utils import timezone\n"
SOON += "soon = timezone.now() + timedelta(seconds=2)\n"


@dataclass
class Case:
    """How access ends: an action here (`act`), or code in another process, and the code of
    the closing frame. `by_token`: the socket was opened with an API token."""

    name: str
    act: Callable[[Client], Any] | None = None
    code: str = ""
    closes_with: int = 4401
    by_token: bool = False


CASES = [
    Case("stays", closes_with=0),
    Case("logged-out", lambda client: client.post("/logout")),
    Case("token-removed", lambda client: remove_token(client), by_token=True),
    Case("disabled", code=USER + "services.set_active(user, False, actor=None)"),
    Case("deleted", code=USER + "services.delete_user(user, actor=None, keep_files=True)"),
    Case("sessions-ended", code=USER + "proofs.end_sessions(user)"),
    Case(
        "session-expired",
        code=USER + SOON + "Session.objects.filter(user=user).update(expires_at=soon)",
    ),
    Case(
        "session-unused",
        code=USER + SOON + "long_ago = soon - timedelta(hours=13)\n"
        "Session.objects.filter(user=user).update(last_used_at=long_ago)",
    ),
    Case(
        "networks-narrowed",
        code=USER + "ApiToken.objects.filter(user=user).update(networks=['192.0.2.0/24'])",
        closes_with=4403,
        by_token=True,
    ),
    Case(
        "token-expired",
        code=USER + SOON + "ApiToken.objects.filter(user=user).update(expires_at=soon)",
        by_token=True,
    ),
    Case(
        "demoted",
        code="from accounts.models import Role\nRole.objects.get(slug='fleeting')"
        ".permissions.clear()",
        closes_with=4403,
    ),
]


def remove_token(client: Client) -> None:
    assert client.token is not None
    (token,) = client.get("/mss-login/api/tokens").json()["tokens"]
    answer = client.delete(
        "/mss-login/api/tokens", json={"token_hash_prefix": token["token_hash_prefix"]}
    )
    assert answer.status_code == 200


def test_socket_ends_with_what_let_it_in(gateway: Gateway) -> None:
    named = [(case.name, case.by_token) for case in CASES]
    tokens = gateway.run(PREPARE, cases=named, password=PASSWORD)
    clients = {name: Client(gateway.url, token) for name, token in tokens.items()}
    sockets = {case.name: Listener(clients[case.name], case.name) for case in CASES}
    ended: dict[str, tuple[int | None, float]] = {}

    def watch(name: str, started: float) -> None:
        code = sockets[name].close_code(seconds=12)
        ended[name] = (code, time.monotonic() - started)

    threads = []
    for case in CASES[1:]:
        if case.act is not None:
            case.act(clients[case.name])
        else:
            gateway.run(case.code, name=case.name)
        thread = threading.Thread(target=watch, args=(case.name, time.monotonic()))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    assert {name: code for name, (code, _) in ended.items()} == {
        case.name: case.closes_with for case in CASES[1:]
    }
    # Those that end by their clock had 2 s to go.
    late = {name: took for name, (_, took) in ended.items() if took > 10 + 2 * ("expired" in name)}
    assert late == {}
    for case in CASES[1:]:
        with pytest.raises(Refused) as caught:
            Listener(clients[case.name], case.name)
        assert caught.value.status == (403 if case.closes_with == 4403 else 401)
    stays, client = sockets["stays"], clients["stays"]
    stays.until_end(submit(client, save(), client_id=stays.sid))
    stays.close()
