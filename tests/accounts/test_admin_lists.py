"""What the admin's long lists spare: counting to the end, reading each row for dates and events."""

import re
from datetime import UTC, datetime
from html import unescape

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.adminbase import CappedPaginator
from accounts.models import AuditEntry, User
from tests.comfyproxy.adminpages import data_rows, page, request_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def adam() -> User:
    cache.clear()
    return User.objects.create(username="adam", role_id="admin")


def told(*moments: tuple[int, int, int], event: str = "login") -> None:
    for moment in moments:
        AuditEntry.objects.create(event=event, at=datetime(*moment, 12, tzinfo=UTC))


def dates(adam: User, query: str = "") -> list[tuple[str, str]]:
    """(address, text) of the links to dates, the way back first."""
    html, _ = page(AuditEntry, request_of(adam, query=query))
    links = html.partition('class="toplinks')[2].partition("</ul>")[0]
    found = re.findall(r'(?s)<a href="([^"]*)"[^>]*>(.*?)</a>', links)
    return [
        # Django's query strings are sorted.
        (unescape(url), re.sub(r"<[^>]*>|arrow_back", "", text).strip())
        for url, text in found
    ]


def test_admin_goes_from_years_to_months_to_days(adam: User) -> None:
    told((2024, 11, 3), (2026, 2, 27), (2026, 3, 2))
    assert dates(adam) == [(f"?at__year={year}", str(year)) for year in (2026, 2025, 2024)]
    assert dates(adam, "at__year=2026") == [
        ("?", "All dates"),
        ("?at__month=1&at__year=2026", "January 2026"),
        ("?at__month=2&at__year=2026", "February 2026"),
        ("?at__month=3&at__year=2026", "March 2026"),
    ]
    back, *days = dates(adam, "at__year=2026&at__month=3")
    assert back == ("?at__year=2026", "2026")
    assert days == [
        ("?at__day=1&at__month=3&at__year=2026", "March 1"),
        ("?at__day=2&at__month=3&at__year=2026", "March 2"),
    ]
    assert dates(adam, "at__year=2026&at__month=3&at__day=2") == [
        ("?at__month=3&at__year=2026", "March 2026")
    ]
    html, _ = page(AuditEntry, request_of(adam, query="at__year=2026&at__month=3"))
    assert len(data_rows(html)) == 1


def test_list_without_rows_offers_no_dates(adam: User) -> None:
    assert dates(adam) == []


def test_other_filters_stay_while_dates_change(adam: User) -> None:
    told((2026, 2, 27))
    assert dates(adam, "q=x") == [("?at__year=2026&q=x", "2026")]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("at__year=2026&at__month=2&at__day=27", 200),
        ("at__year=1", 200),
        ("at__year=9999&at__month=12", 302),
        ("at__year=0", 302),
    ],
)
def test_a_date_without_rows_is_an_empty_list_or_none(adam: User, query: str, status: int) -> None:
    told((2026, 3, 2))
    request = request_of(adam, query=query)
    answer = admin.site._registry[AuditEntry].changelist_view(request)
    assert answer.status_code == status
    if status == 200:
        assert data_rows(page(AuditEntry, request)[0]) == []


def test_events_to_filter_by_are_those_that_occur(adam: User) -> None:
    told((2026, 1, 1), event="login")
    told((2026, 1, 1), (2026, 1, 2), event="token.created")
    html, _ = page(AuditEntry, request_of(adam))
    assert re.findall(r"\?event=([\w.]+)", html) == ["login", "token.created"]
    html, _ = page(AuditEntry, request_of(adam, query="event=token.created"))
    assert len(data_rows(html)) == 2
    html, _ = page(AuditEntry, request_of(adam, query="event=nonsense"))
    assert data_rows(html) == []


@pytest.mark.parametrize(("rows", "count", "is_cut"), [(3, 3, False), (4, 4, False), (6, 4, True)])
def test_rows_are_counted_only_so_far(
    adam: User, monkeypatch: pytest.MonkeyPatch, rows: int, count: int, is_cut: bool
) -> None:
    monkeypatch.setattr(CappedPaginator, "CAP", 4)
    told(*[(2026, 1, day) for day in range(1, rows + 1)])
    with CaptureQueriesContext(connection) as queries:
        html, _ = page(AuditEntry, request_of(adam))
    assert ("more than 4 audit entries" in html) == is_cut
    assert is_cut or f"{count} audit entries" in html
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts and all("LIMIT 5" in sql for sql in counts)
