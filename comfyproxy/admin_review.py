"""The admin's page of pictures: what the classifier says, what people decide, many at once."""

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.admin_jobs import tool
from accounts.adminbase import CappedPaginator, LookedAtAdmin, actor_of
from accounts.login import client_ip
from accounts.middleware import page_identity
from comfyproxy import nsfwapi, nsfwscan, quarantine, review, wake
from comfyproxy.admin_files import types_seen
from comfyproxy.longwork import EMPTY_QUARANTINE
from comfyproxy.models import ContentVerdict, FileRecord, NsfwScan
from comfyproxy.review import STATES, Tag, Wanted

PER_PAGE: Final = 48
# What each button does to what is ticked: the tag, and how it is told.
_TAGS: Final = {
    "explicit": (Tag.NSFW, "tagged as explicit"),
    "safe": (Tag.SAFE, "tagged as not explicit"),
    "untag": (Tag.NONE, "left to the classifier"),
}


@admin.register(ContentVerdict)
class ReviewAdmin(LookedAtAdmin):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """GET shows pictures; POST does something with those that are ticked."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            if not self.may_act(request):
                raise PermissionDenied
            self._do(request)
            return redirect(request.get_full_path())
        wanted = self._wanted(request)
        page = CappedPaginator(review.files(wanted), PER_PAGE).get_page(request.GET.get("p"))
        found = review.pictures(page.object_list)  # type: ignore[arg-type]
        query = request.GET.copy()
        query.pop("p", None)
        context = {
            "title": "Pictures",
            "pictures": found,
            "page": page,
            "query": query.urlencode(),
            "states": STATES,
            "wanted": wanted,
            "classifier": nsfwapi.classifier(),
            "scan": NsfwScan.objects.order_by("-started_at").first(),
            "may_change": self.may_act(request),
            "days": quarantine.KEPT_FOR.days,
        }
        in_quarantine = wanted.state == "quarantined"
        return self.own_page(
            request,
            "admin/comfyproxy/contentverdict/change_list.html",
            context,
            tools=tool(request, EMPTY_QUARANTINE, "Empty the quarantine") if in_quarantine else (),
        )

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("admin:comfyproxy_contentverdict_changelist")

    def _wanted(self, request: HttpRequest) -> Wanted:
        identity = page_identity(request)
        state, percent = request.GET.get("state", ""), request.GET.get("score", "")
        return Wanted(
            types_seen(identity),
            username=request.GET.get("user", "").replace("\0", "").strip()[:150],
            state=state if state in STATES else "",
            percent=int(percent) if percent.isdecimal() and int(percent) <= 100 else None,
        )

    def _do(self, request: HttpRequest) -> None:
        what, actor, ip = request.POST.get("do", ""), actor_of(request), client_ip(request)
        if what == "scan":
            nsfwscan.begin_scan(actor)
            wake.scorer()
            self.message_user(request, "All pictures are being looked at. This page tells how far.")
            return
        if what == "stop":
            nsfwscan.stop_scan()
            return
        ticked = self._ticked(request)
        if not ticked:
            self.message_user(request, "Tick some pictures first.", messages.WARNING)
        elif what in _TAGS:
            tag, said = _TAGS[what]
            seen = {pk: request.POST.get(f"seen-{pk}", "") for pk in ticked}
            done = review.tag(seen, tag, actor=actor, ip=ip)
            rest = f" {done.missing} are not there any more." if done.missing else ""
            if done.changed:
                rest += f" {done.changed} changed meanwhile and are left as they are: look again."
            self.message_user(request, f"{done.number} {said}.{rest}")
        elif what == "quarantine":
            number = review.put_away(ticked, actor=actor, ip=ip)
            self.message_user(request, f"{number} put into quarantine.")
        elif what == "restore":
            number = review.give_back(ticked, actor=actor, ip=ip)
            self.message_user(request, f"{number} given back.")

    def _ticked(self, request: HttpRequest) -> list[int]:
        """Of what this person may see, at most what one page shows."""
        given = [int(text) for text in request.POST.getlist("file") if text.isdecimal()]
        rows = FileRecord.objects.filter(
            pk__in=given[:PER_PAGE], type__in=types_seen(page_identity(request))
        )
        return list(rows.values_list("pk", flat=True))
