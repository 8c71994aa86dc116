"""The Celery application of the worker: `celery -A mssproject worker -B`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mssproject.settings")

app = Celery("mssproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "remove-stale-sessions": {
        "task": "accounts.tasks.remove_stale",
        "schedule": 3600.0,
    },
}
