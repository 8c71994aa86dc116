"""The admin's page of the audit log."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from accounts.adminbase import ReadOnlyAdmin
from accounts.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    purpose = "What was done, by whom, to whom, and from where. Nobody can change it."
    empty_text = "Nothing was done yet."
    list_display = ("at", "event", "actor_name", "subject_name", "ip", "what")
    list_filter = ("event",)
    # `in_details`: also a name that was tried and belongs to nobody.
    search_fields = ("actor_name", "subject_name", "event", "ip", "in_details")
    date_hierarchy = "at"
    fields = ("at", "event", "actor_name", "actor", "subject_name", "subject", "ip", "what")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return super().get_queryset(request).annotate(in_details=Cast("details", TextField()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

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
