"""What the admin pages of accounts are built on."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import errors
from accounts.models import User


def actor_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


class TellingAdmin(admin.ModelAdmin):
    """What a service refuses is told to the person, not shown as a server error.

    Django has a transaction around each of these views, so the refusal undoes the change.
    """

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._told(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._told(request, super().delete_view, *args, **kwargs)

    def _told(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.ERROR)
            return redirect(request.path)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that are looked at, not edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
