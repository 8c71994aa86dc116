"""What all admin pages share: who acts, what a page says and offers above its rows, refusals told
to the person, a row in the audit log."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.contrib.admin import ShowFacets, helpers
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import Group, Permission
from django.core.paginator import Paginator
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import cached_property

from accounts import errors
from accounts.audit import audit, differences
from accounts.login import client_ip
from accounts.models import User

if TYPE_CHECKING:
    # The theme's, which has no types, is Django's with other templates.
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin

# Fields that hold a secret, even if hashed or encrypted: that they changed is told, not to what.
SECRET_FIELDS: Final = frozenset({"password", "secret", "token", "token_hash", "code_hash"})
MAX_NAMED: Final = 20
NOT_SHOWN: Final = "(not shown)"
# What a list's filter by role puts into the address. Django itself refuses it where a key refers
# to a role's slug (5.2, ModelAdmin.lookup_allowed: models that inherit have no auto field).
ROLE_FILTER: Final = "role__slug__exact"


def actor_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


class CappedPaginator(Paginator):
    """Counts no further than `CAP` rows: counting a million takes longer than showing a hundred."""

    CAP: ClassVar[int] = 10_000

    @cached_property
    def count(self) -> int:
        return min(self._counted, self.CAP)

    @property
    def is_cut(self) -> bool:
        """Whether there are more."""
        return self._counted > self.CAP

    @cached_property
    def _counted(self) -> int:
        # Of the rows alone: neither what the columns tell nor the order matters.
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        return rows.order_by().values("pk")[: self.CAP + 1].count()


@dataclass(frozen=True, slots=True)
class Tool:
    """A button above a list, a form or a page of our own: a link, or what a POST there does."""

    text: str
    url: str
    is_post: bool = False
    title: str = ""
    # What the POST says beside.
    fields: Mapping[str, str] = field(default_factory=dict)


class TellingAdmin(ModelAdmin):
    """Tells the audit log what is added, changed and deleted, and the person what is refused.

    A subclass whose `save_model` or `delete_model` calls a service, which writes its own row,
    names the fields it does that for in `told_by_service`, or does not call this class's
    `delete_model`.
    """

    # The first sentence of its pages; what its list says while nothing is in it.
    purpose = ""
    empty_text = ""
    # The names of the rows: of what is added, changed, deleted.
    events: tuple[str, str, str] = ("admin.added", "admin.changed", "admin.deleted")
    told_by_service: frozenset[str] = frozenset()
    adds_by_service = False
    # Counts for each filter: a look at the whole table for each.
    show_facets = ShowFacets.NEVER
    paginator = CappedPaginator
    list_per_page = 50
    show_full_result_count = False
    # Settings of the theme.
    list_before_template = "admin/before.html"
    change_form_outer_before_template = "admin/before.html"
    list_fullwidth = True

    def list_tools(self, request: HttpRequest) -> Sequence[Tool]:
        """The buttons above the list."""
        return ()

    def object_tools(self, request: HttpRequest, obj: Any) -> Sequence[Tool]:
        """The buttons above a row's form."""
        return ()

    def own_page(
        self,
        request: HttpRequest,
        template: str,
        context: dict[str, Any],
        *,
        purpose: str = "",
        tools: Sequence[Tool] = (),
    ) -> HttpResponse:
        """A page that is neither list nor form; `template` extends `admin/page.html`."""
        above = {"opts": self.opts, "purpose": purpose, "tools": tools}
        shown = {**self.admin_site.each_context(request), **above, **context}
        return render(request, template, shown)

    def is_answered(self, request: HttpRequest) -> bool:
        """Whether the page that `ask` made was answered with yes."""
        return request.POST.get("confirmed") == "yes"

    def ask(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        question: str,
        losses: Sequence[str],
        button: str,
        form: forms.Form | None = None,
    ) -> HttpResponse | None:
        """Of an action: the page that asks whether it is meant and names what will be lost; None
        if that was answered. `form`: what has to be chosen beside, bound once it is answered."""
        if self.is_answered(request) and (form is None or form.is_valid()):
            return None
        context = {
            "title": question,
            "losses": losses,
            "button": button,
            "form": form,
            "rows": [str(row) for row in queryset[:MAX_NAMED]],
            "more": max(0, queryset.count() - MAX_NAMED),
            "chosen": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "action": request.POST.get("action", ""),
            "across": request.POST.get("select_across", "0"),
            "back": request.get_full_path(),
        }
        return self.own_page(request, "admin/ask.html", context)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            return super().get_changelist_instance(request)
        except OverflowError:
            # Django works out the month after December 9999.
            raise IncorrectLookupParameters from None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        above = {"purpose": self.purpose, "tools": self.list_tools(request)}
        return super().changelist_view(request, above | (extra_context or {}))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        original = context.get("original")
        tools = () if original is None else self.object_tools(request, original)
        above = {"purpose": self.purpose, "tools": tools}
        return super().render_change_form(request, above | context, *args, **kwargs)

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        # The last step of saving: many-to-many fields are in, too.
        super().save_related(request, form, formsets, change)
        changes = changes_in(form, without=self.told_by_service)
        if change and changes:
            self.tell(request, self.events[1], form.instance, changes=changes)
        elif not change and not self.adds_by_service:
            self.tell(request, self.events[0], form.instance, changes=changes)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self.tell(request, self.events[2], obj)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            for row in queryset:
                self.delete_model(request, row)

    def tell(self, request: HttpRequest, event: str, obj: models.Model, **details: Any) -> None:
        """Write the audit row about `obj`."""
        subject = obj if isinstance(obj, User) else getattr(obj, "user", None)
        audit(
            event,
            actor=actor_of(request),
            subject=subject if isinstance(subject, User) else None,
            ip=client_ip(request),
            model=str(self.opts.verbose_name),
            object=str(obj),
            **details,
        )

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._told(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._told(request, super().delete_view, *args, **kwargs)

    def _told(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # Django has a transaction around each of these views, so the refusal undoes the change.
        try:
            return view(request, *args, **kwargs)
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.ERROR)
            return redirect(request.path)


class ReadOnlyAdmin(TellingAdmin):
    """Rows that are looked at, not edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_act(self, request: HttpRequest) -> bool:
        """Whether what the page is about may be changed: by buttons of its own, which is why
        `has_change_permission` says no."""
        change = get_permission_codename("change", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{change}")


class LookedAtAdmin(ReadOnlyAdmin):
    """Rows that are not deleted here either."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def changes_in(form: forms.ModelForm, *, without: frozenset[str]) -> dict[str, dict[str, Any]]:
    """What a valid form changed of its model's fields, as the audit log has it."""
    stored = {field.name for field in form.instance._meta.get_fields()}
    names = [name for name in form.changed_data if name in stored - without]
    return {
        name: {"before": NOT_SHOWN, "after": NOT_SHOWN} if name in SECRET_FIELDS else change
        for name, change in differences(
            {name: _plain(form, name, form.initial.get(name)) for name in names},
            {name: _plain(form, name, form.cleaned_data[name]) for name in names},
        ).items()
    }


def _plain(form: forms.ModelForm, name: str, value: Any) -> Any:
    """A form field's value as JSON can hold it: rows by what they are called."""
    if isinstance(value, list | tuple | QuerySet):
        return sorted(map(_name, value))
    # A foreign key is initially a key and afterwards a row.
    if isinstance(value, models.Model):
        return form.fields[name].prepare_value(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _name(value: Any) -> str:
    match value:
        case Permission():
            return value.codename
        case Group():  # roles too, whose name is their slug
            return value.name
        case _:
            return str(value)
