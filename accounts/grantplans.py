"""What a file of grants would do: checked against who and what is there, then done."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import Q

from accounts import errors, granting, holders, queries
from accounts.grantfiles import Content, Fault
from accounts.holders import ROLE, TEAM, USER, Holder
from accounts.models import ModelGrant, Role, User

# Each holder's change is a step of its own, with its audit row.
MAX_HOLDERS: Final = 500


@dataclass
class Plan:
    """What giving these would do: `new` of them; `had`: they are there already."""

    by_holder: dict[tuple[str, str], tuple[Holder, list[granting.Item]]]
    faults: list[Fault]
    new: int = 0
    had: int = 0


def plan(content: Content) -> Plan:
    """What it would do. Nothing can be done of a plan that has faults.

    Raises:
        BadRequest: too many holders
    """
    named = {(line.kind, line.holder) for line in content.lines}
    if len(named) > MAX_HOLDERS:
        raise errors.BadRequest(f"There are more than {MAX_HOLDERS} holders. Split the file.")
    known = _known(named)
    found = Plan({}, list(content.faults))
    for line in content.lines:
        holder = known.get((line.kind, line.holder))
        if holder is None:
            found.faults.append(Fault(line.number, f"There is no {line.kind} “{line.holder}”."))
            continue
        key = (line.kind, holders.name_of(holder))
        items = found.by_holder.setdefault(key, (holder, []))[1]
        items.append(line.item)
    found.faults.sort(key=lambda fault: fault.number)
    _count(found)
    return found


def _known(named: set[tuple[str, str]]) -> dict[tuple[str, str], Holder]:
    names: dict[str, list[str]] = defaultdict(list)
    for kind, name in named:
        names[kind].append(name)
    known: dict[tuple[str, str], Holder] = {}
    users = User.objects.select_related("role").filter(username__in=names[USER])
    known |= {(USER, user.username): user for user in users}
    known |= {(ROLE, role.slug): role for role in Role.objects.filter(slug__in=names[ROLE])}
    teams = holders.teams().filter(name__in=names[TEAM])
    known |= {(TEAM, team.name): team for team in teams}
    for name in names[USER]:
        if (USER, name) not in known:
            user = queries.user_by_name(name)  # in another case
            if user is not None:
                known[USER, name] = user
    return known


def _count(found: Plan) -> None:
    keys: dict[str, list[int]] = defaultdict(list)
    for (kind, _), (holder, _) in found.by_holder.items():
        keys[kind].append(holder.pk)
    rows = ModelGrant.objects.filter(
        Q(user__in=keys[USER]) | Q(role__pk__in=keys[ROLE]) | Q(team__in=keys[TEAM])
    )
    there: dict[tuple[str, str], set[granting.Item]] = defaultdict(set)
    for row in rows.select_related("user", "role", "team"):
        key = (holders.kind_of(row.holder), holders.name_of(row.holder))
        there[key].add(granting.item_of(row))
    for key, (_, items) in found.by_holder.items():
        wanted = set(items)
        found.had += len(wanted & there[key])
        found.new += len(wanted - there[key])


@transaction.atomic
def carry_out(found: Plan, *, take: bool, actor: User, ip: str | None) -> int:
    """Give, or with `take` take away, what is planned: all or nothing. How many that were.

    Raises:
        BadRequest: there are faults; and as `granting.change`
    """
    if found.faults:
        raise errors.BadRequest("Nothing was changed: the file has faults.")
    done = 0
    for holder, items in found.by_holder.values():
        added, removed = ([], items) if take else (items, [])
        done += sum(granting.change(holder, added, removed, actor=actor, ip=ip))
    return done
