"""The admin's pages of users' files: whose there are, what is in a tree, what was in a file."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse

from accounts import errors
from accounts.adminbase import ROLE_FILTER, LookedAtAdmin, TellingAdmin, Tool, actor_of
from accounts.login import client_ip
from accounts.middleware import page_identity
from accounts.models import Role, User
from comfyproxy import filekeeping, nsfwgate
from comfyproxy.attachments import as_download
from comfyproxy.filekeeping import SHARED, Act, Holder
from comfyproxy.models import FormerNamespace, SettingDefault, UserTree
from comfyproxy.userdata.limits import Limits
from comfyproxy.userdata.names import WORKFLOWS, parse, parse_folder

PER_PAGE: Final = 500
# A larger file is for downloading.
MAX_SHOWN_BYTES: Final = 200_000
_TREE: Final = "admin:comfyproxy_usertree_tree"
_FILE: Final = "admin:comfyproxy_usertree_file"


@admin.register(SettingDefault)
class SettingDefaultAdmin(TellingAdmin):
    purpose = "What ComfyUI's page is set to for who has not changed it, or, locked, for all."
    empty_text = "Everybody has ComfyUI's own defaults. Add those you want to be otherwise."
    list_display = ("setting_id", "value", "locked", "note")
    list_filter = ("locked",)
    search_fields = ("setting_id", "note")


class UploadForm(forms.Form):
    """One file into a folder of the tree."""

    file = forms.FileField()
    folder = forms.CharField(initial=WORKFLOWS, max_length=900, required=False)

    def clean_folder(self) -> str:
        try:
            return parse_folder(self.cleaned_data["folder"])
        except errors.BadRequest as error:
            raise forms.ValidationError(error.message) from None


@admin.register(UserTree)
class UserTreeAdmin(LookedAtAdmin):
    """Users with what they have; behind each a page of the tree."""

    list_display = ("username", "role", "file_count", "size")
    list_filter = ("role",)
    list_select_related = ("role",)
    list_per_page = 50
    search_fields = ("username",)
    purpose = (
        "The workflows and other files that people saved in ComfyUI's page. Open somebody's to "
        "look, share, copy or restore."
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == ROLE_FILTER or super().lookup_allowed(lookup, value, request)

    @admin.display(description="files")
    def file_count(self, obj: User) -> int:
        return len(self._files(obj))

    @admin.display(description="MB")
    def size(self, obj: User) -> str:
        return f"{sum(entry.size for entry in self._files(obj)) / 1_048_576:.1f}"

    def _files(self, obj: Any) -> Any:
        # Two columns of one look at the disk.
        if not hasattr(obj, "files_found"):
            obj.files_found = Holder.of_user(obj).tree.files()
        return obj.files_found

    def list_tools(self, request: HttpRequest) -> Sequence[Tool]:
        former = FormerNamespace.objects.filter(keep_files=True).order_by("username")
        kept = [Holder.of_former(row) for row in former[:PER_PAGE]]
        return [
            Tool("Shared by all", reverse(_TREE, args=[SHARED.key])),
            *(
                Tool(holder.name, reverse(_TREE, args=[holder.key]))
                for holder in kept
                if holder.tree.files()
            ),
        ]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        return self._checked(self.tree_view)(request, f"user-{object_id}")

    def get_urls(self) -> Any:
        own = [
            path("tree/<str:key>/", self._checked(self.tree_view), name="comfyproxy_usertree_tree"),
            path("file/<str:key>/", self._checked(self.file_view), name="comfyproxy_usertree_file"),
            path(
                "download/<str:key>/",
                self._checked(self.download_view),
                name="comfyproxy_usertree_download",
            ),
        ]
        return [*own, *super().get_urls()]

    def _checked(self, view: Any) -> Any:
        """The view, given the holder; refusals are told on the page of the tree."""

        def checked(request: HttpRequest, key: str) -> HttpResponse:
            if not self.has_view_permission(request):
                raise PermissionDenied
            if request.method == "POST" and not self.may_act(request):
                raise PermissionDenied
            holder = filekeeping.find(key)
            if holder is None:
                raise Http404
            try:
                return view(request, holder)
            except errors.NotFound as error:
                self.message_user(request, error.message, messages.WARNING)
            except errors.GatewayError as error:
                self.message_user(request, error.message, messages.ERROR)
            return redirect(_TREE, key)

        return self.admin_site.admin_view(checked)

    def tree_view(self, request: HttpRequest, holder: Holder) -> HttpResponse:
        """GET shows a tree; POST does something with what is ticked."""
        if request.method == "POST":
            self._do(request, holder)
            return redirect(request.get_full_path())
        words = request.GET.get("q", "").casefold()
        entries = sorted(holder.tree.files(), key=lambda entry: entry.path)
        found = [entry for entry in entries if words in entry.path.casefold()]
        gone = [
            version
            for version in holder.tree.versions_of_gone()
            if words in version.path.casefold()
        ]
        context = {
            "title": f"Files: {holder.name}",
            "holder": holder,
            "is_shared": holder is SHARED,
            "entries": Paginator(found, PER_PAGE).get_page(request.GET.get("p")),
            "total": len(entries),
            "megabytes": sum(entry.size for entry in entries) / 1_048_576,
            "gone": gone[:PER_PAGE],
            "gone_total": len(gone),
            "q": request.GET.get("q", ""),
            "roles": Role.objects.all(),
            "upload": UploadForm(initial={"folder": WORKFLOWS}),
            "days": Limits.of_settings().version_days,
            "may_change": self.may_act(request),
        }
        return self.own_page(request, "admin/comfyproxy/usertree/tree.html", context)

    def file_view(self, request: HttpRequest, holder: Holder) -> HttpResponse:
        """GET shows a file and its versions; POST restores one."""
        if request.method == "POST":
            version_id = request.POST.get("version", "")
            restored = filekeeping.restore(holder, version_id, act=self._act(request))
            self.message_user(request, f"Restored: {restored.path}.")
            query = urlencode({"path": restored.path})
            return redirect(f"{reverse(_FILE, args=[holder.key])}?{query}")
        name = parse(request.GET.get("path", ""))
        versions = holder.tree.versions.of(name)
        entry = holder.tree.file(name)
        if entry is None and not versions:
            raise errors.NotFound("This file is not there any more.")
        context = {
            "title": name,
            "holder": holder,
            "path": name,
            "entry": entry,
            "text": None if entry is None else _text(holder.tree.read(name)[1]),
            "versions": versions,
            "may_change": self.may_act(request),
        }
        download = reverse("admin:comfyproxy_usertree_download", args=[holder.key])
        return self.own_page(
            request,
            "admin/comfyproxy/usertree/file.html",
            context,
            tools=[
                Tool("All files", reverse(_TREE, args=[holder.key])),
                *([Tool("Download", f"{download}?{urlencode({'path': name})}")] if entry else []),
            ],
        )

    def download_view(self, request: HttpRequest, holder: Holder) -> HttpResponse:
        """A file, or a version of one, as a download."""
        version_id = request.GET.get("version")
        if version_id is None:
            name = parse(request.GET.get("path", ""))
            data = holder.tree.read(name)[1]
        else:
            found = holder.tree.versions.find(version_id)
            if found is None:
                raise errors.NotFound("This version is not there any more.")
            name, data = found[0].path, found[1]
        identity = page_identity(request)
        if identity is None:
            raise errors.AuthRequired
        async_to_sync(nsfwgate.require_bytes)(data, name, identity)
        return as_download(name, data)

    def _do(self, request: HttpRequest, holder: Holder) -> None:
        act, paths = self._act(request), request.POST.getlist("path")
        wanted = request.POST.get("do")
        if wanted == "upload":
            self._upload(request, holder)
            return
        if wanted == "restore":
            entry = filekeeping.restore(holder, request.POST.get("version", ""), act=act)
            self.message_user(request, f"Restored: {entry.path}.")
            return
        if not paths:
            raise errors.BadRequest("Tick the files first.")
        if wanted == "delete":
            number = filekeeping.delete(holder, paths, act=act)
            self.message_user(request, f"Deleted: {number}. They can be restored below.")
        elif wanted == "promote":
            for name in paths:
                filekeeping.promote(holder, name, delete_source=False, act=act)
            self.message_user(request, f"Shared with all: {len(paths)}.")
        elif wanted == "copy":
            done, left = filekeeping.copy(
                holder,
                paths,
                _receivers(request),
                overwrite=bool(request.POST.get("overwrite")),
                act=act,
            )
            rest = f" Left out, as the name was taken or there was no room: {left}." if left else ""
            self.message_user(request, f"Copies made: {done}.{rest}")
        else:
            raise errors.BadRequest("The form is not complete. Load the page again.")

    def _upload(self, request: HttpRequest, holder: Holder) -> None:
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            faults = [str(fault) for each in form.errors.values() for fault in each]
            raise errors.BadRequest(" ".join(faults))
        sent, folder = form.cleaned_data["file"], form.cleaned_data["folder"]
        name = f"{folder}/{sent.name}" if folder else str(sent.name)
        if sent.size > Limits.of_settings().file_bytes:
            raise errors.TooLarge("The file is too large.")
        entry = filekeeping.upload(holder, name, sent.read(), act=self._act(request))
        self.message_user(request, f"Saved: {entry.path}.")

    def _act(self, request: HttpRequest) -> Act:
        return Act(actor_of(request), client_ip(request))


def _receivers(request: HttpRequest) -> list[User]:
    """The users that the form names, and those of the role it names.

    Raises:
        BadRequest: none, or one that there is not
    """
    names = {name.strip() for name in request.POST.get("users", "").split(",") if name.strip()}
    users: QuerySet[User] = User.objects.select_related("role")
    found = {user.username.casefold(): user for user in users if user.username in names}
    missing = [name for name in names if name.casefold() not in found]
    if missing:
        raise errors.BadRequest(f"There is no user {missing[0][:150]}.")
    role = request.POST.get("role", "")
    if role:
        found |= {user.username.casefold(): user for user in users.filter(role__slug=role)}
    if not found:
        raise errors.BadRequest("Name users, or choose a role.")
    return sorted(found.values(), key=lambda user: user.username)


def _text(data: bytes) -> str | None:
    """What is in a file, JSON laid out to be read; None for what is no text, or too long."""
    if len(data) > MAX_SHOWN_BYTES:
        return None
    try:
        return orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        pass
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
