"""The admin site: Django's, entered through /login and living on the same session."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from csp.constants import UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts import mfa
from accounts.middleware import page_identity
from accounts.models import User
from mssproject import dashboard

if TYPE_CHECKING:
    # The theme's has no types.
    from django.contrib.admin import AdminSite as ThemedSite
else:
    from unfold.sites import UnfoldAdminSite as ThemedSite


class GatewayAdminSite(ThemedSite):
    """No login form and no logout of its own."""

    site_header = site_title = "MSS-Login"
    index_title = "Dashboard"
    site_url = "/"

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff. Whoever has or must have a second factor must have proved it in this login: a
        session from before it was required opens the administration no more."""
        user = request.user
        if not super().has_permission(request) or not isinstance(user, User):
            return False
        identity = page_identity(request)
        proved = identity is not None and identity.second_factor
        return proved or mfa.due(user) is None

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Django's, and the theme's widths and heights in `style` attributes are obeyed. Those
        select nothing, so they cannot pass on what a page shows; style sheets stay refused."""
        allowing = csp_update({"style-src-attr": [UNSAFE_INLINE]})
        return allowing(super().admin_view(view, cacheable))

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The dashboard."""
        shown = dashboard.page(request)
        return super().index(request, shown | (extra_context or {}))

    def extra_urls(self) -> list[URLPattern]:
        return [path("live/", self.admin_view(self.live), name="live")]

    def live(self, request: HttpRequest) -> HttpResponse:
        """Of the dashboard what changes by the second, as a piece of a page."""
        return render(request, "admin/dashboard/live.html", dashboard.live(request))

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
        return HttpResponseRedirect("/account")
