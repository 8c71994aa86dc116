"""ownership: a user's ended prompts in pages, no larger than what may be in memory together."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import User
from comfyproxy import ownership
from comfyproxy.models import PromptRecord

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make(user: User, *sizes: int, state: str = PromptRecord.State.SUCCESS) -> list[str]:
    """Prompts of these sizes, a second apart; their ids, newest first."""
    rows = PromptRecord.objects.bulk_create(
        PromptRecord(
            user=user,
            number=number,
            size_bytes=size,
            state=state,
            created_at=NOON + timedelta(seconds=number),
        )
        for number, size in enumerate(sizes)
    )
    return [str(row.prompt_id) for row in reversed(rows)]


def pages(user: User, limit: int, max_bytes: int | None) -> list[list[str]]:
    found: list[list[str]] = []
    has_more = True
    while has_more:
        last = found[-1][-1] if found else None
        page, has_more = ownership._ended(user.pk, last, limit, max_bytes)
        assert page or not has_more
        found.append(page)
    return found


@pytest.mark.parametrize(
    ("limit", "max_bytes", "lengths"),
    [
        (10, None, [5]),
        (2, None, [2, 2, 1]),
        (10, 100, [2, 1, 2]),
        (1, 100, [1] * 5),
        (10, 0, [1] * 5),
    ],
)
def test_pages_hold_so_many_bytes_together_and_leave_nothing_out(
    limit: int, max_bytes: int | None, lengths: list[int]
) -> None:
    alice, bob = (User.objects.create(username=name, role_id="user") for name in ("alice", "bob"))
    ids = make(alice, 30, 70, 500, 60, 40)
    make(bob, 1, 1)
    make(alice, 1, state=PromptRecord.State.ACCEPTED)
    found = pages(alice, limit, max_bytes)
    assert [len(page) for page in found] == lengths
    assert [prompt_id for page in found for prompt_id in page] == ids
