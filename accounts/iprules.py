"""Addresses that may or may not come in: asked before anything else, from memory.

With at least one allow rule only what it names is let in; a deny rule wins over it.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Final

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from accounts import addresses, errors
from accounts.addresses import Address, Network
from accounts.bus import bus
from accounts.dbthread import in_db_thread
from accounts.models import IpRule

# A change that was not announced to this process is seen after this long.
TTL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule in memory."""

    network: Network
    expires_at: datetime | None = None

    def holds(self, address: Address, now: datetime) -> bool:
        return self.live(now) and address in self.network

    def live(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules."""

    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()

    def admit(self, address: str, now: datetime | None = None) -> bool:
        """Whether this address may come in (None: now). What is no address may not, once there
        are rules."""
        if not self.allow and not self.deny:
            return True
        now = now or timezone.now()
        parsed = addresses.address(address)
        if parsed is None or any(entry.holds(parsed, now) for entry in self.deny):
            return False
        allow = [entry for entry in self.allow if entry.live(now)]
        return not allow or any(entry.holds(parsed, now) for entry in allow)


def rules_of(rows: Iterable[IpRule]) -> Rules:
    """Rows as rules."""
    entries: dict[str, list[Entry]] = {kind: [] for kind in IpRule.Kind.values}
    for row in rows:
        entries[row.kind].append(Entry(addresses.network(row.network), row.expires_at))
    return Rules(tuple(entries[IpRule.Kind.ALLOW]), tuple(entries[IpRule.Kind.DENY]))


_lock = threading.Lock()
_rules = Rules()
_deadline = 0.0
_generation = 0


async def require_admitted(address: str) -> None:
    """Raise IpBlocked unless the rules let this address in.

    A database that does not answer raises, so nobody comes in.
    """
    rules = _rules if monotonic() < _deadline else await in_db_thread(load)
    if not rules.admit(address):
        raise errors.IpBlocked


def load() -> Rules:
    """Read the rules into memory."""
    global _rules, _deadline
    generation = _generation
    rules = rules_of(IpRule.objects.all())
    with _lock:
        # A change made while they were read is not in them for certain.
        if generation == _generation:
            _rules, _deadline = rules, monotonic() + TTL_SECONDS
    return rules


def _forget() -> None:
    global _deadline, _generation
    with _lock:
        _deadline, _generation = 0.0, _generation + 1


def connect_signals() -> None:
    """Read anew after a change, once it is in."""
    forget = bus.everywhere("ip-rules", _forget)

    def changed(**kwargs: Any) -> None:
        transaction.on_commit(forget)

    post_save.connect(changed, sender=IpRule, weak=False)
    post_delete.connect(changed, sender=IpRule, weak=False)
