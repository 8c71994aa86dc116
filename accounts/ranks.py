"""Who may change whom: by rank, and by what each may do."""

from accounts import errors
from accounts.capabilities import OWNER_SLUG, Capability
from accounts.models import Role, User
from accounts.sentences import english


def capabilities_of(user: User) -> frozenset[Capability]:
    """What the account holds through its role and by itself."""
    names = set(user.user_permissions.values_list("codename", flat=True))
    return capabilities_of_role(user.role) | {cap for cap in Capability if cap in names}


def capabilities_of_role(role: Role) -> frozenset[Capability]:
    """What a role holds."""
    names = set(role.permissions.values_list("codename", flat=True))
    return frozenset(cap for cap in Capability if cap in names)


def require_may_give(actor: User, role: Role) -> None:
    """Raise PermissionDenied if this role is above `actor`, in rank or in what it may do."""
    if role.slug == OWNER_SLUG:
        raise errors.PermissionDenied("There is one owner; ownership can only be transferred.")
    if role.rank > actor.role.rank:
        raise errors.PermissionDenied("This role ranks above yours.")
    if not actor.is_superuser and not capabilities_of_role(role) <= capabilities_of(actor):
        raise errors.PermissionDenied("This role may do more than you.")


def may_manage(actor: User, subject: User) -> bool:
    """Whether `actor` may change `subject`: never somebody of a higher rank, never the owner."""
    if actor.pk == subject.pk:
        return True
    return not subject.is_owner and subject.role.rank <= actor.role.rank


def require_manage(actor: User | None, subject: User) -> None:
    """Raise PermissionDenied unless `actor` (None: the system) may change `subject`."""
    if actor is not None and not may_manage(actor, subject):
        raise errors.PermissionDenied("You may not change this account.")


def require_own_account(user: User) -> None:
    """Raise PermissionDenied for an account that several people share: what one of them
    changed about it, the others would find changed."""
    if user.shared:
        raise errors.PermissionDenied(
            english(
                "Several people share this account. It has no password, tokens or second factor."
            )
        )


def may_shape(actor: User, role: Role) -> bool:
    """Whether `actor` may change what a role may do. A role is what its holders may do, so
    only who may do everything shapes one; nobody one above themselves, nor the owner's."""
    return actor.is_superuser and role.slug != OWNER_SLUG and role.rank <= actor.role.rank
