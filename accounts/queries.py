"""Named reads about accounts."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from accounts.models import ApiToken, Session, User


def backends_here() -> tuple[str, str]:
    """The values of a grant's `source_backend` that mean the ComfyUI which this gateway serves."""
    return "", settings.COMFYUI_URL


def user_by_name(username: str) -> User | None:
    """The account of that name, whatever its case."""
    return User.objects.select_related("role").filter(username__iexact=username).first()


def live_api_tokens(user_id: int) -> list[ApiToken]:
    """A user's API tokens that still work, newest first."""
    now = timezone.now()
    return [row for row in ApiToken.objects.filter(user=user_id) if not row.expired(now)]


def api_tokens_by_prefix(user_id: int, prefix: str) -> list[ApiToken]:
    """A user's own tokens whose hash begins with `prefix`."""
    return list(ApiToken.objects.filter(user=user_id, token_hash__startswith=prefix.lower()))


def team_names(user_id: int) -> list[str]:
    """The plain groups a user is in."""
    user = User.objects.get(pk=user_id)
    return sorted(user.groups.filter(role=None).values_list("name", flat=True))


def session_idle() -> timedelta:
    """How long a session may go unused before it is over."""
    return timedelta(hours=settings.MSS_SESSION_IDLE_HOURS)


def open_sessions(user_id: int) -> list[Session]:
    """A user's sessions that still work, newest first."""
    now = timezone.now()
    return list(
        Session.objects.filter(
            user=user_id,
            revoked_at=None,
            expires_at__gt=now,
            last_used_at__gt=now - session_idle(),
        )
    )


def open_session(user_id: int, jti: UUID) -> Session | None:
    """One of a user's own open sessions."""
    return next((row for row in open_sessions(user_id) if row.jti == jti), None)


def all_users() -> list[User]:
    """Every account, by name."""
    return list(User.objects.select_related("role"))
