"""The admin's times: how long ago; dates to go through, of the first and the last row alone.

Django's own (5.2, `date_hierarchy`) asks which years, months or days there are rows of, and for
that looks at each row: seconds, of a million. Both ends stand in an index.
"""

import calendar
from datetime import date, datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timesince

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def dates(cl: Any) -> dict[str, Any]:
    """Of a list (`ChangeList`) with `date_hierarchy`: where to go from here. A day without rows
    is offered as well, and leads to none."""
    name: str | None = cl.date_hierarchy
    if not name:
        return {"show": False}
    rows = cl.model._base_manager.filter(**{f"{name}__isnull": False})
    # One by one: asked for both at once, SQLite reads all.
    ends = [rows.order_by(way).values_list(name, flat=True).first() for way in (name, f"-{name}")]
    if None in ends:
        return {"show": False}
    first, last = map(timezone.localtime, ends)
    year, month, day = (_number(cl.params.get(f"{name}__{part}")) for part in _PARTS)

    def link(*values: int) -> str:
        wanted = dict(zip((f"{name}__{part}" for part in _PARTS), values, strict=False))
        return str(cl.get_query_string(wanted, [f"{name}__"]))

    def shown(back: Any, choices: list[dict[str, str]]) -> dict[str, Any]:
        return {"show": True, "back": back, "choices": choices}

    if year is None:
        years = range(last.year, first.year - 1, -1)
        return shown(None, [{"link": link(each), "title": str(each)} for each in years])
    if month is None:
        choices = [
            {"link": link(year, each), "title": _month(year, each)}
            for each in range(1, 13)
            if (first.year, first.month) <= (year, each) <= (last.year, last.month)
        ]
        return shown({"link": link(), "title": "All dates"}, choices)
    if day is None:
        begin, end = first.date(), last.date()
        choices = [
            {"link": link(year, month, each.day), "title": date_format(each, "MONTH_DAY_FORMAT")}
            for each in _days(year, month)
            if begin <= each <= end
        ]
        return shown({"link": link(year), "title": str(year)}, choices)
    there = [each for each in _days(year, month) if each.day == day]
    title = date_format(there[0], "MONTH_DAY_FORMAT") if there else ""
    return shown({"link": link(year, month), "title": _month(year, month)}, [{"title": title}])


_PARTS = ("year", "month", "day")


def _number(values: Any) -> int | None:
    """A number of the address; None if it is none (the list itself refuses such an address)."""
    text = values[-1] if isinstance(values, list) and values else values
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 5 else None


def _month(year: int, month: int) -> str:
    days = _days(year, month)
    return date_format(days[0], "YEAR_MONTH_FORMAT") if days else ""


def _days(year: int, month: int) -> list[date]:
    if not (1 <= year <= 9999 and 1 <= month <= 12):
        return []
    return [date(year, month, day) for day in range(1, calendar.monthrange(year, month)[1] + 1)]


@register.filter
def ago(moment: datetime | str | None) -> str:
    """How long ago that was, in one unit: `3 hours ago`."""
    if not moment:
        return "never"
    assert isinstance(moment, datetime)
    if timezone.now() - moment < timedelta(minutes=1):
        return "just now"
    return f"{timesince(moment, depth=1)} ago"
