"""The admin's page of the audit log."""

from collections.abc import Sequence
from typing import Any, Final

from django.contrib import admin
from django.core.cache import cache
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from accounts.admin_jobs import tool
from accounts.adminbase import LookedAtAdmin, Tool
from accounts.longwork import AUDIT_EXPORT
from accounts.models import AuditEntry, User

MAX_EVENTS: Final = 200
# So many entries are looked through for any word; so many users may have a name like one.
LATEST: Final = 50_000
LIKE: Final = 100
EVENTS_SECONDS: Final = 60


class EventFilter(admin.SimpleListFilter):
    """What happened."""

    title = "event"
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        found: list[str] = cache.get_or_set("audit-events", _events, EVENTS_SECONDS) or []
        wanted = self.value()
        if wanted and wanted not in found:
            found = sorted([*found, wanted])
        return [(event, event) for event in found]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        value = self.value()
        return queryset.filter(event=value) if value else queryset


def _events() -> list[str]:
    """The events that occur, each looked up behind the one before in the index: to ask for all
    different ones would read every row."""
    found: list[str] = []
    while len(found) < MAX_EVENTS:
        rest = AuditEntry.objects.filter(event__gt=found[-1]) if found else AuditEntry.objects.all()
        event = rest.order_by("event").values_list("event", flat=True).first()
        if event is None:
            break
        found.append(event)
    return found


@admin.register(AuditEntry)
class AuditEntryAdmin(LookedAtAdmin):
    purpose = "What was done, by whom, to whom, and from where. Nobody can change it."
    empty_text = "Nothing was done yet."
    list_display = ("at", "event", "actor_name", "subject_name", "ip", "what")
    list_filter = (EventFilter,)
    # See `get_search_results`.
    search_fields = ("actor_name",)
    search_help_text = f"Users' names; and all that the latest {LATEST:,} entries tell."
    date_hierarchy = "at"
    fields = ("at", "event", "actor_name", "actor", "subject_name", "subject", "ip", "what")

    def list_tools(self, request: HttpRequest) -> Sequence[Tool]:
        return tool(request, AUDIT_EXPORT, "Export everything", "As CSV, made by a worker")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """What was done by and to users of such a name, along the indexes; and, of the latest
        entries, those that have the word anywhere: also a name that belongs to nobody."""
        newest = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        latest = queryset.filter(pk__gt=newest - LATEST)
        latest = latest.annotate(in_details=Cast("details", TextField()))
        for word in search_term.replace("\0", "").split():
            users = list(
                User.objects.filter(username__icontains=word).values_list("pk", flat=True)[:LIKE]
            )
            fields = ("actor_name", "subject_name", "event", "ip", "in_details")
            has_word = Q(*((f"{name}__icontains", word) for name in fields), _connector=Q.OR)
            keys = latest.filter(has_word).values("pk")
            queryset = queryset.filter(Q(actor__in=users) | Q(subject__in=users) | Q(pk__in=keys))
        return queryset, False

    @admin.display(description="details")
    def what(self, obj: AuditEntry) -> str:
        return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines_of(obj)))


def lines_of(entry: AuditEntry) -> list[str]:
    """An audit entry's details as a person reads them."""
    details = dict(entry.details)
    changes = dict(details.pop("changes", {}))
    if "before" in details and "after" in details:
        changes[""] = {name: details.pop(name) for name in ("before", "after")}
    lines = [f"{name.replace('_', ' ')}: {_text(value)}" for name, value in details.items()]
    for name, change in changes.items():
        label = f"{name.replace('_', ' ')}: " if name else ""
        lines.append(f"{label}{_text(change.get('before'))} → {_text(change.get('after'))}")
    return lines


def _text(value: Any) -> str:
    match value:
        case None | "" | []:
            return "(none)"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
