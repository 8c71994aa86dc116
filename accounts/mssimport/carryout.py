"""Doing what was planned: rows, each user's and each role's with its line in the audit log."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Final

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import crypto, mfa, ranks
from accounts.audit import audit, differences
from accounts.capabilities import OWNER_SLUG, Capability
from accounts.models import (
    ApiToken,
    AuditEntry,
    IpRule,
    ModelGrant,
    Role,
    SetupToken,
    TotpDevice,
    User,
)
from accounts.mssimport.planned import Plan, PlannedRole, PlannedUser, Refused
from accounts.mssimport.records import FormerUser

IMPORTED: Final = "user.imported"
# An id that can be nothing but the name of a folder, wherever it is written.
_FOLDER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@transaction.atomic
def carry_out(plan: Plan) -> dict[str, User]:
    """All of it or nothing. The users that were made, by their former ids.

    Raises:
        Refused: something that was planned has become impossible meanwhile
    """
    try:
        with transaction.atomic():
            return _done(plan)
    except IntegrityError:
        raise Refused("Accounts were changed meanwhile; nothing was imported. Try again.") from None


def _done(plan: Plan) -> dict[str, User]:
    for role in plan.roles:
        _write_role(role)
    people = {planned.former.former_id: _make_user(planned) for planned in plan.users}
    for planned in plan.users:
        _give(planned, people)
    if plan.rules:
        _write_rules(plan)
    if plan.users or plan.roles or plan.rules:
        audit("import.done", product=plan.product, imported=counts(plan), left=len(plan.left))
    return people


def folders(users: Iterable[FormerUser]) -> Iterator[tuple[str, str, str]]:
    """Of those of them who were imported, now or earlier: the name of their former folder, that of
    the new one, and of the user."""
    known = {user.former_id for user in users if _FOLDER.fullmatch(user.former_id)}
    entries = AuditEntry.objects.filter(event=IMPORTED, subject__isnull=False)
    for entry in entries.select_related("subject").order_by("subject_name"):
        former_id = entry.details.get("former_id")
        if entry.subject is not None and former_id in known:
            yield former_id, entry.subject.namespace, entry.subject.username


def counts(plan: Plan) -> dict[str, int]:
    """How much of what there is."""
    found = Counter[str]()
    found["users"] = len(plan.users)
    found["roles"] = len(plan.roles)
    found["ip_rules"] = len(plan.rules)
    for planned in plan.users:
        found["tokens"] += len(planned.tokens)
        found["models"] += len(planned.grants)
        found["second_factors"] += planned.totp is not None
        found["site_keys"] += len(planned.site_keys)
    return dict(found)


def _write_role(planned: PlannedRole) -> None:
    if not planned.exists:
        role = Role(slug=planned.slug, title=planned.title, mfa_required=planned.mfa_required)
        role.save(force_insert=True)
        role.permissions.set(_permissions(planned.capabilities))
        audit("role.imported", role=role.slug, capabilities=sorted(planned.capabilities))
        return
    role = Role.objects.get(slug=planned.slug)
    before = _shown(ranks.capabilities_of_role(role), role.mfa_required)
    role.mfa_required = planned.mfa_required
    role.save()
    role.permissions.set(_permissions(planned.capabilities))
    after = _shown(planned.capabilities, planned.mfa_required)
    audit("role.changed", role=role.slug, changes=differences(before, after))


def _shown(capabilities: frozenset[Capability], mfa_required: bool) -> dict[str, bool]:
    held = {str(each): each in capabilities for each in Capability}
    return held | {"mfa_required": mfa_required}


def _permissions(capabilities: Iterable[Capability]) -> list[Permission]:
    rows = Permission.objects.filter(content_type__app_label="accounts")
    return list(rows.filter(codename__in=list(capabilities)))


def _make_user(planned: PlannedUser) -> User:
    former = planned.former
    user = User(
        username=former.username,
        role_id=planned.role,
        password=former.password or make_password(None),
        namespace=planned.namespace,
        is_active=former.active,
        sfw_enforced=former.sfw,
        mfa_required=True if planned.sets_up_mfa else None,
    )
    user.save(force_insert=True)
    if planned.role == OWNER_SLUG:
        SetupToken.objects.all().delete()
        audit("owner.created", subject=user)
    audit(
        IMPORTED,
        subject=user,
        former_id=former.former_id,
        role=planned.role,
        tokens=len(planned.tokens),
        models=len(planned.grants),
        second_factor=planned.totp is not None,
    )
    return user


def _give(planned: PlannedUser, people: Mapping[str, User]) -> None:
    user = people[planned.former.former_id]
    now = timezone.now()
    ApiToken.objects.bulk_create(
        ApiToken(
            user=user,
            token_hash=token.token_hash,
            label=token.label,
            created_at=token.created_at or now,
            last_used_at=token.last_used_at,
            expires_at=token.expires_at,
        )
        for token in planned.tokens
    )
    ModelGrant.objects.bulk_create(
        ModelGrant(
            user=user,
            **asdict(grant.item),
            granted_by=people.get(grant.granted_by),
            granted_by_role=grant.granted_by_role,
            created_at=grant.created_at or now,
        )
        for grant in planned.grants
    )
    if planned.totp is not None:
        secret = crypto.encrypt(planned.totp.hex())
        name = "Authenticator app"
        TotpDevice.objects.create(user=user, name=name, confirmed=True, secret=secret)
        if planned.former.backup_code is not None:
            mfa.import_backup_code(user, planned.former.backup_code)


def _write_rules(plan: Plan) -> None:
    for kind, network in plan.rules:
        note = f"imported from {plan.product}"
        row = IpRule(kind=kind, network=network.network, expires_at=network.expires_at, note=note)
        row.save(force_insert=True)
    listed = [f"{kind} {network.network}" for kind, network in plan.rules]
    audit("ip_rules.imported", added=listed[:1000], count=len(listed))
