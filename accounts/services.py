"""Everything that changes an account, as verbs: one transaction, one audit row each.

`actor` is who did it (None: the system or the console), `ip` from where.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.models import Permission
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import deletion, errors, grantreads
from accounts.audit import audit, differences
from accounts.capabilities import ADMIN_SLUG, OWNER_SLUG, Capability
from accounts.models import (
    AccountLink,
    ApiToken,
    Challenge,
    Role,
    SetupToken,
    User,
)
from accounts.proofs import end_sessions
from accounts.ranks import (
    capabilities_of_role,
    may_shape,
    require_manage,
    require_may_give,
    require_own_account,
)
from accounts.sentences import english

# Django hashes any length; a megabyte of password is an attack, not a password.
MAX_PASSWORD_CHARS: Final = 1024

_CAPABILITIES = frozenset(map(str, Capability))


@transaction.atomic
def create_user(
    *, username: str, password: str, role: str, actor: User | None, ip: str | None = None
) -> User:
    """A new account.

    Raises:
        BadRequest with `field` (malformed name, weak password, unknown role)
        Conflict USERNAME_TAKEN
        PermissionDenied if the role ranks above the actor's, or for a second owner
    """
    wanted = Role.objects.filter(slug=role).first()
    if wanted is None:
        raise errors.BadRequest(f"There is no role “{role}”.", field="role")
    if actor is not None:
        require_may_give(actor, wanted)
    user = _add_user(username, password, wanted)
    audit("user.created", actor=actor, subject=user, ip=ip, role=role)
    return user


@transaction.atomic
def create_owner(*, username: str, password: str, ip: str | None = None) -> User:
    """The first account. Ends the setup token.

    Raises:
        Conflict OWNER_EXISTS, and as `create_user`
    """
    if has_owner():
        raise errors.Conflict(english("There is an owner already."), code="OWNER_EXISTS")
    user = _add_user(username, password, Role.objects.get(slug=OWNER_SLUG))
    SetupToken.objects.all().delete()
    audit("owner.created", actor=user, subject=user, ip=ip)
    return user


def has_owner() -> bool:
    return User.objects.filter(role__slug=OWNER_SLUG).exists()


def _add_user(username: str, password: str, role: Role) -> User:
    user = User(username=User.normalize_username(username), role=role)
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        raise errors.BadRequest(_first(error), field="username") from None
    check_password_strength(password, user)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        if role.slug == OWNER_SLUG and has_owner():
            raise errors.Conflict(
                english("There is an owner already."), code="OWNER_EXISTS"
            ) from None
        raise errors.Conflict(
            english("This user name is taken. Choose another."),
            code="USERNAME_TAKEN",
            field="username",
        ) from None
    return user


def check_password_strength(password: str, user: User) -> None:
    """Raise BadRequest, field `password`, unless Django's validators accept it."""
    if len(password) > MAX_PASSWORD_CHARS:
        raise errors.BadRequest(english("This password is too long."), field="password")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise errors.BadRequest(" ".join(error.messages), field="password") from None


def _first(error: ValidationError) -> str:
    return str(error.messages[0])


@transaction.atomic
def set_role(user: User, role: Role, *, actor: User | None, ip: str | None = None) -> None:
    """Give `user` another role. The owner keeps theirs until it is transferred."""
    require_manage(actor, user)
    if user.role_id == role.slug:
        return
    if user.is_owner:
        raise errors.PermissionDenied("The owner's role cannot change; transfer the ownership.")
    if role.slug == OWNER_SLUG:
        raise errors.PermissionDenied("There is one owner; ownership can only be transferred.")
    if user.shared and role.is_staff:
        raise errors.PermissionDenied(
            "Anybody can be the guest. Choose a role that does not open the admin."
        )
    if actor is not None:
        if actor.pk == user.pk:
            raise errors.PermissionDenied("Nobody changes their own role.")
        require_may_give(actor, role)
    before = user.role_id
    user.role = role
    user.save(update_fields=["role"])
    audit("user.role", actor=actor, subject=user, ip=ip, before=before, after=role.slug)


