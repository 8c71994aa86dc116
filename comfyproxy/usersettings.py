"""Settings of ComfyUI's frontend: a user's own on top of the admin's defaults."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import Count, Sum
from django.db.models.functions import Length

from accounts import errors
from accounts.capabilities import Capability
from accounts.identity import Identity
from comfyproxy.models import SettingDefault, UserSetting

# Of one user together. The frontend has some 300 of a few bytes; extensions keep more.
MAX_BYTES: Final = 2 * 1024 * 1024
MAX_SETTINGS: Final = 2000
MAX_ID_CHARS: Final = 200


@sync_to_async
def shown(identity: Identity) -> dict[str, Any]:
    """What holds for the caller: {id: value}."""
    found: dict[str, Any] = {}
    locked: set[str] = set()
    for default in SettingDefault.objects.all():
        if default.value is not None:
            found[default.setting_id] = default.value
        if default.locked:
            locked.add(default.setting_id)
    unlocked = identity.can(Capability.SEE_RESTRICTED_SETTINGS)
    own = UserSetting.objects.filter(user=identity.user_id)
    for setting_id, value in own.values_list("setting_id", "value"):
        if unlocked or setting_id not in locked:
            found[setting_id] = orjson.loads(value)
    return found


async def save(identity: Identity, changes: Mapping[str, Any]) -> None:
    """Change some of the caller's settings. What is locked for them stays as it is, without
    a word: the frontend saves what it likes when it starts. So does everything of a guest's.

    Raises:
        BadRequest: an id that is none; QuotaExceeded: too many, or too much together
    """
    for setting_id in changes:
        if not setting_id or len(setting_id) > MAX_ID_CHARS or "\0" in setting_id:
            raise errors.BadRequest(f"A setting's id has 1 to {MAX_ID_CHARS} characters.")
    if not identity.shared:
        await _save(identity, changes)


def locked_for(identity: Identity) -> list[str]:
    """The ids of the settings that the admin keeps from this caller."""
    if identity.can(Capability.SEE_RESTRICTED_SETTINGS):
        return []
    kept = SettingDefault.objects.filter(locked=True)
    return list(kept.order_by("setting_id").values_list("setting_id", flat=True))


@sync_to_async
def _save(identity: Identity, changes: Mapping[str, Any]) -> None:
    locked = set(locked_for(identity))
    rows = [
        UserSetting(user_id=identity.user_id, setting_id=key, value=orjson.dumps(value).decode())
        for key, value in changes.items()
        if key not in locked
    ]
    with transaction.atomic():
        _require_room(identity.user_id, rows)
        UserSetting.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["user", "setting_id"],
            update_fields=["value"],
        )


def _require_room(user_id: int, rows: list[UserSetting]) -> None:
    others = UserSetting.objects.filter(user=user_id)
    others = others.exclude(setting_id__in=[row.setting_id for row in rows])
    held = others.aggregate(number=Count("pk"), size=Sum(Length("value")))
    size = (held["size"] or 0) + sum(len(row.value) for row in rows)
    if held["number"] + len(rows) > MAX_SETTINGS or size > MAX_BYTES:
        raise errors.QuotaExceeded("Your settings take too much room. Remove some extensions'.")
