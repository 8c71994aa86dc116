"""Users who were given some models, for the wire tests."""

import itertools
from collections.abc import Callable

from tests.cast import PASSWORD
from tests.client import Client
from tests.gateway import Gateway

_numbers = itertools.count(1)
_CREATE = """
from accounts import granting, proofs, services

user = services.create_user(username=username, password=password, role="user", actor=None)
granting.grant(user, [granting.item(*pair) for pair in items], actor=None)
token = proofs.start_session(user, ip=None, user_agent="tests")[1]
result = [token, user.namespace]
"""

Given = Callable[..., Client]
"""Call it with (folder, name or pattern) pairs: a new user who was given these, logged in."""


def giving(gateway: Gateway) -> Given:
    def given(*items: tuple[str, str]) -> Client:
        username = f"greta-{next(_numbers)}"
        token, namespace = gateway.run(_CREATE, username=username, password=PASSWORD, items=items)
        return Client(gateway.url, token, namespace)

    return given
