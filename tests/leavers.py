"""Users who are deleted in the wire tests: made, deleted by an administrator, cleared up behind."""

from itertools import count
from typing import Any

from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway

_numbers = count(1)

MAKE = """
from accounts import models, proofs, services
user = services.create_user(username=username, password=password, role="user", actor=None)
_, token = proofs.start_session(user, ip=None, user_agent="tests")
result = [token, user.namespace]
"""
# As the worker runs it, in another process than the server.
CLEAR = """
from comfyproxy.tasks import clear_former
clear_former()
"""
FORMER = """
from comfyproxy.models import FormerNamespace
row = FormerNamespace.objects.get(namespace=namespace)
result = [row.username, row.keep_files, len(row.prompt_ids), row.done_at is not None]
"""
RECORDS = """
from comfyproxy.models import PromptRecord
rows = PromptRecord.objects.filter(prompt_id__in=ids).select_related("user")
result = {str(row.pk): [row.user.username, row.state] for row in rows}
"""


class Leaver(Client):
    """A user of this test's own, logged in."""

    def __init__(self, gateway: Gateway) -> None:
        self.person = Person(f"leaver-{next(_numbers)}", "user")
        made = gateway.run(MAKE, username=self.person.username, password=PASSWORD)
        super().__init__(gateway.url, *made)


def delete(admin: Client, leaver: Leaver, files: str) -> dict[str, Any]:
    """Have the account deleted; what the administrator is told."""
    path = f"/mss-login/api/users/{leaver.person.username}"
    answer = admin.delete(path, json={"files": files})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def clear(gateway: Gateway) -> None:
    gateway.run(CLEAR)


def former(gateway: Gateway, leaver: Leaver) -> list[Any]:
    """What is written down of somebody who left: [name, files kept, prompts left, done]."""
    return list(gateway.run(FORMER, namespace=leaver.namespace))


def records(gateway: Gateway, *ids: str) -> dict[str, list[str]]:
    """Prompt → [whose it is, its state]."""
    return dict(gateway.run(RECORDS, ids=ids))
