"""From a token to an Identity: verification, the cache before it, its invalidation.

`identify` serves every entry: the gateway's two lanes, the socket, the API views and the
admin. On a cache miss the database is asked once, by one statement, and by another for the
models of who may not see all.
"""

import json
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import time
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.utils import timezone

from accounts import addresses, errors, metrics, queries, tokens
from accounts.addresses import Network
from accounts.bus import bus
from accounts.capabilities import Capability
from accounts.credentials import Credential, Place
from accounts.dbthread import in_db_thread, later
from accounts.grants import NONE, Grants, shared
from accounts.identity import Auth, Identity
from accounts.identity_cache import IdentityCache
from accounts.models import ApiToken, ModelGrant, Role, Session, User
from accounts.requestnotes import note_user

logger = logging.getLogger(__name__)

CHANGED: Final = "identities"
LAST_USED_STEP: Final = timedelta(minutes=1)
_AGGREGATE: Final = {"sqlite": "group_concat", "postgresql": "string_agg"}
_CAPABILITIES: Final = {str(capability): capability for capability in Capability}

cache = IdentityCache()


async def identify(credential: Credential | None, address: str | None = None) -> Identity:
    """Who sent this token from `address`. Without one, a token that is limited to networks is
    refused.

    Raises:
        AuthRequired, TokenInvalid, TokenExpired, TokenRevoked (also for a disabled user)
        IpBlocked: a good token, but not from there
    """
    if credential is None:
        raise errors.AuthRequired
    digest = sha256(credential.token.encode()).digest()
    found = cache.get(digest)
    metrics.looked_up("identity", was_there=found is not None)
    if found is None:
        found = await in_db_thread(_ask_database, credential.token, digest, address)
    return _checked(found, credential, address)


def identify_sync(credential: Credential | None, address: str | None = None) -> Identity:
    """As `identify`, for code that is not async."""
    if credential is None:
        raise errors.AuthRequired
    digest = sha256(credential.token.encode()).digest()
    found = cache.get(digest) or _ask_database(credential.token, digest, address)
    return _checked(found, credential, address)


def _checked(
    found: Identity | errors.GatewayError, credential: Credential, address: str | None
) -> Identity:
    if isinstance(found, errors.GatewayError):
        # A fresh exception: a cached one would collect tracebacks of every request.
        raise type(found)()
    if found.expires_at is not None and found.expires_at <= time():
        raise errors.TokenExpired
    if credential.place is Place.BASIC and found.auth is not Auth.API_TOKEN:
        raise errors.TokenInvalid("With Basic authentication the password must be an API token.")
    if credential.place is Place.PATH and not found.in_path:
        raise errors.TokenInvalid("This token may not stand in an address.")
    if not found.admits(address):
        raise errors.IpBlocked("This token may not be used from your address.")
    note_user(found.user_id)
    return found


def _ask_database(token: str, digest: bytes, address: str | None) -> Identity | errors.GatewayError:
    generation = cache.generation
    result: Identity | errors.GatewayError
    try:
        if tokens.is_api_token(token):
            result = _api_token_identity(token, address)
        else:
            result = _session(token)
    except errors.Unauthenticated as refusal:
        result = refusal
    cache.put(digest, result, generation=generation)
    return result


# One statement: the proof's row, its user, the role, and all capabilities as one text.
_SELECT: Final = """
SELECT u.id, u.username, u.namespace, u.is_active, r.slug, r.rank,
       COALESCE(u.sfw_enforced, r.sfw_enforced), COALESCE(u.mfa_required, r.mfa_required),
       r.blocked_node_classes, proof.expires_at, proof.last_used_at,
       (SELECT {aggregate}(p.codename, ',') FROM auth_permission p WHERE p.id IN (
            SELECT gp.permission_id FROM auth_group_permissions gp
             WHERE gp.group_id = r.group_ptr_id
            UNION SELECT up.permission_id FROM accounts_user_user_permissions up
             WHERE up.user_id = u.id)),
       r.max_waiting_prompts, r.max_prompt_bytes, {extra}, u.shared
  FROM {table} proof
  JOIN accounts_user u ON u.id = proof.user_id
  JOIN accounts_role r ON r.slug = u.role_id
 WHERE proof.{key} = %s
"""


# What somebody was given, by themselves, through their role and through their teams.
_GRANTS: Final = """
SELECT g.folder, g.item_name FROM accounts_modelgrant g
 WHERE (g.user_id = %s OR g.role_id = %s OR g.team_id IN (
            SELECT m.group_id FROM accounts_user_groups m WHERE m.user_id = %s))
   AND g.source_backend IN (%s, %s)
"""


def _grants(user_id: int, role: str) -> Grants:
    values: list[int | str] = [user_id, role, user_id, *queries.backends_here()]
    with connection.cursor() as cursor:
        cursor.execute(_GRANTS, values)
        return shared(frozenset(cursor.fetchall()))


def _row(table: str, key: str, extra: str, value: Any) -> tuple[Any, ...] | None:
    sql = _SELECT.format(aggregate=_AGGREGATE[connection.vendor], table=table, key=key, extra=extra)
    with connection.cursor() as cursor:
        cursor.execute(sql, [value])
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def _session(token: str) -> Identity:
    jti = tokens.read_session_jwt(token)
    value = Session._meta.pk.get_db_prep_value(jti, connection)
    row = _row("accounts_session", "jti", "proof.revoked_at, proof.second_factor", value)
    if row is None or row[14] is not None:
        raise errors.TokenRevoked
    idle = queries.session_idle()
    end, used = _utc(row[9]), _utc(row[10])
    identity = replace(
        _identity(row, Auth.SESSION, expires_at=min(end, used + idle)),
        jti=jti.hex,
        second_factor=bool(row[15]),
    )
    now = timezone.now()
    if now - used < min(LAST_USED_STEP, idle / 4):
        return identity
    later(Session._default_manager.filter(pk=jti).update, last_used_at=now)
    # It lives on from now, also in the memory: what is written is not read again at once.
    return replace(identity, expires_at=min(end, now + idle).timestamp())


