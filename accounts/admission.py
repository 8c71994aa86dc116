"""Which addresses and names may come in, as verbs: IP rules, lockouts. One transaction and one
audit row each.

`actor` is who did it (None: the system or the console), `ip` from where.
"""

from collections.abc import Iterable, Mapping

from django.db import transaction

from accounts import errors, iprules, lockout
from accounts.audit import audit, differences
from accounts.models import IpRule, User


@transaction.atomic
def replace_ip_rules(
    lists: Mapping[str, Iterable[IpRule]],
    *,
    confirm: bool,
    actor: User | None,
    ip: str | None = None,
) -> None:
    """Put these rules in the place of all former ones of their kind (allow, deny).

    Raises:
        Conflict WOULD_LOCK_OUT: `ip`, from where this is asked, could not come in any more,
            and that was not confirmed
    """
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for kind, rows in lists.items():
        before[kind] = _networks(kind)
        for former in IpRule.objects.filter(kind=kind):
            former.delete()
        for row in rows:
            row.save()
        after[kind] = _networks(kind)
    require_way_in(ip, confirm=confirm)
    audit("ip_rules.changed", actor=actor, ip=ip, changes=differences(before, after))


def _networks(kind: str) -> list[str]:
    return [
        f"{row.network} until {row.expires_at:%Y-%m-%d %H:%M}" if row.expires_at else row.network
        for row in IpRule.objects.filter(kind=kind)
    ]


def require_way_in(ip: str | None, *, confirm: bool) -> None:
    """Raise Conflict WOULD_LOCK_OUT if the rules as they are now shut `ip` out, unless that
    is what somebody wants. Call it inside the transaction that changed them."""
    rules = iprules.rules_of(IpRule.objects.all())
    if ip is not None and not confirm and not rules.admit(ip):
        raise errors.Conflict(
            "This would shut out the address you come from. Confirm it if you mean it.",
            code="WOULD_LOCK_OUT",
        )


@transaction.atomic
def unlock(
    *,
    username: str | None = None,
    address: str | None = None,
    actor: User | None,
    ip: str | None = None,
) -> int:
    """Forget the wrong passwords and codes counted for a name, for an address, or for both;
    how many records that were."""
    removed = lockout.unlock(username=username, ip=address)
    known = User.objects.filter(username__iexact=username).first() if username else None
    named = {"username": username, "address": address}
    audit("unlocked", actor=actor, subject=known, ip=ip, **{k: v for k, v in named.items() if v})
    return removed


@transaction.atomic
def unlock_all(*, actor: User | None, ip: str | None = None) -> int:
    """As `unlock`, of every name and address."""
    removed = lockout.unlock_all()
    audit("unlocked", actor=actor, ip=ip, everybody=True)
    return removed
