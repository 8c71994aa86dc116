"""What belongs to imported users: second factors, API tokens, models, keys for sites."""

import base64
import binascii
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.utils import timezone

from accounts.models import ApiToken
from accounts.mssimport.formerkeys import FormerKeys
from accounts.mssimport.planned import Plan, PlannedUser, Refused, some
from accounts.mssimport.reading import Found
from accounts.mssimport.records import FormerToken

# RFC 4226 asks for 16 bytes at least; the library that made them makes 20.
SECRET_BYTES: Final = range(10, 65)


def plan_factors(plan: Plan, keys: FormerKeys, config: Mapping[str, Any]) -> None:
    """Adds the secrets of authenticator apps.

    Raises:
        Refused: some cannot be read, and their users would be without
    """
    enrolled = [planned for planned in plan.users if planned.former.mfa]
    for planned in enrolled:
        planned.totp = _secret(keys.decrypt(planned.former.totp))
    unreadable = [planned.former.username for planned in enrolled if planned.totp is None]
    if unreadable:
        raise Refused(
            f"The second factors of these users cannot be read: {some(unreadable)}. Put the "
            "former SECRET_KEY into a file and name that with --secret-key-file; or say "
            "--reset-mfa, and they set up new ones when they log in next."
        )
    if enrolled and config.get("mfa_disabled") is True:
        plan.notes.append(
            f"Second factors were switched off there; here those of {len(enrolled)} users are in "
            "force again. Say --reset-mfa if they may have lost them."
        )


def _secret(text: str | None) -> bytes | None:
    """What an authenticator app shares, from base32 as pyotp makes it (utils/users_db.py)."""
    plain = "" if text is None else text.strip().upper()
    try:
        found = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except (binascii.Error, ValueError):
        return None
    return found if len(found) in SECRET_BYTES else None


def plan_belongings(plan: Plan, found: Found, keys: FormerKeys) -> None:
    """Adds tokens, models and keys to the users they are of."""
    people = {planned.former.former_id: planned for planned in plan.users}
    lost = Counter[str]()
    _plan_tokens(plan, found, people, lost)
    given = set()
    for grant in found.grants:
        holder = people.get(grant.former_id)
        if holder is None:
            lost["models"] += 1
        elif (grant.former_id, grant.item) not in given:
            given.add((grant.former_id, grant.item))
            holder.grants.append(grant)
    for key in found.site_keys:
        holder, value = people.get(key.former_id), keys.decrypt(key.value)
        if holder is None:
            lost["keys for sites"] += 1
        elif value is None:
            why = "It is encrypted under a SECRET_KEY that was not given. They store it anew."
            plan.leave(f"key of {holder.former.username} for {key.source}", why)
        else:
            holder.site_keys.append((key.source, value))
    for what, number in lost.items():
        plan.leave(f"{number} {what}", "They are of users who are left out, or were deleted there.")


def _plan_tokens(
    plan: Plan, found: Found, people: Mapping[str, PlannedUser], lost: Counter[str]
) -> None:
    by_name = {planned.former.name: planned for planned in plan.users}
    known = {user.former_id for user in found.users}
    taken = set(_there(found.tokens))
    now = timezone.now()
    for token in found.tokens:
        holder = people.get(token.former_id)
        if holder is None and token.former_id not in known:
            holder = by_name.get(token.username)
        if holder is None:
            lost["API tokens"] += 1
            continue
        why = None
        if token.expires_at is not None and token.expires_at <= now:
            why = "It has expired."
        elif token.username not in ("", holder.former.name):
            why = "It names two users."
        elif token.token_hash in taken:
            why = "There is one like it."
        if why is not None:
            plan.leave(f"API token {token.token_hash[:8]}… of {holder.former.username}", why)
            continue
        taken.add(token.token_hash)
        holder.tokens.append(token)


def _there(tokens: list[FormerToken]) -> Iterator[str]:
    """Those of the hashes that are in use here."""
    hashes = [token.token_hash for token in tokens]
    for start in range(0, len(hashes), 500):
        rows = ApiToken.objects.filter(token_hash__in=hashes[start : start + 500])
        yield from rows.values_list("token_hash", flat=True)
