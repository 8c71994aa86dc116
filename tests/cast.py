"""Who appears in the tests. Alice and Bob own things; Charlie must never see them."""

from dataclasses import dataclass

PASSWORD = "correct-Horse-9-battery"


@dataclass(frozen=True)
class Person:
    username: str
    role: str


OWNER = Person("olga", "owner")
ADMIN = Person("adam", "admin")
POWER = Person("paula", "power")
ALICE = Person("alice", "user")
BOB = Person("bob", "user")
CHARLIE = Person("charlie", "user")
GUEST = Person("gus", "guest")

CAST = (OWNER, ADMIN, POWER, ALICE, BOB, CHARLIE, GUEST)

CREATE = """
from accounts import services, models
for username, role in cast:
    if role == "owner":
        services.create_owner(username=username, password=password)
    else:
        services.create_user(username=username, password=password, role=role, actor=None)
result = dict(models.User.objects.values_list("username", "namespace"))
"""
