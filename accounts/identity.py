"""Who is asking: one frozen object, made once per request and carried through."""

from dataclasses import dataclass
from enum import StrEnum

from accounts import addresses
from accounts.addresses import Network
from accounts.capabilities import Capability
from accounts.errors import PermissionDenied
from accounts.grants import NONE, Grants


class Auth(StrEnum):
    """How the caller proved who they are."""

    SESSION = "session"
    API_TOKEN = "api_token"  # noqa: S105 - a kind, not a secret


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller of a request or socket.

    `capabilities` are already role ∩ token scopes. `expires_at` is in seconds since the
    epoch (None: never); of a session that is used it moves on. `jti` is set for a session,
    `token_id` for an API token. `second_factor`: whether this login proved one. `networks`:
    where the token may be used from (None: anywhere); `in_path`: whether `/t/<token>/…` is
    open to it. `shared`: several people use the account at once (the guest's): nothing of
    theirs is kept in it.
    """

    user_id: int
    username: str
    namespace: str
    role: str
    rank: int
    capabilities: frozenset[Capability]
    auth: Auth
    scopes: tuple[str, ...] | None = None
    jti: str | None = None
    token_id: int | None = None
    expires_at: float | None = None
    sfw_enforced: bool = False
    mfa_required: bool = False
    blocked_node_classes: frozenset[str] = frozenset()
    max_waiting_prompts: int | None = None
    max_prompt_bytes: int | None = None
    second_factor: bool = False
    networks: tuple[Network, ...] | None = None
    in_path: bool = False
    shared: bool = False
    # Which models they were given; whoever may see all models is given none of them.
    grants: Grants = NONE

    def admits(self, address: str | None) -> bool:
        """Whether the token may be used from there. From what is no address only one that may
        be used from anywhere."""
        if self.networks is None:
            return True
        parsed = addresses.address(address or "")
        return parsed is not None and any(parsed in network for network in self.networks)

    def can(self, capability: Capability) -> bool:
        """Whether the caller holds `capability`."""
        return capability in self.capabilities

    def require(self, capability: Capability) -> None:
        """Raise PermissionDenied, naming the capability, unless the caller holds it."""
        if capability not in self.capabilities:
            raise PermissionDenied(permission=str(capability))
