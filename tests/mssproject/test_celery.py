"""The worker's timetable names tasks that there are."""

from mssproject.celery import app


def test_every_planned_task_exists_and_housekeeping_is_planned() -> None:
    app.loader.import_default_modules()
    planned = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert planned <= app.tasks.keys()
    assert {"accounts.tasks.remove_stale", "accounts.tasks.forget_old"} <= planned
