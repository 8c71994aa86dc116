"""The admin site: Django's, entered through /login and living on the same session."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse


class GatewayAdminSite(AdminSite):
    """No login form and no logout of its own."""

    site_header = site_title = "MSS-Login"
    index_title = "Administration"
    site_url = "/"

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        target = request.GET.get("next") or "/admin/"
        return HttpResponseRedirect(f"/login?{urlencode({'next': target})}")

    def logout(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect("/logout")

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django's own form would leave sessions open and the audit trail empty.
        return HttpResponseRedirect(reverse("admin:accounts_user_password", args=[request.user.pk]))


class GatewayAdminConfig(AdminConfig):
    """Makes the site above the default one."""

    default_site = "mssproject.admin.GatewayAdminSite"
