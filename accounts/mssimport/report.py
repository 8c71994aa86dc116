"""What is said of an import: what it does, what it leaves out and why. No secret is in it."""

from collections.abc import Iterator
from typing import Final

from accounts.mssimport import carryout
from accounts.mssimport.planned import Plan, PlannedUser
from accounts.mssimport.reading import Left

MAX_NAME: Final = 100


def shown(text: str, limit: int = MAX_NAME) -> str:
    """A name from somewhere else, fit for a console: what is more than text there is escaped."""
    plain = "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)
    return plain if len(plain) <= limit else f"{plain[:limit]}…"


def lines(plan: Plan) -> Iterator[str]:
    """Each user, role and rule in a line."""
    for role in plan.roles:
        verb = "change the role" if role.exists else "make the role"
        needs = ", second factor required" if role.mfa_required else ""
        held = ", ".join(sorted(role.capabilities)) or "nothing"
        yield f"{verb} {shown(role.slug)}: {held}{needs}"
    for planned in plan.users:
        yield f"user {shown(planned.former.username)}: {', '.join(_about(planned))}"
    for kind, network in plan.rules:
        until = "" if network.expires_at is None else f" until {network.expires_at:%Y-%m-%d %H:%M}"
        yield f"{kind} {network.network}{until}"


def _about(planned: PlannedUser) -> Iterator[str]:
    former = planned.former
    if former.name != former.username:
        yield f"was {shown(former.name)}"
    yield planned.role
    if not former.active:
        yield "disabled"
    if former.password is None:
        yield "no password"
    if planned.totp is not None:
        codes = " and backup code" if former.backup_code is not None else ""
        yield f"authenticator app{codes}"
    if planned.sets_up_mfa:
        yield "sets up a second factor"
    yield "not shown explicit images" if former.sfw else "shown explicit images"
    for number, what in (
        (len(planned.tokens), "API tokens"),
        (len(planned.grants), "models"),
        (len(planned.site_keys), "keys for sites"),
    ):
        if number:
            yield f"{number} {what}"


def summary(plan: Plan, workflows: int) -> str:
    """How much of what."""
    numbers = carryout.counts(plan) | {"workflows": workflows}
    return "Altogether: " + ", ".join(
        f"{number} {what.replace('_', ' ')}" for what, number in numbers.items()
    )


def left_line(left: Left) -> str:
    """Something that is left out, and why."""
    return f"{shown(left.what, 200)}: {shown(left.why, 200)}"
