"""The admin's pages of roles and teams."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth import admin as auth_admin  # noqa: F401 - it registers Group, see below
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts import ranks
from accounts.admin_grants import LinksToModels
from accounts.admin_rolematrix import ShowsRoleMatrix
from accounts.adminbase import Tool, actor_of
from accounts.adminforms import PermissionsField, permissions_for
from accounts.models import Role

# Django's page for groups would show roles as well; TeamAdmin replaces it.
admin.site.unregister(Group)


class RoleAdmin(ShowsRoleMatrix, LinksToModels):
    """`mssproject.admin` registers it, with what needs ComfyUI's nodes."""

    purpose = (
        "What a kind of user may do. Each user has one role; nobody manages a user whose role "
        "ranks above their own."
    )
    events = ("role.created", "role.changed", "role.deleted")
    list_display = (
        "title",
        "slug",
        "rank",
        "user_count",
        "is_staff",
        "mfa_required",
        "sfw_enforced",
    )
    fields = (
        "title",
        "slug",
        "rank",
        "is_staff",
        "mfa_required",
        "sfw_enforced",
        "max_waiting_prompts",
        "max_prompt_bytes",
        "permissions",
    )

    def list_tools(self, request: HttpRequest) -> Sequence[Tool]:
        return [Tool("Roles and capabilities", reverse("admin:accounts_role_matrix"))]

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> Any:
        return () if obj is None else ("slug",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Role]:
        return super().get_queryset(request).annotate(number=Count("users"))

    @admin.display(description="users", ordering="number")
    def user_count(self, role: Any) -> int:
        return int(role.number)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and actor_of(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        actor = actor_of(request)
        may = actor.is_superuser if obj is None else ranks.may_shape(actor, obj)
        return super().has_change_permission(request, obj) and may

    def has_delete_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return self.has_change_permission(request, obj) and (obj is None or not obj.users.exists())

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "permissions":
            # Which ones depends on the role: see `get_form`.
            return PermissionsField(Permission.objects.none(), required=False, label="May")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_form(
        self, request: HttpRequest, obj: Role | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        offered = form.base_fields.get("permissions")
        if isinstance(offered, PermissionsField):
            offered.queryset = permissions_for(obj)
        return form

    def save_model(self, request: HttpRequest, obj: Role, form: Any, change: bool) -> None:
        if obj.rank > actor_of(request).role.rank:
            raise PermissionDenied
        super().save_model(request, obj, form, change)

    def tell(self, request: HttpRequest, event: str, obj: Any, **details: Any) -> None:
        super().tell(request, event, obj, role=obj.slug, **details)


@admin.register(Group)
class TeamAdmin(LinksToModels):
    """Plain groups. They carry model grants; capabilities are the roles' business."""

    purpose = "Groups of users that models are given to together. What one may do is the role's."
    empty_text = "Make one for people who use the same models, then add them on their pages."
    fields = ("name",)
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).filter(role=None)
