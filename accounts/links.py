"""Invitations and password links: addresses that let somebody in once, without a password.

A link works for whoever has it. So only its hash is kept, it works once and not for long, and
not any more when whoever made it could no longer make it.
"""

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import errors, lockout, ranks, services, tokens
from accounts.audit import audit
from accounts.models import AccountLink, Role, User
from accounts.sentences import english

INVITATION_DAYS: Final = 7
MAX_INVITATION_DAYS: Final = 90
PASSWORD_LINK_LIFE: Final = timedelta(hours=24)
# Whoever names an account at /forgot fills its owner's mailbox no faster than this.
FORGOTTEN_EVERY: Final = timedelta(minutes=10)
# Accounts may have one e-mail address together; not more of them are looked at.
MAX_FORGOTTEN: Final = 5

# Path, and the parameter that carries the token. Its name ends in `token`, so that the log's
# scrubber knows it (`mssproject.logging`).
_PLACES: Final = {
    AccountLink.Kind.INVITATION: ("join", "invite_token"),
    AccountLink.Kind.PASSWORD: ("reset", "reset_token"),
}


def address(origin: str, link: AccountLink, token: str) -> str:
    """What to give to the person: the link itself, below e.g. `https://gateway.example`."""
    path, parameter = _PLACES[AccountLink.Kind(link.kind)]
    return f"{origin}/{path}?{parameter}={token}"


def state(link: AccountLink) -> str:
    """What has become of it, in a word."""
    if link.used_at is not None:
        return "used"
    if link.expires_at <= timezone.now():
        return "expired"
    return "open" if _still_stands(link) else "void"


def _still_stands(link: AccountLink) -> bool:
    """Whether who made it could make it today."""
    if link.created_by is None:  # deleted in the meantime
        return False
    try:
        if link.kind == AccountLink.Kind.INVITATION:
            assert link.role is not None
            _require_may_invite(link.created_by, link.role)
        else:
            assert link.user is not None
            _require_may_make_password_link(link.created_by, link.user)
            # Mailed to an address that was the account's then; a new one is a reason to ask anew.
            return link.email in ("", link.user.email)
    except errors.GatewayError:
        return False
    return True


def _found(kind: AccountLink.Kind, token: str) -> AccountLink:
    """The open link of this token.

    Raises:
        TokenInvalid: for every reason the same
    """
    link = (
        AccountLink.objects.select_related("role", "user__role", "created_by__role")
        .filter(kind=kind, token_hash=tokens.token_hash(token))
        .first()
    )
    if link is None or state(link) != "open":
        raise _void()
    return link


def _void() -> errors.TokenInvalid:
    return errors.TokenInvalid(english("This link does not work any more. Ask for a new one."))


def _use(link: AccountLink) -> None:
    """Use it up. Of several requests with one link only one gets here past the update."""
    now = timezone.now()
    if not AccountLink.objects.filter(pk=link.pk, used_at=None).update(used_at=now):
        raise _void()


# --- invitations ---------------------------------------------------------------------------


def _require_may_invite(actor: User, role: Role) -> None:
    if not (actor.is_staff and actor.has_perm("accounts.add_accountlink")):
        raise errors.PermissionDenied("You may not invite anybody.")
    ranks.require_may_give(actor, role)


def may_invite(actor: User, role: Role) -> bool:
    """Whether `actor` may invite somebody to be a `role`: nobody above themselves, no owner."""
    try:
        _require_may_invite(actor, role)
    except errors.PermissionDenied:
        return False
    return True


@transaction.atomic
def create_invitation(
    role: Role,
    *,
    actor: User,
    days: int = INVITATION_DAYS,
    email: str = "",
    note: str = "",
    ip: str | None = None,
) -> tuple[AccountLink, str]:
    """An invitation that is good for `days`, and its token, which exists nowhere else.

    Raises:
        PermissionDenied: see `may_invite`
        BadRequest with `field`: days, email, note
    """
    _require_may_invite(actor, role)
    if not 1 <= days <= MAX_INVITATION_DAYS:
        raise errors.BadRequest(
            f"An invitation is good for 1 to {MAX_INVITATION_DAYS} days.", field="days"
        )
    token = tokens.new_link_token()
    link = AccountLink(
        kind=AccountLink.Kind.INVITATION,
        token_hash=tokens.token_hash(token),
        role=role,
        email=email,
        note=" ".join(note.split()),
        created_by=actor,
        expires_at=timezone.now() + timedelta(days=days),
    )
    try:
        link.clean_fields()
    except ValidationError as error:
        field, (fault, *_) = next(iter(error.message_dict.items()))
        raise errors.BadRequest(fault, field=field) from None
    link.save()
    audit(
        "invitation.created",
        actor=actor,
        ip=ip,
        role=role.slug,
        expires_at=link.expires_at,
        note=link.note,
        email=link.email,
    )
    return link, token


def open_invitation(token: str) -> AccountLink:
    """The invitation behind a token.

    Raises:
        TokenInvalid: unknown, used, expired, revoked, or its maker may not give the role now
    """
    return _found(AccountLink.Kind.INVITATION, token)


@transaction.atomic
def accept_invitation(token: str, *, username: str, password: str, ip: str | None = None) -> User:
    """Make the account that an invitation promises. What is refused leaves the link usable.

    Raises:
        TokenInvalid; as `services.create_user` for a bad name or password
    """
    link = open_invitation(token)
    _use(link)
    assert link.role is not None and link.created_by is not None
    user = services.create_user(
        username=username, password=password, role=link.role.slug, actor=None, ip=ip
    )
    if link.email:
        user.email = link.email
        user.save(update_fields=["email"])
    audit(
        "invitation.accepted",
        actor=user,
        subject=user,
        ip=ip,
        role=link.role.slug,
        invited_by=link.created_by.username,
        note=link.note,
    )
    return user


