"""What an import would do, worked out before anything is done: who and what, and what is left out.

An account that is there is never touched: whoever has a name here need not be who had it there.
"""

from collections import defaultdict

from django.utils import timezone

from accounts import services
from accounts.capabilities import ADMIN_SLUG, OWNER_SLUG
from accounts.models import IpRule, Role, User
from accounts.mssimport import belongings, roleplans
from accounts.mssimport.formerkeys import FormerKeys
from accounts.mssimport.layout import CONFIG, USGROMANA, Layout
from accounts.mssimport.planned import Plan, PlannedUser, Refused, Wishes, some
from accounts.mssimport.reading import Found, Left
from accounts.mssimport.records import FormerUser
from accounts.mssimport.rolemapping import MFA_REQUIRED


def make(found: Found, layout: Layout, wishes: Wishes, keys: FormerKeys) -> Plan:
    """The plan; nothing is changed.

    Raises:
        Refused
    """
    plan = Plan(layout.product, left=list(found.left))
    importable = _importable(plan, found.users, wishes)
    slugs = roleplans.plan_roles(plan, found.groups, wishes.match_roles)
    roles = roleplans.assign(plan, importable, slugs)
    plan.users = [PlannedUser(user, roles[user.former_id]) for user in importable]
    _choose_owner(plan, wishes)
    if not wishes.reset_mfa:
        belongings.plan_factors(plan, keys, layout.config)
    belongings.plan_belongings(plan, found, keys)
    _plan_rules(plan, found, wishes)
    _note(plan, layout, found)
    return plan


def _importable(plan: Plan, users: list[FormerUser], wishes: Wishes) -> list[FormerUser]:
    there = {name.lower() for name in User.objects.values_list("username", flat=True)}
    spelt: dict[str, list[FormerUser]] = defaultdict(list)
    for user in users:
        if user.is_guest:
            why = "Guests have an account of their own here, once MSS_GUEST_LOGIN lets them in."
            plan.leave(f"user {user.name}", why)
        else:
            spelt[user.username.lower()].append(user)
    importable: list[FormerUser] = []
    conflicts: list[Left] = []
    for name, alike in spelt.items():
        if name in there:
            why = "There is an account of this name, which stays as it is."
        elif len(alike) > 1:
            why = "Several names there differ in capitals only, which are one here."
        else:
            importable += alike
            continue
        conflicts += [Left(f"user {user.name}", why) for user in alike]
    if conflicts and wishes.fail_on_conflict:
        raise Refused(f"Names are in conflict: {some(left.what for left in conflicts)}.")
    plan.left += conflicts
    return importable


def _choose_owner(plan: Plan, wishes: Wishes) -> None:
    """Never a second one: where there is an owner, the former becomes an admin."""
    if services.has_owner():
        if any(planned.former.is_owner for planned in plan.users):
            plan.notes.append("There is an owner already: the former one becomes an admin.")
        return
    able = [planned for planned in plan.users if planned.former.active]
    if wishes.owner is not None:
        wanted = wishes.owner.lower()
        chosen = [planned for planned in able if planned.former.username.lower() == wanted]
        if not chosen or not chosen[0].former.is_admin:
            raise Refused(f"--owner: there is no admin {wishes.owner} among those to be imported.")
    else:
        chosen = [planned for planned in able if planned.former.is_owner]
        chosen = chosen or [planned for planned in able if planned.former.is_admin]
    if len(chosen) == 1:
        chosen[0].role = OWNER_SLUG
    elif plan.users:
        names = some(planned.former.username for planned in chosen) or "nobody"
        plan.notes.append(
            f"There is no owner yet. Among the imported it could be: {names}. Name one with "
            "--owner, or make another: manage.py owner create NAME."
        )


def _plan_rules(plan: Plan, found: Found, wishes: Wishes) -> None:
    now = timezone.now()
    current = [each for each in found.denied if each.expires_at is None or each.expires_at > now]
    # Each network once. One that is blocked for ever counts before one that is for a while.
    denied = {each.network: each for each in sorted(current, key=lambda each: not each.expires_at)}
    allowed = {each.network: each for each in found.allowed}
    if not wishes.ip_rules:
        if allowed or denied:
            plan.leave(
                f"{len(allowed)} allowed and {len(denied)} blocked addresses",
                "Rules can shut people out; --ip-rules takes them over.",
            )
        return
    there = set(IpRule.objects.values_list("kind", "network"))
    for kind, networks in ((IpRule.Kind.ALLOW, allowed), (IpRule.Kind.DENY, denied)):
        rows = [each for name, each in networks.items() if (kind, name) not in there]
        plan.rules += [(kind, each) for each in rows]
    if any(kind == IpRule.Kind.ALLOW for kind, _ in plan.rules):
        plan.notes.append(
            "With these rules only allowed addresses may come in. If that shuts you out: "
            "manage.py owner clear-ip-rules."
        )


def _note(plan: Plan, layout: Layout, found: Found) -> None:
    if layout.elsewhere:
        plan.notes.append(
            f"{CONFIG} names files outside of the folder, which are not read: "
            f"{some(layout.elsewhere)}."
        )
    if not plan.users:
        return
    without = [user.former.username for user in plan.users if user.former.password is None]
    if without:
        plan.notes.append(
            f"These have no password that can be taken over: {some(without)}. Make them a "
            "password link in the admin."
        )
    resetting = [user.former.username for user in plan.users if user.sets_up_mfa]
    if resetting:
        plan.notes.append(
            f"These set up a new second factor when they log in next: {some(resetting)}."
        )
    asked = found.groups.get(ADMIN_SLUG, {}).get(MFA_REQUIRED) is True
    asks = Role.objects.filter(slug=ADMIN_SLUG, mfa_required=True).exists()
    if asked and not asks and layout.config.get("mfa_disabled") is not True:
        plan.notes.append(
            "Admins needed a second factor there; the role admin does not ask for one here until "
            "it is told to."
        )
    if layout.product == USGROMANA:
        plan.notes.append(
            "There everybody could use every model; here people see those they were given. To "
            "keep it so, give their roles the model * in the folder *."
        )
