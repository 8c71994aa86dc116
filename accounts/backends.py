"""Django's permission checks, answered by the user's role; passwords, checked in the same time
whoever it is."""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX, make_password, verify_password
from django.contrib.auth.models import Permission
from django.db.models import Max, QuerySet
from django.db.models.functions import Substr

from accounts import importedpasswords
from accounts.models import User


class RoleBackend(ModelBackend):
    """Passwords and permissions: the latter from the role instead of from groups.

    A user's groups are teams: they carry model grants, not permissions.
    """

    def authenticate(
        self, request: Any, username: Any = None, password: Any = None, **kwargs: Any
    ) -> User | None:
        """As Django's, but that a refusal takes as long for each name: also where some passwords
        came with an import and are checked by another hasher. Of these Django says: "we don't
        protect against enumeration"."""
        if username is None or password is None:
            return None
        user = User.objects.filter(username__iexact=username).first()
        stored = UNUSABLE_PASSWORD_PREFIX if user is None else user.password
        if user is not None and self.user_can_authenticate(user):
            is_right = user.check_password(password)
        else:
            # Nothing is changed by it, and an unknown name costs a hash as well.
            verify_password(password, stored)
            is_right = False
        if is_right:
            return user
        _even_out(password, stored)
        return None

    async def aauthenticate(
        self, request: Any, username: Any = None, password: Any = None, **kwargs: Any
    ) -> User | None:
        """The same; Django's own is written out once more."""
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)

    def _get_group_permissions(self, user_obj: Any) -> QuerySet[Permission]:
        return Permission.objects.filter(group__role__slug=user_obj.role_id)


def _even_out(password: str, stored: str) -> None:
    """Make up for what checking `password` against this hash cost less than against the dearest
    imported one: as long as any are left, each refusal costs one Argon2 hash and that."""
    highest = _highest_cost()
    if highest is None:
        return
    checked = importedpasswords.cost_of(stored)
    if checked is not None:
        make_password(password)
    importedpasswords.spend(password, highest, checked)


def _highest_cost() -> int | None:
    """Of the imported hashes that are left."""
    imported = User.objects.filter(password__startswith=importedpasswords.PREFIX)
    place = importedpasswords.COST_AT + 1
    found = imported.aggregate(cost=Max(Substr("password", place, 2)))["cost"]
    return None if found is None else int(found)
