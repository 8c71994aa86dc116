"""Everything that changes an account, as verbs: one transaction, one audit row each.

`actor` is who did it (None: the system or the console), `ip` from where.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts import addresses, deletion, errors, grantreads, iprules, lockout, tokens
from accounts.audit import audit, differences
from accounts.authentication import forget_user
from accounts.capabilities import ADMIN_SLUG, OWNER_SLUG, Capability
from accounts.models import (
    AccountLink,
    ApiToken,
    Challenge,
    IpRule,
    Role,
    Session,
    SetupToken,
    User,
)
from accounts.queries import session_idle
from accounts.sentences import english

# Django hashes any length; a megabyte of password is an attack, not a password.
MAX_PASSWORD_CHARS: Final = 1024
# Links that are used or expired are shown that long.
LINKS_SHOWN_FOR: Final = timedelta(days=30)


_CAPABILITIES = frozenset(map(str, Capability))


# --- accounts ------------------------------------------------------------------------------


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


def capabilities_of(user: User) -> frozenset[Capability]:
    """What the account holds through its role and by itself."""
    names = set(user.user_permissions.values_list("codename", flat=True))
    return capabilities_of_role(user.role) | {cap for cap in Capability if cap in names}


def capabilities_of_role(role: Role) -> frozenset[Capability]:
    """What a role holds."""
    names = set(role.permissions.values_list("codename", flat=True))
    return frozenset(cap for cap in Capability if cap in names)


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


def require_own_account(user: User) -> None:
    """Raise PermissionDenied for an account that several people share: what one of them
    changed about it, the others would find changed."""
    if user.shared:
        raise errors.PermissionDenied(
            english(
                "Several people share this account. It has no password, tokens or second factor."
            )
        )


def _require_manage(actor: User | None, subject: User) -> None:
    if actor is not None and not may_manage(actor, subject):
        raise errors.PermissionDenied("You may not change this account.")


@transaction.atomic
def set_role(user: User, role: Role, *, actor: User | None, ip: str | None = None) -> None:
    """Give `user` another role. The owner keeps theirs until it is transferred."""
    _require_manage(actor, user)
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
    _require_manage(actor, user)
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
    _require_manage(actor, user)
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
    _require_manage(actor, user)
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
    _require_manage(actor, locked)
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
    _require_manage(actor, user)
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


def may_shape(actor: User, role: Role) -> bool:
    """Whether `actor` may change what a role may do. A role is what its holders may do, so
    only who may do everything shapes one; nobody one above themselves, nor the owner's."""
    return actor.is_superuser and role.slug != OWNER_SLUG and role.rank <= actor.role.rank


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


# --- addresses -----------------------------------------------------------------------------


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


# --- lockout -------------------------------------------------------------------------------


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


# --- sessions ------------------------------------------------------------------------------


@transaction.atomic
def start_session(
    user: User, *, ip: str | None, user_agent: str, second_factor: bool = False
) -> tuple[Session, str]:
    """A login that succeeded: the stored session and its JWT."""
    session = Session.objects.create(
        user=user,
        expires_at=timezone.now() + timedelta(hours=settings.MSS_SESSION_HOURS),
        ip=ip,
        user_agent=user_agent[:300],
        second_factor=second_factor,
    )
    user.last_login = session.created_at
    user.save(update_fields=["last_login"])
    audit(
        "login",
        actor=user,
        subject=user,
        ip=ip,
        jti=session.jti.hex,
        second_factor=second_factor,
    )
    return session, tokens.session_jwt(session)


@transaction.atomic
def end_session(session: Session, *, actor: User | None, ip: str | None = None) -> None:
    """Revoke one session; its JWT is worth nothing from now on."""
    if session.revoked_at is None:
        session.revoked_at = timezone.now()
        session.save(update_fields=["revoked_at"])
        audit("session.ended", actor=actor, subject=session.user, ip=ip, jti=session.jti.hex)


def end_sessions(user: User, *, keep: str | None = None) -> int:
    """Revoke all of a user's sessions but `keep` (a `jti`); how many that were."""
    now = timezone.now()
    open_sessions = Session.objects.filter(user=user, revoked_at=None, expires_at__gt=now)
    if keep is not None:
        open_sessions = open_sessions.exclude(jti=keep)
    ended = open_sessions.update(revoked_at=now)
    forget_user(user.pk)
    return ended