def _api_token_identity(token: str, address: str | None) -> Identity:
    row = _row(
        "accounts_apitoken",
        "token_hash",
        "proof.id, proof.scopes, proof.networks, proof.in_path",
        tokens.token_hash(token),
    )
    if row is None:
        raise errors.TokenInvalid
    identity = replace(
        _identity(row, Auth.API_TOKEN, expires_at=_utc(row[9]), scopes=_loaded(row[15])),
        token_id=row[14],
        networks=_networks(_loaded(row[16])),
        in_path=bool(row[17]),
    )
    used, now = _utc(row[10]), timezone.now()
    # A refused request is no use: from where somebody only tried does not belong there.
    if identity.admits(address) and (used is None or now - used >= LAST_USED_STEP):
        written = {"last_used_at": now} | _used_from(address)
        later(ApiToken._default_manager.filter(pk=row[14]).update, **written)
    return identity


def _used_from(address: str | None) -> dict[str, str]:
    parsed = addresses.address(address or "")
    return {} if parsed is None else {"last_used_ip": str(parsed)}


def _networks(stored: Any) -> tuple[Network, ...] | None:
    """The networks a token is limited to. What cannot be read lets nobody in."""
    if stored is None or stored == []:
        return None
    found = []
    for text in stored if isinstance(stored, list) else ():
        with suppress(ValueError):
            found.append(addresses.network(str(text)))
    return tuple(found)


def _identity(
    row: tuple[Any, ...],
    auth: Auth,
    *,
    expires_at: datetime | None,
    scopes: list[str] | None = None,
) -> Identity:
    if not row[3]:
        raise errors.TokenRevoked
    if expires_at is not None and expires_at <= timezone.now():
        raise errors.TokenExpired
    held = {_CAPABILITIES[name] for name in (row[11] or "").split(",") if name in _CAPABILITIES}
    if scopes is not None:
        held &= {_CAPABILITIES[name] for name in scopes if name in _CAPABILITIES}
    sees_all = Capability.VIEW_ALL_COMFYUI_ITEMS in held
    return Identity(
        user_id=row[0],
        username=row[1],
        namespace=row[2],
        role=row[4],
        rank=row[5],
        capabilities=frozenset(held),
        auth=auth,
        scopes=None if scopes is None else tuple(scopes),
        expires_at=None if expires_at is None else expires_at.timestamp(),
        sfw_enforced=bool(row[6]),
        mfa_required=bool(row[7]),
        blocked_node_classes=frozenset(_loaded(row[8]) or ()),
        max_waiting_prompts=row[12],
        max_prompt_bytes=row[13],
        grants=NONE if sees_all else _grants(row[0], row[4]),
        shared=bool(row[-1]),
    )


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _utc(value: Any) -> Any:
    """SQLite hands out naive times; they are stored in UTC."""
    if value is None or value.tzinfo is not None:
        return value
    return value.replace(tzinfo=UTC)


# --- invalidation -------------------------------------------------------------------------


def forget_user(user_id: int) -> None:
    """Once the transaction is in, no process answers for this user from memory."""
    transaction.on_commit(lambda: _forget_now(user_id))


def forget_everyone() -> None:
    """As `forget_user`, for a change that concerns a whole role."""
    transaction.on_commit(lambda: _forget_now(None))


def _forget_now(user_id: int | None) -> None:
    apply_invalidation(user_id)
    # What is not heard is noticed when the others' entries run out, within 5 s.
    bus.announce(CHANGED, user_id=user_id)


def apply_invalidation(user_id: int | None) -> None:
    """Drop what this process remembers; also called for other processes' announcements."""
    if user_id is None:
        cache.drop_all()
    else:
        cache.drop_user(user_id)


def listen() -> None:
    """From now on other processes' announcements count."""
    bus.on(CHANGED, lambda what: apply_invalidation(what["user_id"]))
    bus.on_gap(cache.drop_all)


def connect_signals() -> None:
    """Watch the rows an Identity is made of, so that the admin and the shell count as well."""

    def user_changed(sender: Any, instance: User, **kwargs: Any) -> None:
        forget_user(instance.pk)

    def proof_changed(sender: Any, instance: Session | ApiToken, **kwargs: Any) -> None:
        forget_user(instance.user_id)

    def role_changed(sender: Any, **kwargs: Any) -> None:
        forget_everyone()

    def grant_changed(sender: Any, instance: ModelGrant, origin: Any = None, **kwargs: Any) -> None:
        if isinstance(origin, User | Group):
            # They go with their holder, thousands of them maybe, and it is announced itself.
            return
        if instance.user_id is None:
            forget_everyone()
        else:
            forget_user(instance.user_id)

    for signal in (post_save, post_delete):
        signal.connect(grant_changed, sender=ModelGrant, weak=False)
        signal.connect(user_changed, sender=User, weak=False)
        signal.connect(proof_changed, sender=Session, weak=False)
        signal.connect(proof_changed, sender=ApiToken, weak=False)
        signal.connect(role_changed, sender=Role, weak=False)
        signal.connect(role_changed, sender=Group, weak=False)
    m2m_changed.connect(role_changed, sender=Group.permissions.through, weak=False)
    m2m_changed.connect(role_changed, sender=User.user_permissions.through, weak=False)
    m2m_changed.connect(role_changed, sender=User.groups.through, weak=False)
