"""Django's permission checks, answered by the user's role."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db.models import QuerySet


class RoleBackend(ModelBackend):
    """Passwords as Django does them; permissions from the role instead of from groups.

    A user's groups are teams: they carry model grants, not permissions.
    """

    def _get_group_permissions(self, user_obj: Any) -> QuerySet[Permission]:
        return Permission.objects.filter(group__role__slug=user_obj.role_id)