@transaction.atomic
def end_all_sessions(
    user: User, *, keep: str | None = None, actor: User | None, ip: str | None = None
) -> int:
    """As `end_sessions`, as an act of its own. Of a shared account nobody who uses it ends
    the others' sessions."""
    _require_manage(actor, user)
    if user.shared and actor is not None and actor.pk == user.pk:
        return 0
    ended = end_sessions(user, keep=keep)
    audit("sessions.ended", actor=actor, subject=user, ip=ip, ended=ended)
    return ended


# --- API tokens ----------------------------------------------------------------------------


@transaction.atomic
def create_api_token(
    user: User,
    *,
    label: str,
    scopes: Iterable[str] | None,
    expires_at: datetime | None,
    actor: User,
    ip: str | None = None,
    networks: Iterable[str] = (),
    in_path: bool = False,
) -> tuple[ApiToken, str]:
    """A new API token: the row and the token itself, which exists nowhere else.

    `networks`: addresses and networks it may be used from; none: from anywhere. `in_path`:
    whether it may stand in an address (`/t/<token>/…`).

    Raises:
        PermissionDenied for a shared account; BadRequest, field `networks`
    """
    require_own_account(user)
    allowed = normalised_networks(networks)
    token = tokens.new_api_token()
    row = ApiToken.objects.create(
        user=user,
        token_hash=tokens.token_hash(token),
        label=label,
        scopes=None if scopes is None else sorted(scopes),
        expires_at=expires_at,
        networks=allowed,
        in_path=in_path,
    )
    audit(
        "token.created",
        actor=actor,
        subject=user,
        ip=ip,
        token=row.token_hash_prefix,
        label=label,
        networks=allowed,
        in_path=in_path,
    )
    return row, token


def normalised_networks(networks: Iterable[str]) -> list[str]:
    """Each network once, in the form in which it is compared."""
    try:
        return list(dict.fromkeys(str(addresses.network(text)) for text in networks))
    except ValueError:
        raise errors.BadRequest(
            english("networks: give addresses or networks, like 192.168.0.0/16."), field="networks"
        ) from None


@transaction.atomic
def revoke_api_token(row: ApiToken, *, actor: User | None, ip: str | None = None) -> None:
    """Delete an API token; it stops working at once."""
    prefix = row.token_hash_prefix
    subject = row.user
    row.delete()
    audit("token.revoked", actor=actor, subject=subject, ip=ip, token=prefix, label=row.label)


# --- first start ---------------------------------------------------------------------------


@transaction.atomic
def new_setup_token() -> str:
    """The token that `/register` asks for: the configured one, else a fresh one. Any former
    one is void."""
    token = settings.MSS_SETUP_TOKEN or secrets.token_urlsafe(24)
    SetupToken.objects.all().delete()
    SetupToken.objects.create(token_hash=tokens.token_hash(token))
    return token


def check_setup_token(token: str) -> bool:
    """Whether `token` is the current setup token (constant time)."""
    row = SetupToken.objects.first()
    return row is not None and constant_time_compare(row.token_hash, tokens.token_hash(token))


def remove_stale() -> int:
    """Delete API tokens that expired a day ago or more, sessions that ended so long ago that
    they tell no more from where somebody logs in, links that are shown no more, and what was
    begun and not finished in time; how many went."""
    now = timezone.now()
    expired, _ = ApiToken.objects.filter(expires_at__lt=now - timedelta(days=1)).delete()
    limit = now - lockout.FAMILIAR_FOR
    over = Q(expires_at__lt=limit) | Q(revoked_at__lt=limit)
    unused = Q(last_used_at__lt=limit - session_idle())
    ended, _ = Session.objects.filter(over | unused).delete()
    old, _ = AccountLink.objects.filter(expires_at__lt=now - LINKS_SHOWN_FOR).delete()
    begun, _ = Challenge.objects.filter(expires_at__lt=now).delete()
    return ended + expired + old + begun
