"""What `GET /api/jobs` asks for: parameters, order, pages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import BadRequest
from comfyproxy.filters.jobquery import MAX_OFFSET, MAX_PAGE, JobQuery, parse_query
from comfyproxy.filters.jobs import STATUSES


def job(name: str, created: int, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"id": name, "status": status, "create_time": created, **more}


def names(jobs: list[dict[str, Any]]) -> str:
    return "".join(found["id"] for found in jobs)


# Oldest first, two of them equally old.
JOBS = [
    job("a", 1, execution_start_time=10, execution_end_time=50),
    job("b", 2, "failed", execution_start_time=10, workflow_id="w"),
    job("c", 2, execution_start_time=10, execution_end_time=30, workflow_id="v"),
    job("d", 3, "pending", workflow_id="w"),
    job("e", 4, "cancelled", execution_start_time=20, execution_end_time=50),
]


def shown(**params: str) -> str:
    query = parse_query(params)
    return names(query.page(query.matching(JOBS)))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "edcba"),
        ({"sort_order": "asc"}, "abcde"),
        ({"sort_by": "created_at", "sort_order": "DESC"}, "edcba"),
        ({"sort_by": "Execution_Duration"}, "aecdb"),
        ({"sort_by": "execution_duration", "sort_order": "asc"}, "bdcea"),
        ({"status": "completed"}, "ca"),
        ({"status": " Completed, FAILED ,"}, "cba"),
        ({"status": "pending,in_progress"}, "d"),
        ({"status": "in_progress"}, ""),
        ({"status": ""}, "edcba"),
        ({"status": ","}, ""),
        ({"workflow_id": "w"}, "db"),
        ({"workflow_id": "W"}, ""),
        ({"workflow_id": ""}, "edcba"),
        ({"workflow_id": "w", "status": "failed"}, "b"),
        ({"limit": "2"}, "ed"),
        ({"limit": "2", "offset": "1"}, "dc"),
        ({"offset": "4"}, "a"),
        ({"offset": "5"}, ""),
        ({"offset": "-3", "limit": "1"}, "e"),
        ({"offset": "9" * 30}, ""),
        ({"limit": "9" * 30}, "edcba"),
    ],
    ids=str,
)
def test_jobs_are_chosen_sorted_and_paged(params: dict[str, str], expected: str) -> None:
    assert shown(**params) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "done"),
        ("status", "completed,done"),
        ("sort_by", "id"),
        ("sort_by", ""),
        ("sort_order", "up"),
        ("sort_order", ""),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", ""),
        ("limit", "x"),
        ("limit", "1.5"),
        ("offset", ""),
        ("offset", "x"),
        ("offset", "9" * 5000),
    ],
)
def test_a_bad_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_query({name: value})
    assert refusal.value.fields == {"field": name}


@pytest.mark.parametrize(
    ("params", "total", "told"),
    [
        ({}, 5, (0, None, False)),
        ({}, MAX_PAGE + 1, (0, None, True)),
        ({"limit": "2"}, 5, (0, 2, True)),
        ({"limit": "2", "offset": "3"}, 5, (3, 2, False)),
        ({"limit": "2", "offset": "2"}, 5, (2, 2, True)),
        ({"offset": "-1", "limit": "5"}, 5, (0, 5, False)),
        ({"limit": "99999"}, 5, (0, MAX_PAGE, False)),
        ({"offset": "9" * 30}, 5, (MAX_OFFSET, None, False)),
    ],
)
def test_the_page_tells_where_it_is_and_whether_there_is_more(
    params: dict[str, str], total: int, told: tuple[int, int | None, bool]
) -> None:
    offset, limit, has_more = told
    expected = {"offset": offset, "limit": limit, "total": total, "has_more": has_more}
    assert parse_query(params).pagination(total) == expected


@given(st.lists(st.integers(0, 5)), st.integers(0, 8), st.integers(1, 8), st.booleans(), st.data())
def test_pages_are_the_same_without_what_lies_before_them(
    times: list[int], offset: int, limit: int, descending: bool, data: st.DataObject
) -> None:
    jobs = [job(str(index), created) for index, created in enumerate(sorted(times))]
    query = JobQuery(offset=offset, limit=limit, descending=descending)
    skipped = data.draw(st.integers(0, min(offset, len(jobs))))
    rest = jobs[: len(jobs) - skipped] if descending else jobs[skipped:]
    assert query.page(rest, skipped) == query.page(jobs)


@given(
    st.dictionaries(
        st.sampled_from(["status", "workflow_id", "sort_by", "sort_order", "limit", "offset"]),
        st.text() | st.sampled_from([*STATUSES, "asc", "created_at", "3", "\0", "٣"]),
    )
)
def test_any_parameters_are_understood_or_refused(params: dict[str, str]) -> None:
    try:
        query = parse_query(params)
    except BadRequest as refusal:
        assert refusal.fields.keys() == {"field"}
        return
    assert query.statuses <= set(STATUSES)
    assert 0 <= query.offset <= MAX_OFFSET
    assert 1 <= query.size <= MAX_PAGE
