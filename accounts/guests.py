"""The guest's account: one for everybody who looks around without a password."""

import contextlib
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import errors, mfa, proofs
from accounts.audit import audit
from accounts.models import Role, Session, User
from accounts.sentences import english

GUEST_SLUG: Final = "guest"
MAX_NAMES: Final = 100


def account() -> User:
    """The shared account, made at its first use.

    Raises:
        PermissionDenied: guest access is off, or the account is disabled or needs a second
            factor, which nobody could have for all
    """
    if not settings.MSS_GUEST_LOGIN:
        raise errors.PermissionDenied(english("Guest access is off."))
    user = _found() or _made()
    if not user.is_active or mfa.is_required(user):
        raise errors.PermissionDenied(english("Guests may not come in at the moment."))
    return user


def end_sessions_if_off() -> None:
    """Guests that are still there when the server starts without guest access leave."""
    if settings.MSS_GUEST_LOGIN:
        return
    for user in User.objects.filter(shared=True, pk__in=Session.objects.values("user")):
        proofs.end_sessions(user)


def _found() -> User | None:
    return User.objects.select_related("role").filter(shared=True).order_by("pk").first()


@transaction.atomic
def _made() -> User:
    # Two first guests at once: the second waits for this row (SQLite: for the transaction).
    role = Role.objects.select_for_update().filter(slug=GUEST_SLUG).first()
    if role is None:
        raise errors.PermissionDenied("There is no role “guest”, which guests would have.")
    found = _found()
    if found is not None:
        return found
    user = _with_free_name(role)
    audit("guest.created", subject=user)
    return user


def _with_free_name(role: Role) -> User:
    for number in range(1, MAX_NAMES + 1):
        name = GUEST_SLUG if number == 1 else f"{GUEST_SLUG}-{number}"
        user = User(username=name, role=role, shared=True)
        user.set_unusable_password()
        # Somebody may be called that already, in any case.
        with contextlib.suppress(IntegrityError), transaction.atomic():
            user.save(force_insert=True)
            return user
    raise errors.Conflict(f"The names guest to guest-{MAX_NAMES} are all taken.")
