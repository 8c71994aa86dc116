"""Second factors in tests: an authenticator app that knows the time, people who have one."""

import base64
import time
from dataclasses import dataclass, field
from typing import Any

from django_otp.oath import hotp

from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway

ENROL = """
from accounts import mfa, models
user = models.User.objects.get(username=username)
setup = mfa.begin_setup(user)
mfa.confirm_setup(user, keep_session=None, ip=None)
result = [setup.secret, list(setup.backup_codes)]
"""

AUDITED = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(subject_name=username).order_by("id")
result = list(rows.values_list("event", flat=True))
"""


@dataclass
class App:
    """An authenticator app. A code works once, so each call gives the next one that does."""

    secret: str
    backup_codes: list[str] = field(default_factory=list)
    _last: int = -1

    def at(self, step: int) -> str:
        padded = self.secret + "=" * (-len(self.secret) % 8)
        return f"{hotp(base64.b32decode(padded), step):06}"

    def now(self) -> int:
        return int(time.time()) // 30

    def code(self) -> str:
        """A code that was not used: of the last half minute, this one, or the next. Not of the
        last if that is over before a slow test has sent it."""
        earliest = self.now() - (1 if time.time() % 30 < 15 else 0)
        step = max(earliest, self._last + 1)
        if step > self.now() + 1:
            time.sleep((step - 1) * 30 - time.time() + 0.1)
        self._last = step
        return self.at(step)

    def wrong(self) -> str:
        near = {self.at(self.now() + offset) for offset in range(-3, 4)}
        return next(f"{n:06}" for n in range(10) if f"{n:06}" not in near)


def enrol(gateway: Gateway, person: Person) -> App:
    """Give them an app and backup codes, as if set up a while ago."""
    secret, codes = gateway.run(ENROL, username=person.username)
    return App(secret, codes)


def password_step(gateway: Gateway, person: Person, **more: Any) -> dict[str, Any]:
    """What a login with the right password answers."""
    body = {"username": person.username, "password": PASSWORD, **more}
    answer = Client(gateway.url).post("/login", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def audited(gateway: Gateway, person: Person) -> list[str]:
    """The events about them, oldest first."""
    return list(gateway.run(AUDITED, username=person.username))
