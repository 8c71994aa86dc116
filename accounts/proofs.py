"""What people prove with who they are, as verbs: sessions, API tokens, the setup token. One
transaction and one audit row each.

`actor` is who did it (None: the system or the console), `ip` from where.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts import addresses, errors, lockout, tokens
from accounts.audit import audit
from accounts.authentication import forget_user
from accounts.models import AccountLink, ApiToken, Challenge, Session, SetupToken, User
from accounts.queries import session_idle
from accounts.ranks import require_manage, require_own_account
from accounts.sentences import english

# Links that are used or expired are shown that long.
LINKS_SHOWN_FOR: Final = timedelta(days=30)


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
    require_manage(actor, user)
    if user.shared and actor is not None and actor.pk == user.pk:
        return 0
    ended = end_sessions(user, keep=keep)
    audit("sessions.ended", actor=actor, subject=user, ip=ip, ended=ended)
    return ended


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