@transaction.atomic
def set_active(
    user: User,
    active: bool,
    *,
    actor: User | None,
    ip: str | None = None,
    keep_tokens: bool = False,
) -> None:
    """Enable or disable an account. Disabling ends every session at once, voids password
    links and removes the API tokens, unless these are to be kept for when it is enabled."""
    require_manage(actor, user)
    if user.is_active == active:
        return
    if user.is_owner:
        raise errors.PermissionDenied("The owner cannot be disabled.")
    user.is_active = active
    user.save(update_fields=["is_active"])
    if active:
        audit("user.enabled", actor=actor, subject=user, ip=ip)
        return
    removed = end_access(user, keep_tokens=keep_tokens)
    audit("user.disabled", actor=actor, subject=user, ip=ip, tokens=removed)


@transaction.atomic
def set_password(
    user: User,
    password: str,
    *,
    actor: User | None,
    ip: str | None = None,
    keep_tokens: bool = False,
) -> None:
    """Set a new password; ends every session of the account, voids its password links and
    removes its API tokens, unless these are to be kept.

    Raises:
        PermissionDenied (also for a shared account), BadRequest for a weak password
    """
    require_manage(actor, user)
    require_own_account(user)
    check_password_strength(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    removed = end_access(user, keep_tokens=keep_tokens)
    audit("user.password", actor=actor, subject=user, ip=ip, tokens=removed)


@transaction.atomic
def set_language(user: User, language: str, *, ip: str | None = None) -> None:
    """What the pages and mails speak to `user`, who chose it; empty: as the browser says.

    Raises:
        PermissionDenied: of a shared account
    """
    require_own_account(user)
    before, user.language = user.language, language
    user.save(update_fields=["language"])
    if before != language:
        audit("user.language", actor=user, subject=user, ip=ip, before=before, after=language)


@transaction.atomic
def void_password(user: User, *, actor: User | None, ip: str | None = None) -> None:
    """The present password does not work any more; every session ends, API tokens stay.

    Raises:
        PermissionDenied (also for a shared account)
    """
    require_manage(actor, user)
    require_own_account(user)
    user.set_unusable_password()
    user.save(update_fields=["password"])
    end_access(user, keep_tokens=True)
    audit("user.password_voided", actor=actor, subject=user, ip=ip)


def end_access(user: User, *, keep_tokens: bool) -> int:
    """End what was begun under the former password; how many API tokens that removed."""
    end_sessions(user)
    Challenge.objects.filter(user=user).delete()
    void_password_links(user)
    return 0 if keep_tokens else ApiToken.objects.filter(user=user).delete()[0]


def void_password_links(user: User, *, made_by: User | None = None) -> None:
    """Remove the account's password links that are not used yet: all, or those `made_by`."""
    unused = AccountLink.objects.filter(
        kind=AccountLink.Kind.PASSWORD, user=user, used_at__isnull=True
    )
    (unused if made_by is None else unused.filter(created_by=made_by)).delete()


@transaction.atomic
def delete_user(user: User, *, actor: User | None, keep_files: bool, ip: str | None = None) -> None:
    """Remove an account for good, never the owner's; what becomes of its files and workflows
    is `accounts.deletion`'s.

    Raises:
        PermissionDenied; NotFound if somebody else was quicker
    """
    # Whoever stores something of theirs now waits, and then finds no user.
    locked = User.objects.select_for_update().filter(pk=user.pk).first()
    if locked is None:
        raise errors.NotFound("There is no such user.")
    require_manage(actor, locked)
    if locked.is_owner:
        raise errors.PermissionDenied("The owner cannot be deleted; transfer the ownership first.")
    deletion.run_hooks(locked, keep_files=keep_files, actor=actor)
    details: dict[str, Any] = {"files": deletion.KEEP if keep_files else deletion.DELETE}
    if given := grantreads.models_given(locked):
        details |= {"model_grants": given}
    audit("user.deleted", actor=actor, subject=locked, ip=ip, role=locked.role_id, **details)
    locked.delete()


@transaction.atomic
def transfer_ownership(owner: User, heir: User, *, ip: str | None = None) -> None:
    """Make `heir` the owner; the former owner becomes an admin."""
    if not owner.is_owner or owner.pk == heir.pk:
        raise errors.PermissionDenied("Only the owner can hand the ownership over.")
    require_own_account(heir)
    if not heir.is_active:
        raise errors.BadRequest("This account is disabled.", field="username")
    # In this order: the database allows no two owners, not even for a moment.
    owner.role = Role.objects.get(slug=ADMIN_SLUG)
    owner.save(update_fields=["role"])
    heir.role = Role.objects.get(slug=OWNER_SLUG)
    heir.save(update_fields=["role"])
    audit("owner.transferred", actor=owner, subject=heir, ip=ip)


@transaction.atomic
def change_user(
    user: User,
    changes: Mapping[str, Any],
    *,
    actor: User | None,
    ip: str | None = None,
    keep_tokens: bool = False,
) -> None:
    """Several changes at once, all or none: any of role (a slug), is_active, password,
    sfw_enforced, mfa_required (None for the last two: as the role). `keep_tokens` as in
    `set_active` and `set_password`.

    Raises:
        as the single changes; BadRequest for an unknown role
    """
    require_manage(actor, user)
    if actor is not None and actor.pk == user.pk and {"password", "mfa_required"} & set(changes):
        # There the present password is asked for: a stolen session or token is not enough.
        raise errors.PermissionDenied("Change this on your account page.")
    if "role" in changes:
        role = Role.objects.filter(slug=changes["role"]).first()
        if role is None:
            raise errors.BadRequest("There is no such role.", field="role")
        set_role(user, role, actor=actor, ip=ip)
    if "is_active" in changes:
        set_active(user, changes["is_active"], actor=actor, ip=ip, keep_tokens=keep_tokens)
    if "password" in changes:
        set_password(user, changes["password"], actor=actor, ip=ip, keep_tokens=keep_tokens)
    overrides = {
        name: changes[name] for name in ("sfw_enforced", "mfa_required") if name in changes
    }
    if overrides:
        switched = differences({name: getattr(user, name) for name in overrides}, overrides)
        for name, value in overrides.items():
            setattr(user, name, value)
        user.save(update_fields=list(overrides))
        if switched:
            audit("user.overrides", actor=actor, subject=user, ip=ip, changes=switched)


@transaction.atomic
def change_role(
    role: Role, changes: Mapping[str, Any], *, actor: User, ip: str | None = None
) -> None:
    """Capabilities (name: bool) and settings of a role.

    Raises:
        PermissionDenied: see `may_shape`
    """
    if not may_shape(actor, role):
        raise errors.PermissionDenied("You may not change this role.")
    settings_of_it = {name: value for name, value in changes.items() if name not in _CAPABILITIES}
    held = capabilities_of_role(role)
    before = {name: getattr(role, name) for name in settings_of_it}
    before |= {str(capability): capability in held for capability in Capability}
    for name, value in settings_of_it.items():
        setattr(role, name, value)
    role.save()
    switched = {name: value for name, value in changes.items() if name in _CAPABILITIES}
    rows = {
        row.codename: row
        for row in Permission.objects.filter(
            content_type__app_label="accounts", codename__in=switched
        )
    }
    role.permissions.add(*(rows[name] for name, on in switched.items() if on))
    role.permissions.remove(*(rows[name] for name, on in switched.items() if not on))
    changed = differences(before, changes)
    if changed:
        audit("role.changed", actor=actor, ip=ip, role=role.slug, changes=changed)
