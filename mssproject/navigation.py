"""The admin's menu, by task: each entry is shown to whoever may open what it leads to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu. `model` is what the page shows ("accounts.User"), whose admin says who
    may see it; `page` the name of another page of the admin, if it is not the model's list."""

    title: str
    icon: str
    model: str = ""
    page: str = ""

    def link(self) -> str:
        app, _, name = self.model.lower().partition(".")
        return reverse(f"admin:{self.page or f'{app}_{name}_changelist'}")

    def is_offered(self, request: HttpRequest) -> bool:
        if not self.model:
            return True
        model_admin = admin.site.get_model_admin(apps.get_model(self.model))
        return bool(model_admin.has_view_permission(request))


MENU: Final[dict[str, tuple[Entry, ...]]] = {
    "": (Entry("Dashboard", "dashboard", page="index"),),
    "People": (
        Entry("Users", "person", "accounts.User"),
        Entry("Invitations and links", "mail", "accounts.AccountLink"),
        Entry("Roles", "badge", "accounts.Role"),
        Entry("Roles and capabilities", "checklist", "accounts.Role", "accounts_role_matrix"),
        Entry("Teams", "groups", "auth.Group"),
    ),
    "Sharing": (
        Entry("Model grants", "key", "accounts.ModelGrant"),
        Entry("Users and models", "grid_on", "accounts.ModelGrant", "accounts_modelgrant_matrix"),
        Entry("Workflows and files", "folder_shared", "comfyproxy.UserTree"),
        Entry("Frontend settings", "tune", "comfyproxy.SettingDefault"),
    ),
    "Activity": (
        Entry("Prompts", "play_circle", "comfyproxy.PromptRecord"),
        Entry("Sessions", "devices", "accounts.Session"),
        Entry("Audit log", "history", "accounts.AuditEntry"),
    ),
    "Outputs": (
        Entry("Pictures", "photo_library", "comfyproxy.ContentVerdict"),
        Entry("Files", "draft", "comfyproxy.FileRecord"),
        Entry("Deleted users' things", "folder_delete", "comfyproxy.FormerNamespace"),
    ),
    "Downloads": (
        Entry("Downloads", "download", "downloads.DownloadJob"),
        Entry("Keys for sites", "vpn_key", "downloads.SourceKey"),
    ),
    "Security": (
        Entry("API tokens", "token", "accounts.ApiToken"),
        Entry("Authenticator apps", "phonelink_lock", "accounts.TotpDevice"),
        Entry("Passkeys", "passkey", "django_otp_webauthn.WebAuthnCredential"),
        Entry("IP rules", "lan", "accounts.IpRule"),
        Entry("Failed logins", "gpp_bad", "axes.AccessAttempt"),
    ),
    "System": (
        Entry("ComfyUI", "dns", "comfyproxy.Backend"),
        Entry("Long work", "hourglass", "accounts.Job"),
        Entry("Workers and tasks", "manufacturing", "mssproject.TaskRun"),
        Entry("Rules for routes", "route", "comfyproxy.RouteRule"),
        Entry("Events for all", "campaign", "comfyproxy.BroadcastEvent"),
    ),
}


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu as the theme takes it (unfold: SIDEBAR.navigation)."""
    return [group for group in _groups(request) if group["items"]]


def _groups(request: HttpRequest) -> Iterator[dict[str, Any]]:
    for title, entries in MENU.items():
        links = {entry: entry.link() for entry in entries if entry.is_offered(request)}
        yield {
            "title": title,
            "items": [
                {
                    "title": entry.title,
                    "icon": entry.icon,
                    "link": link,
                    "active": _is_here(request.path, link, links.values()),
                }
                for entry, link in links.items()
            ],
        }


def _is_here(path: str, link: str, links: Any) -> bool:
    """Whether the page belongs to this entry: the longest link that leads there."""
    if link == reverse("admin:index"):
        return path == link
    leading = [each for each in links if path.startswith(each)]
    return bool(leading) and link == max(leading, key=len)
