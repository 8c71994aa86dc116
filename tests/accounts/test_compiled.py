"""accounts.compiled: what the query itself gives, for whoever is asked about."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from pytest_django import DjangoAssertNumQueries

from accounts.compiled import OfUser
from accounts.models import Session, User

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def sessions(user_id: int) -> QuerySet[Session, tuple[Any, ...]]:
    # The user stands in two places, beside values of other kinds.
    others = Session.objects.exclude(user=user_id).filter(expires_at__gt=NOON)
    rows = Session.objects.filter(user=user_id, expires_at__gt=NOON).exclude(jti__in=others)
    return rows.order_by("expires_at").values_list("jti", "expires_at", "user_id")[:2]


def make(name: str, number: int) -> User:
    user = User.objects.create(username=name, role_id="user")
    for hours in range(-1, number):
        Session.objects.create(user=user, expires_at=NOON + timedelta(hours=hours, seconds=1))
    return user


def test_caller_asks_about_one_after_another_and_gets_what_the_query_gives(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    users = [make("alice", 3), make("bob", 1), make("carol", 0)]
    compiled = OfUser(sessions)
    expected = [list(sessions(user.pk)) for user in users]
    assert [len(rows) for rows in expected] == [2, 1, 0]
    for _ in range(2):
        with django_assert_num_queries(3):
            assert [list(compiled(user.pk)) for user in users] == expected
