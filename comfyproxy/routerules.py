"""The admin's route rules as a table, kept in memory and read anew when they change."""

import logging
import threading
from collections.abc import Iterable
from time import monotonic
from typing import Any, Final

from django.db import transaction
from django.db.models.signals import post_delete, post_save

from accounts.bus import bus
from accounts.capabilities import Capability
from accounts.dbthread import in_db_thread
from comfyproxy.models import RouteRule
from comfyproxy.policy import Lane, RouteTable, Rule
from comfyproxy.routes import TABLE

# A change that was not announced to this process is seen after this long.
TTL_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_table: RouteTable | None = None
_deadline = 0.0


async def current() -> RouteTable:
    """The table of the admin's rules."""
    table = _table
    if table is not None and monotonic() < _deadline:
        return table
    return await in_db_thread(_load)


def _load() -> RouteTable:
    global _table, _deadline
    table = RouteTable(_usable(RouteRule.objects.all()), ())
    with _lock:
        _table = table
        _deadline = monotonic() + TTL_SECONDS
        return _table


def _rule(row: RouteRule) -> Rule:
    return Rule(row.methods, row.pattern, Capability(row.capability), Lane.STREAM, "forward")


def _usable(rows: Iterable[RouteRule]) -> list[Rule]:
    """The rules that can stand in a table together. One that was written past the admin's
    checks is left out: it must not take all others with it."""
    rules: list[Rule] = []
    for row in rows:
        try:
            rule = _rule(row)
            RouteTable([*rules, rule], ())
        except ValueError as error:
            logger.error("route rule %s is left out: %s", row, error)
        else:
            rules.append(rule)
    return rules


def check(row: RouteRule) -> None:
    """Raise ValueError unless the rule is well-formed, alone, and covers no named path."""
    rule = _rule(row)
    others = _usable(RouteRule.objects.exclude(pk=row.pk))
    RouteTable([rule, *others], ())
    TABLE.refuse_overlap(rule)


def _forget() -> None:
    global _deadline
    _deadline = 0.0


def connect_signals() -> None:
    """Drop the table when a rule changes."""
    forget = bus.everywhere("route-rules", _forget)

    def changed(**kwargs: Any) -> None:
        # Not before the change is in: another request would read the former rules again.
        transaction.on_commit(forget)

    post_save.connect(changed, sender=RouteRule, weak=False)
    post_delete.connect(changed, sender=RouteRule, weak=False)
