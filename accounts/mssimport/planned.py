"""What an import is going to do, as it is planned, shown and done."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from accounts.capabilities import Capability
from accounts.models import IpRule, new_namespace
from accounts.mssimport.reading import Left
from accounts.mssimport.records import FormerGrant, FormerNetwork, FormerToken, FormerUser

_SHOWN = 20


class Refused(Exception):
    """Why nothing is imported at all, as a sentence."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for at the console."""

    fail_on_conflict: bool = False
    owner: str | None = None
    ip_rules: bool = False
    reset_mfa: bool = False
    match_roles: bool = False


@dataclass(frozen=True, slots=True)
class PlannedRole:
    """A role to be made; or, with `exists`, to hold just these capabilities from now on."""

    slug: str
    title: str
    capabilities: frozenset[Capability]
    mfa_required: bool
    exists: bool = False


@dataclass
class PlannedUser:
    """An account to be made. `totp`: the secret of its authenticator app. `site_keys`: site and
    key."""

    former: FormerUser
    role: str
    namespace: str = field(default_factory=new_namespace)
    totp: bytes | None = None
    tokens: list[FormerToken] = field(default_factory=list)
    grants: list[FormerGrant] = field(default_factory=list)
    site_keys: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sets_up_mfa(self) -> bool:
        """Whether they had a second factor that is not taken over."""
        return self.former.mfa and self.totp is None


@dataclass
class Plan:
    """All that an import would do. It holds secrets: what is shown of it is made by
    `accounts.mssimport.report`."""

    product: str
    users: list[PlannedUser] = field(default_factory=list)
    roles: list[PlannedRole] = field(default_factory=list)
    rules: list[tuple[IpRule.Kind, FormerNetwork]] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave(self, what: str, why: str) -> None:
        """Note that something is not taken over."""
        self.left.append(Left(what, why))


def some(names: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
