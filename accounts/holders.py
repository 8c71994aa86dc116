"""Who can be given models: users, roles and teams, and how they are named."""

from typing import Final

from django.contrib.auth.models import Group
from django.db.models import QuerySet

from accounts import errors
from accounts.models import Role, User

Holder = User | Role | Group

USER: Final = "user"
ROLE: Final = "role"
TEAM: Final = "team"
KINDS: Final = (USER, ROLE, TEAM)


def kind_of(holder: Holder) -> str:
    """user, role or team; also the field of a grant that names such a holder."""
    if isinstance(holder, User):
        return USER
    return ROLE if isinstance(holder, Role) else TEAM


def name_of(holder: Holder) -> str:
    """What identifies it among its kind: user name, slug, name."""
    if isinstance(holder, User):
        return holder.username
    return holder.slug if isinstance(holder, Role) else holder.name


def teams() -> QuerySet[Group]:
    """The plain groups: those that are no role."""
    return Group.objects.filter(role=None)


def by_key(kind: str, key: int) -> Holder:
    """A holder by its primary key.

    Raises:
        NotFound
    """
    found: Holder | None = None
    if kind == USER:
        found = User.objects.select_related("role").filter(pk=key).first()
    elif kind == ROLE:
        found = Role.objects.filter(pk=key).first()
    elif kind == TEAM:
        found = teams().filter(pk=key).first()
    if found is None:
        raise errors.NotFound("There is no such user, role or team.")
    return found


def role_or_team(name: str) -> Role | Group:
    """The role of that slug, else the team of that name.

    Raises:
        NotFound
    """
    found = Role.objects.filter(slug=name).first() or teams().filter(name=name).first()
    if found is None:
        raise errors.NotFound("There is no such role or team.")
    return found


def require_still_there(holder: Holder) -> None:
    """Until the transaction ends nobody deletes this holder, nor gives it anything else.

    Raises:
        NotFound: it is deleted already
    """
    # no_key: rows that refer to it may be added meanwhile (PostgreSQL).
    rows = type(holder)._default_manager.select_for_update(no_key=True).filter(pk=holder.pk)
    if rows.first() is None:
        raise errors.NotFound("This user, role or team was deleted meanwhile.")
