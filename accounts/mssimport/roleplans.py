"""Which role each imported user gets, and which roles have to be made or changed for it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.contrib.auth.models import Group
from django.utils.text import slugify

from accounts import ranks
from accounts.capabilities import ADMIN_RANK, ADMIN_SLUG, DEFAULT_ROLES, OWNER_SLUG, Capability
from accounts.models import Role
from accounts.mssimport.planned import Plan, PlannedRole
from accounts.mssimport.records import FormerUser
from accounts.mssimport.rolemapping import Mapped, mapped, sayable

FALLBACK: Final = "user"
# What the products are delivered with.
_THEIRS: Final = frozenset(role.slug for role in DEFAULT_ROLES)
MAX_SLUG: Final = 50
MAX_TITLE: Final = 80


def plan_roles(plan: Plan, groups: Mapping[str, Mapping[str, Any]], match: bool) -> dict[str, str]:
    """Adds to the plan the roles to be made, and with `match` those to be changed; the slug that
    each former role is here. Nobody becomes an admin by it who was none."""
    roles = {role.slug: role for role in Role.objects.all()}
    teams = set(Group.objects.filter(role=None).values_list("name", flat=True))
    slugs = {name: name for name in _THEIRS & roles.keys()}
    slugs |= {OWNER_SLUG: ADMIN_SLUG, ADMIN_SLUG: ADMIN_SLUG}
    taken = {slug: slug for slug in _THEIRS}
    said = sayable(groups.values())
    for name, permissions in groups.items():
        if name in (ADMIN_SLUG, OWNER_SLUG):
            continue
        slug = slugify(name)[:MAX_SLUG]
        found = mapped(name, permissions)
        for permission, why in found.left:
            plan.leave(f"{permission} of the role {name}", why)
        role = roles.get(slug)
        if not slug or slug in teams or taken.setdefault(slug, name) != name:
            plan.leave(f"role {name}", f"Its name is taken or none; who had it is a {FALLBACK}.")
        elif role is None:
            title = "".join(filter(str.isprintable, name))[:MAX_TITLE]
            plan.roles.append(PlannedRole(slug, title, found.capabilities, found.mfa_required))
            slugs[name] = slug
        elif role.is_staff or role.rank >= ADMIN_RANK:
            why = f"The role of that name may open the admin here; who had it is a {FALLBACK}."
            plan.leave(f"role {name}", why)
        else:
            slugs[name] = slug
            _compare(plan, role, found, said, match)
    return slugs


def assign(plan: Plan, users: Iterable[FormerUser], slugs: Mapping[str, str]) -> dict[str, str]:
    """Each user's role, by their former id."""
    found: dict[str, str] = {}
    for user in users:
        if user.is_admin:
            found[user.former_id] = ADMIN_SLUG
            continue
        found[user.former_id] = slugs.get(user.group, FALLBACK)
        if user.group not in slugs:
            why = f"There is no such role to take over; they are a {FALLBACK}."
            plan.leave(f"role {user.group} of {user.username}", why)
    return found


def _compare(
    plan: Plan, role: Role, former: Mapped, said: frozenset[Capability], match: bool
) -> None:
    held = ranks.capabilities_of_role(role)
    there = former.capabilities & said
    more, less = sorted((held & said) - there), sorted(there - held)
    mfa = former.mfa_required and not role.mfa_required
    if not more and not less and not mfa:
        return
    if match:
        capabilities = (held - said) | there
        required = role.mfa_required or former.mfa_required
        plan.roles.append(PlannedRole(role.slug, role.title, capabilities, required, exists=True))
        return
    parts = [f"may, unlike there: {', '.join(more)}"] if more else []
    parts += [f"may not, unlike there: {', '.join(less)}"] if less else []
    parts += ["needs no second factor, unlike there"] if mfa else []
    plan.notes.append(f"The role {role.slug} {'; '.join(parts)}. --match-roles makes it as there.")
