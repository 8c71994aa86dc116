"""Form fields of the admin that say what they mean: capabilities by what they allow, teams, and
settings that a user may have otherwise than their role."""

from collections.abc import Iterator
from typing import Any, Final

from django import forms
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.forms.models import ModelChoiceIterator
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.capabilities import DESCRIPTIONS, Capability
from accounts.models import Role

_ACTIONS: Final = {"view": "see", "add": "add", "change": "change", "delete": "delete"}
# Other packages' models, as the menu calls their pages.
_CALLED: Final = {
    "auth.group": "teams",
    "axes.accessattempt": "failed logins",
    "django_otp_webauthn.webauthncredential": "passkeys",
}


def capability_permissions() -> QuerySet[Permission]:
    """The Django permissions that are capabilities."""
    return Permission.objects.filter(
        content_type__app_label="accounts", codename__in=[str(cap) for cap in Capability]
    )


def permissions_for(role: Role | None) -> QuerySet[Permission]:
    """What a role can be given: capabilities, and what the administration's pages take. Beside
    them what it holds already: a form that did not show that would take it away."""
    paged = [model for model in apps.get_models() if admin.site.is_registered(model)]
    types = [kind.pk for kind in ContentType.objects.get_for_models(*paged).values()]
    held = [] if role is None else list(role.permissions.values_list("pk", flat=True))
    capabilities = Q(pk__in=capability_permissions().values("pk"))
    return Permission.objects.filter(capabilities | Q(content_type__in=types) | Q(pk__in=held))


class Boxes(forms.CheckboxSelectMultiple):
    """Boxes to tick, in a frame that scrolls if they are many."""

    template_name = "admin/boxes.html"


class _InGroups(ModelChoiceIterator):
    """Capabilities first, then the permissions of each part of the administration."""

    def __iter__(self) -> Iterator[Any]:
        groups: dict[str, list[Any]] = {}
        for row in self.queryset.select_related("content_type"):
            if row.codename in DESCRIPTIONS:
                name = "In ComfyUI"
            else:
                kind = row.content_type.model_class()
                plural = row.content_type.name if kind is None else kind._meta.verbose_name_plural
                called = _CALLED.get(f"{row.content_type.app_label}.{row.content_type.model}")
                name = f"Administration: {called or plural}"
            groups.setdefault(name, []).append(self.choice(row))
        first = groups.pop("In ComfyUI", None)
        if first is not None:
            order = [str(capability) for capability in Capability]
            first.sort(key=lambda choice: order.index(choice[0].instance.codename))
            yield "In ComfyUI", first
        yield from sorted(groups.items())


class PermissionsField(forms.ModelMultipleChoiceField):
    """Capabilities and Django permissions, by what they allow."""

    widget = Boxes
    iterator = _InGroups

    def label_from_instance(self, obj: Permission) -> str:
        if obj.codename in DESCRIPTIONS:
            return DESCRIPTIONS[Capability(obj.codename)]
        return _ACTIONS.get(obj.codename.partition("_")[0], obj.name)


class TeamsField(forms.ModelMultipleChoiceField):
    """Plain groups; roles, which are groups as well, are none of them."""

    widget = Boxes

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Group.objects.filter(role=None), **kwargs)


class AsRoleField(forms.NullBooleanField):
    """Yes, no, or as the user's role has it."""

    def __init__(self, **kwargs: Any) -> None:
        choices = (("", "As the role has it"), ("true", "Yes"), ("false", "No"))
        super().__init__(widget=UnfoldAdminSelectWidget(choices=choices), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return {True: "true", False: "false"}.get(value, value or "")