# --- password links ------------------------------------------------------------------------


def _require_may_make_password_link(actor: User, user: User) -> None:
    ranks.require_own_account(user)
    if not user.is_active:
        raise errors.PermissionDenied("This account is disabled. Enable it first.")
    if actor.pk == user.pk:
        return
    manages = actor.is_staff and actor.has_perm("accounts.change_user")
    if not manages or not ranks.may_manage(actor, user):
        raise errors.PermissionDenied("You may not change this account.")


def may_make_password_link(actor: User, user: User) -> bool:
    """Whether `actor` may let `user` choose a new password."""
    try:
        _require_may_make_password_link(actor, user)
    except errors.PermissionDenied:
        return False
    return True


@transaction.atomic
def create_password_link(
    user: User, *, actor: User, ip: str | None = None
) -> tuple[AccountLink, str]:
    """A link by which `user` sets a new password within 24 hours, and its token, which exists
    nowhere else. Former ones of the account are void.

    Raises:
        PermissionDenied: not theirs to manage, a disabled or shared account
    """
    _require_may_make_password_link(actor, user)
    link, token = _new_password_link(user, actor)
    audit("password_link.created", actor=actor, subject=user, ip=ip, email=link.email)
    return link, token


@transaction.atomic
def require_new_password(
    user: User, *, actor: User, ip: str | None = None
) -> tuple[AccountLink, str]:
    """As `create_password_link`; and the present password does not work any more, sessions end.
    API tokens stay.

    Raises:
        PermissionDenied: as there, and of one's own account
    """
    if actor.pk == user.pk:
        raise errors.PermissionDenied("Change your own password on your account page.")
    _require_may_make_password_link(actor, user)
    services.void_password(user, actor=actor, ip=ip)
    return create_password_link(user, actor=actor, ip=ip)


@transaction.atomic
def forgotten_password_link(user: User, *, ip: str | None) -> tuple[AccountLink, str] | None:
    """As `create_password_link`, for somebody who says they are `user`: to be mailed to the
    account's address and shown to nobody. None if the last link is too young."""
    # Of two at once the second waits here and finds the first one's link.
    user = User.objects.select_for_update(of=("self",)).select_related("role").get(pk=user.pk)
    if not (user.email and may_make_password_link(user, user)):
        return None
    since = timezone.now() - FORGOTTEN_EVERY
    lately = AccountLink.objects.filter(
        kind=AccountLink.Kind.PASSWORD, user=user, created_at__gt=since
    )
    if lately.exists():
        return None
    link, token = _new_password_link(user, user)
    audit("password_link.created", subject=user, ip=ip, email=link.email, forgotten=True)
    return link, token


def _new_password_link(user: User, maker: User) -> tuple[AccountLink, str]:
    User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    if maker == user:
        # Whoever names this account at /forgot must not void what an administrator gave out.
        services.void_password_links(user, made_by=user)
    else:
        services.void_password_links(user)
    token = tokens.new_link_token()
    link = AccountLink.objects.create(
        kind=AccountLink.Kind.PASSWORD,
        token_hash=tokens.token_hash(token),
        user=user,
        email=user.email if settings.MSS_MAIL else "",
        created_by=maker,
        expires_at=timezone.now() + PASSWORD_LINK_LIFE,
    )
    return link, token


def may_have_forgotten(name: str) -> list[User]:
    """The accounts that somebody means who types this user name or e-mail address."""
    named = User.objects.filter(Q(username__iexact=name) | Q(email__iexact=name)).exclude(email="")
    return list(named.select_related("role")[:MAX_FORGOTTEN])


def open_password_link(token: str) -> AccountLink:
    """The password link behind a token.

    Raises:
        TokenInvalid: unknown, used, expired, void, or its maker may not manage the account now
    """
    return _found(AccountLink.Kind.PASSWORD, token)


@transaction.atomic
def set_forgotten_password(
    token: str, password: str, *, keep_tokens: bool = False, ip: str | None = None
) -> User:
    """Set the password of the account that a link is for; ends all its sessions. The second
    factor stays what it is. What is refused leaves the link usable.

    Raises:
        TokenInvalid; BadRequest for a weak password
    """
    link = open_password_link(token)
    _use(link)
    user, maker = link.user, link.created_by
    assert user is not None and maker is not None
    services.set_password(user, password, actor=user, ip=ip, keep_tokens=keep_tokens)
    # Who forgot a password has tried several; they may use the new one now.
    lockout.unlock(username=user.username)
    audit("password_link.used", actor=user, subject=user, ip=ip, made_by=maker.username)
    return user


# --- both ----------------------------------------------------------------------------------


def may_revoke(actor: User, link: AccountLink) -> bool:
    """Whether `actor` may take a link back: whoever could make it."""
    if link.kind == AccountLink.Kind.INVITATION:
        assert link.role is not None
        return may_invite(actor, link.role)
    assert link.user is not None
    return ranks.may_manage(actor, link.user)


@transaction.atomic
def revoke(link: AccountLink, *, actor: User, ip: str | None = None) -> None:
    """Take a link back; of one that is used or expired, remove what is shown of it.

    Raises:
        PermissionDenied: see `may_revoke`
    """
    if not may_revoke(actor, link):
        raise errors.PermissionDenied("You may not revoke this link.")
    event = "invitation" if link.kind == AccountLink.Kind.INVITATION else "password_link"
    audit(
        f"{event}.revoked",
        actor=actor,
        subject=link.user,
        ip=ip,
        state=state(link),
        role=link.role_id,
        note=link.note,
    )
    link.delete()


def unsent(link: AccountLink) -> None:
    """Forget a link that nobody has got: the person may ask again at once."""
    link.delete()
