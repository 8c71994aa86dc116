"""What the admin shows of one user beside their account: a tab for each kind of thing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.http import HttpRequest
from django.utils import timezone
from django_otp_webauthn.models import WebAuthnCredential

from accounts import grantreads, mfa, queries, ranks
from accounts.capabilities import DESCRIPTIONS, Capability
from accounts.mfa_models import TotpDevice
from accounts.models import ApiToken, AuditEntry, User

MAX_ROWS: Final = 50


@dataclass(frozen=True, slots=True)
class Tab:
    """A page about a user. Shown to whoever may see the rows of `model` ("accounts.Session");
    the template is given what `context` tells."""

    slug: str
    title: str
    model: str
    template: str
    purpose: str
    context: Callable[[HttpRequest, User], dict[str, Any]]

    def is_shown(self, request: HttpRequest) -> bool:
        model_admin = admin.site.get_model_admin(apps.get_model(self.model))
        return bool(model_admin.has_view_permission(request))


# --- capabilities --------------------------------------------------------------------------


def _capabilities(request: HttpRequest, user: User) -> dict[str, Any]:
    of_role = ranks.capabilities_of_role(user.role)
    own = set(user.user_permissions.values_list("codename", flat=True))

    def source(capability: Capability) -> str:
        by_role = f"role {user.role}" if capability in of_role else ""
        return ", ".join(filter(None, (by_role, "this user alone" if capability in own else "")))

    return {
        "capabilities": [(DESCRIPTIONS[each], str(each), source(each)) for each in Capability],
        "second_factor": _source_of(user, "mfa_required", mfa.is_required(user)),
        "sfw": _source_of(
            user,
            "sfw_enforced",
            user.role.sfw_enforced if user.sfw_enforced is None else user.sfw_enforced,
        ),
        "administration": _administration(user),
    }


def _source_of(user: User, name: str, value: bool) -> str:
    source = f"role {user.role}" if getattr(user, name) is None else "this user alone"
    return f"{'yes' if value else 'no'} ({source})"


def _administration(user: User) -> list[str]:
    """What the user may do in the admin, for people to read."""
    if not user.is_staff:
        return []
    if user.is_superuser:
        return ["Everything, as the role ranks as an administrator's."]
    held = Permission.objects.filter(group=user.role).exclude(
        codename__in=[str(each) for each in Capability]
    )
    return [str(name) for name in held.values_list("name", flat=True)]


# --- models, sessions, tokens, factors, audit ----------------------------------------------


def _models(request: HttpRequest, user: User) -> dict[str, Any]:
    holdings = grantreads.reaching([user])[user.pk]
    grants = [
        (str(holding), folder, name)
        for holding in holdings
        for folder, name in sorted(holding.items)
    ]
    return {
        "grants": grants[:MAX_ROWS],
        "more": max(0, len(grants) - MAX_ROWS),
        "sees_all": bool(grantreads.who_see_all([user])),
    }


def _sessions(request: HttpRequest, user: User) -> dict[str, Any]:
    return {"sessions": queries.open_sessions(user.pk)[:MAX_ROWS]}


def _tokens(request: HttpRequest, user: User) -> dict[str, Any]:
    rows = list(ApiToken.objects.filter(user=user)[:MAX_ROWS])
    now = timezone.now()
    return {"tokens": [(row, row.expired(now)) for row in rows]}


def _factors(request: HttpRequest, user: User) -> dict[str, Any]:
    return {
        "apps": TotpDevice.objects.filter(user=user),
        "passkeys": WebAuthnCredential.objects.filter(user=user),
        "codes": mfa.backup_codes_left(user),
        "required": mfa.is_required(user),
    }


def _audit(request: HttpRequest, user: User) -> dict[str, Any]:
    # Two looks along two indexes: one for both would read all that either finds.
    found = {
        row.pk: row
        for name in ("subject", "actor")
        for row in AuditEntry.objects.filter(**{name: user})[:MAX_ROWS]
    }
    rows = sorted(found.values(), key=lambda row: (row.at, row.pk), reverse=True)
    return {"entries": rows[:MAX_ROWS]}


_FOLDER: Final = "admin/accounts/user/tabs"

CAPABILITIES: Final = Tab(
    "capabilities",
    "Capabilities",
    "accounts.User",
    f"{_FOLDER}/capabilities.html",
    "What this user may do, and where that comes from.",
    _capabilities,
)
MODELS: Final = Tab(
    "models",
    "Grants",
    "accounts.ModelGrant",
    f"{_FOLDER}/models.html",
    "The models this user was given, and through whom.",
    _models,
)
SESSIONS: Final = Tab(
    "sessions",
    "Sessions",
    "accounts.Session",
    f"{_FOLDER}/sessions.html",
    "Where this user is logged in now.",
    _sessions,
)
TOKENS: Final = Tab(
    "tokens",
    "Tokens",
    "accounts.ApiToken",
    f"{_FOLDER}/tokens.html",
    "What this user's apps and scripts come in with.",
    _tokens,
)
FACTORS: Final = Tab(
    "factors",
    "Second factors",
    "accounts.TotpDevice",
    f"{_FOLDER}/factors.html",
    "What this user proves a login with beside the password.",
    _factors,
)
AUDIT: Final = Tab(
    "audit",
    "Audit log",
    "accounts.AuditEntry",
    f"{_FOLDER}/audit.html",
    "What was done by this user and to this account, the latest first.",
    _audit,
)
TABS: Final = (CAPABILITIES, MODELS, SESSIONS, TOKENS, FACTORS, AUDIT)
