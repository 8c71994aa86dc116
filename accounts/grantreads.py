"""Named reads about grants: what who was given, as far as it counts for this ComfyUI."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db.models import Q, QuerySet

from accounts import queries
from accounts.capabilities import Capability
from accounts.grants import ANY, LEGACY_FOLDERS, current_folder
from accounts.holders import ROLE, TEAM, USER, Holder, kind_of, name_of
from accounts.holdings import Holding
from accounts.models import ModelGrant, Role, User

SEES_ALL = Capability.VIEW_ALL_COMFYUI_ITEMS


def counting(folder: str | None = None) -> QuerySet[ModelGrant]:
    """Grants for the ComfyUI that this gateway serves; of one folder, if it is named."""
    rows = ModelGrant.objects.filter(source_backend__in=queries.backends_here())
    if folder is None:
        return rows
    here = current_folder(folder)
    former = [old for old, new in LEGACY_FOLDERS.items() if new == here]
    return rows.filter(folder__in=(here, ANY, *former))


def own(holder: Holder) -> Holding:
    """What one holder was given itself."""
    rows = counting().filter(**{kind_of(holder): holder})
    items = frozenset(rows.values_list("folder", "item_name"))
    return Holding(kind_of(holder), name_of(holder), items)


def reaching(users: Iterable[User], folder: str | None = None) -> dict[int, list[Holding]]:
    """User id → through whom each may have got models: themselves, their role, their teams.
    Three queries however many there are."""
    wanted = list(users)
    teams = _teams(wanted)
    team_ids = {team for ids in teams.values() for team, _ in ids}
    rows = counting(folder).filter(
        Q(user__in=[user.pk for user in wanted])
        | Q(role__in={user.role_id for user in wanted})
        | Q(team__in=team_ids)
    )
    items: dict[tuple[str, object], set[tuple[str, str]]] = defaultdict(set)
    for user, role, team, place, name in rows.values_list(
        "user_id", "role_id", "team_id", "folder", "item_name"
    ):
        kind = USER if user is not None else ROLE if role is not None else TEAM
        items[kind, user or role or team].add((place, name))
    shared: dict[tuple[str, object], Holding] = {}

    def holding(kind: str, key: object, name: str) -> Holding:
        # One for all who share it: what it works out, it works out once.
        found = shared.get((kind, key))
        if found is None:
            found = shared[kind, key] = Holding(kind, name, frozenset(items[kind, key]))
        return found

    return {
        user.pk: [
            holding(USER, user.pk, user.username),
            holding(ROLE, user.role_id, user.role_id),
            *(holding(TEAM, team, name) for team, name in teams[user.pk]),
        ]
        for user in wanted
    }


def _teams(users: Sequence[User]) -> dict[int, list[tuple[int, str]]]:
    """User id → (id, name) of their teams, by name."""
    through = User.groups.through.objects.filter(user__in=[user.pk for user in users])
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for user, team, name in through.order_by("group__name").values_list(
        "user_id", "group_id", "group__name"
    ):
        found[user].append((team, name))
    return found


def who_see_all(users: Iterable[User]) -> set[int]:
    """Ids of those who may use every model, whatever they were given."""
    wanted = list(users)
    roles = set(Role.objects.filter(permissions__codename=SEES_ALL).values_list("slug", flat=True))
    single = set(
        User.objects.filter(
            pk__in=[user.pk for user in wanted], user_permissions__codename=SEES_ALL
        ).values_list("pk", flat=True)
    )
    return {user.pk for user in wanted if user.role_id in roles or user.pk in single}


def models_given(holder: Holder) -> int:
    """How many grants go if this holder does."""
    return ModelGrant.objects.filter(**{kind_of(holder): holder}).count()


def without_models() -> QuerySet[User]:
    """Active users who may run prompts, and neither see every model nor were given any."""
    given = counting()

    def holds(capability: Capability) -> Q:
        roles = Role.objects.filter(permissions__codename=capability)
        return Q(role__in=roles.values("slug")) | Q(
            pk__in=User.objects.filter(user_permissions__codename=capability).values("pk")
        )

    return (
        User.objects.filter(holds(Capability.RUN), is_active=True)
        .exclude(holds(SEES_ALL))
        .exclude(pk__in=given.filter(user__isnull=False).values("user"))
        .exclude(role__in=given.filter(role__isnull=False).values("role"))
        .exclude(groups__in=given.filter(team__isnull=False).values("team"))
        .order_by("username")
    )
