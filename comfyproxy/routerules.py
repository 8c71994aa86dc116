"""The admin's route rules as a table, kept in memory and read anew when they change."""

import threading
from time import monotonic
from typing import Any, Final

from django.db.models.signals import post_delete, post_save

from accounts.capabilities import Capability
from accounts.dbthread import in_db_thread
from comfyproxy.models import RouteRule
from comfyproxy.policy import Lane, RouteTable, Rule
from comfyproxy.routes import TABLE

# Another process may have changed them; this one looks again that often.
TTL_SECONDS: Final = 5.0

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
    rules = [_rule(row) for row in RouteRule.objects.all()]
    with _lock:
        _table = RouteTable(rules, ())
        _deadline = monotonic() + TTL_SECONDS
        return _table


def _rule(row: RouteRule) -> Rule:
    return Rule(row.methods, row.pattern, Capability(row.capability), Lane.STREAM, "forward")


def check(row: RouteRule) -> None:
    """Raise ValueError unless the rule is well-formed, alone, and covers no named path."""
    rule = _rule(row)
    others = [_rule(other) for other in RouteRule.objects.exclude(pk=row.pk)]
    RouteTable([rule, *others], ())
    TABLE.refuse_overlap(rule)


def connect_signals() -> None:
    """Drop the table when a rule changes in this process."""

    def changed(**kwargs: Any) -> None:
        global _deadline
        _deadline = 0.0

    post_save.connect(changed, sender=RouteRule, weak=False)
    post_delete.connect(changed, sender=RouteRule, weak=False)
