"""The admin's list and form of model grants, and the links to a holder's models.

`comfyproxy.admin_grants` registers it, together with the pages that need ComfyUI's models.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.filters import AllValuesFieldListFilter, RelatedOnlyFieldListFilter
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts import errors, granting, grantreads, holders
from accounts.adminbase import ROLE_FILTER, TellingAdmin, Tool, actor_of
from accounts.capabilities import Capability
from accounts.holders import Holder
from accounts.login import client_ip
from accounts.models import ModelGrant

# The pages of `admin_grantfiles`.
_FORMS: Final = ("csv", "json")
PERMISSION = f"accounts.{Capability.MANAGE_MODEL_SHARING}"


def may_share(request: HttpRequest) -> bool:
    """Whether this member of staff may give models to others."""
    actor = actor_of(request)
    return actor.is_staff and actor.has_perm(PERMISSION)


def models_url(holder: Holder) -> str:
    """The page of a holder's models."""
    args = [holders.kind_of(holder), holder.pk]
    return reverse("admin:accounts_modelgrant_give", args=args)


class GrantForm(forms.ModelForm):
    """One grant. Its holder stays what it is."""

    class Meta:
        model = ModelGrant
        fields = ("user", "role", "team", "folder", "item_name", "source_backend")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.instance.pk:
            chosen = [data[kind] for kind in holders.KINDS if data.get(kind) is not None]
            if len(chosen) != 1 and not any(kind in self.errors for kind in holders.KINDS):
                raise ValidationError("Choose one: a user, a role or a team.")
        names = ("folder", "item_name", "source_backend")
        if all(name in data for name in names):
            try:
                data["given"] = granting.item(*(data[name] for name in names))
            except errors.BadRequest as error:
                self.add_error(error.fields["field"], error.message)
        return data

    def _get_validation_exclusions(self) -> set[str]:
        # The database's constraints would be told by their names: giving what somebody has is
        # no fault here, and of holders `clean` says more.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc] # not in stubs
        return excluded | set(holders.KINDS)


class GrantsAdmin(TellingAdmin):
    """Every change goes through `accounts.granting`, which writes the one row about it."""

    purpose = (
        "Which models people were given: by name or by pattern, to a user, a role or a team. "
        "Whoever's role does not see every model sees and uses only these."
    )
    empty_text = (
        "Nobody was given a model yet. Give some to a role or a user on their page, or tick them "
        "under “Users and models”."
    )
    form = GrantForm
    events = ("grant.added", "grant.changed", "grant.removed")
    told_by_service = frozenset(GrantForm.Meta.fields)
    adds_by_service = True
    list_display = ("held_by", "folder", "item_name", "given_by", "created_at")
    list_display_links = ("item_name",)
    list_select_related = ("user", "role", "team", "granted_by")
    list_filter = (
        ("folder", AllValuesFieldListFilter),
        ("role", RelatedOnlyFieldListFilter),
        ("team", RelatedOnlyFieldListFilter),
        ("source_backend", AllValuesFieldListFilter),
    )
    search_fields = (
        "item_name",
        "folder",
        "user__username",
        "role__slug",
        "role__title",
        "team__name",
        "granted_by__username",
    )
    date_hierarchy = "created_at"

    def list_tools(self, request: HttpRequest) -> Sequence[Tool]:
        query = f"?{request.GET.urlencode()}" if request.GET else ""
        exports = [reverse("admin:accounts_modelgrant_export", args=[form]) for form in _FORMS]
        told = "Export what the list shows"
        return [
            Tool("Users and models", reverse("admin:accounts_modelgrant_matrix")),
            Tool("Import", reverse("admin:accounts_modelgrant_import")),
            *(
                Tool(form.upper(), url + query, title=told)
                for form, url in zip(_FORMS, exports, strict=True)
            ),
        ]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == ROLE_FILTER or super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_share(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_share(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_share(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_share(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_share(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelGrant]:
        # Also for the pages that ask before they delete: each row is named by its holder.
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_readonly_fields(self, request: HttpRequest, obj: ModelGrant | None = None) -> Any:
        return () if obj is None else ("held_by", "given_by", "created_at")

    def get_fields(self, request: HttpRequest, obj: ModelGrant | None = None) -> Any:
        if obj is None:
            return GrantForm.Meta.fields
        return ("held_by", "folder", "item_name", "source_backend", "given_by", "created_at")

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        # Django asks there whether one may look at users; who may not gets a plain list.
        return ("user",) if actor_of(request).has_perm("accounts.view_user") else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "team":
            kwargs["queryset"] = holders.teams()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="holder")
    def held_by(self, obj: ModelGrant) -> str:
        holder = obj.holder
        label = f"{holders.kind_of(holder)} {holder}"
        return format_html('<a href="{}">{}</a>', models_url(holder), label)

    @admin.display(description="by", ordering="granted_by__username")
    def given_by(self, obj: ModelGrant) -> str:
        return "" if obj.granted_by is None else obj.granted_by.username

    def save_model(self, request: HttpRequest, obj: ModelGrant, form: Any, change: bool) -> None:
        actor, ip = actor_of(request), client_ip(request)
        given: granting.Item = form.cleaned_data["given"]
        if change:
            granting.replace(obj, given, actor=actor, ip=ip)
            return
        (row,) = granting.grant(obj.holder, [given], actor=actor, ip=ip)
        obj.pk, obj._state.adding = row.pk, False

    def delete_model(self, request: HttpRequest, obj: ModelGrant) -> None:
        self.delete_queryset(request, ModelGrant.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ModelGrant]) -> None:
        by_holder: dict[Holder, list[granting.Item]] = defaultdict(list)
        for row in queryset.select_related("user", "role", "team"):
            by_holder[row.holder].append(granting.item_of(row))
        with transaction.atomic():
            for holder, items in by_holder.items():
                granting.revoke(holder, items, actor=actor_of(request), ip=client_ip(request))


class LinksToModels(TellingAdmin):
    """Of the admin of users, roles or teams: the way to a holder's models, and how many of
    its grants go with it when it is deleted."""

    def object_tools(self, request: HttpRequest, obj: Any) -> Sequence[Tool]:
        models = [Tool("Models", models_url(obj))] if may_share(request) else []
        return [*super().object_tools(request, obj), *models]

    def tell(self, request: HttpRequest, event: str, obj: Any, **details: Any) -> None:
        if event == self.events[2]:
            given = grantreads.models_given(obj)
            details |= {"model_grants": given} if given else {}
        super().tell(request, event, obj, **details)
