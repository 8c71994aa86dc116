"""Deleting users in the admin: first it is asked what happens to their files."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from accounts import deletion, errors, services
from accounts.adminbase import TellingAdmin, actor_of
from accounts.login import client_ip
from accounts.models import User


def keeps_files(request: HttpRequest) -> bool:
    """What was chosen on the page. Raises BadRequest if nothing was."""
    try:
        return deletion.keeps(request.POST.get("files"))
    except errors.BadRequest:
        raise errors.BadRequest("Nothing was deleted. Choose what happens to the files.") from None


class AsksAboutFiles(TellingAdmin):
    """Of the users' admin: its delete page and its action, each with that question."""

    def get_deleted_objects(self, objs: Iterable[User], request: HttpRequest) -> Any:
        """(what is deleted, counts, kinds the actor may not delete, what stands in the way).

        What an account owns is not listed: it may be thousands of rows.
        """
        users = list(objs)
        shown = [self._link(user) for user in users]
        denied = {
            self.opts.verbose_name
            for user in users
            if not self.has_delete_permission(request, user)
        }
        return shown, {self.opts.verbose_name_plural: len(users)}, denied, []

    def _link(self, user: User) -> str:
        address = reverse("admin:accounts_user_change", args=[user.pk])
        return format_html('<a href="{}">{}</a>', address, user)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        kwargs["extra_context"] = (kwargs.get("extra_context") or {}) | _question()
        return super().delete_view(request, *args, **kwargs)

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> TemplateResponse | None:
        """Django's own, which asks once more where nothing was chosen."""
        try:
            with transaction.atomic():
                page = delete_selected(self, request, queryset)
        except errors.BadRequest as error:
            self.message_user(request, error.message, messages.ERROR)
            unconfirmed = request.POST.copy()
            del unconfirmed["post"]
            # Django's own setter; the stubs take it for a plain attribute.
            request.POST = unconfirmed  # type: ignore[assignment]
            page = delete_selected(self, request, queryset)
        if page is not None and page.context_data is not None:
            page.context_data |= _question()
        return page

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.delete_user(
            obj, actor=actor_of(request), keep_files=keeps_files(request), ip=client_ip(request)
        )

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        keeps_files(request)
        for user in queryset:
            try:
                self.delete_model(request, user)
            except errors.GatewayError as error:
                self.message_user(request, f"{user}: {error.message}", messages.ERROR)


def _question() -> dict[str, str]:
    return {"hidden_only": deletion.hidden_only(), "keep": deletion.KEEP, "delete": deletion.DELETE}
