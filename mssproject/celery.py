"""The Celery application of the workers.

`celery -A mssproject worker -B` does what is due; `celery -A mssproject worker -Q downloads -P
threads -c 5` downloads models: hours of waiting, which must not keep the first from its work.
"""

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_prerun, worker_init
from django.conf import settings

from accounts.requestnotes import RequestNotes, begin
from mssproject import broker, presence

RECONCILE_SECONDS = 15.0
CLEAR_SECONDS = 600.0
DOWNLOADS_SECONDS = 15.0
JUDGE_SECONDS = 30.0
JOBS_SECONDS = 60.0
STORAGE_SECONDS = 900.0

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mssproject.settings")

broker.use()
app = Celery("mssproject")
# Celery's "current" app is one per thread; views run in threads of their own.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
for _folder in settings.BROKER_FOLDERS:
    # The embedded broker is a folder of messages; kombu expects to find it.
    _folder.mkdir(parents=True, exist_ok=True)
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "remove-stale-sessions": {
        "task": "accounts.tasks.remove_stale",
        "schedule": 3600.0,
    },
    "forget-old-audit-rows-and-failures": {
        "task": "accounts.tasks.forget_old",
        "schedule": 3600.0,
    },
    "bring-prompts-up-to-date": {
        "task": "comfyproxy.tasks.reconcile_prompts",
        "schedule": RECONCILE_SECONDS,
        # Runs that could not begin in time are of no use later.
        "options": {"expires": RECONCILE_SECONDS},
    },
    "clear-up-behind-deleted-users": {
        "task": "comfyproxy.tasks.clear_former",
        "schedule": CLEAR_SECONDS,
        "options": {"expires": CLEAR_SECONDS},
    },
    "forget-old-temp-files": {
        "task": "comfyproxy.tasks.forget_old_temp_files",
        "schedule": 86400.0,
    },
    # Wakes the downloads of workers that died, and those that nobody was told of.
    "look-for-downloads": {
        "task": "downloads.tasks.work",
        "schedule": DOWNLOADS_SECONDS,
        "options": {"expires": DOWNLOADS_SECONDS},
    },
    "remove-old-parts-of-downloads": {
        "task": "downloads.tasks.remove_old_parts",
        "schedule": 3600.0,
    },
    # Wakes whoever judges pictures, should the gateway's own message be lost.
    "judge-pictures": {
        "task": "comfyproxy.tasks.judge_pictures",
        "schedule": JUDGE_SECONDS,
        "options": {"expires": JUDGE_SECONDS},
    },
    "purge-quarantine": {"task": "comfyproxy.tasks.purge_quarantine", "schedule": 86400.0},
    # Wakes whoever does long work, should the gateway's own message be lost.
    "do-long-work": {
        "task": "accounts.tasks.run_jobs",
        "schedule": JOBS_SECONDS,
        "options": {"expires": JOBS_SECONDS},
    },
    "measure-storage": {
        "task": "comfyproxy.tasks.measure_storage",
        "schedule": STORAGE_SECONDS,
        "options": {"expires": STORAGE_SECONDS},
    },
    "trim-user-files": {"task": "comfyproxy.tasks.trim_user_files", "schedule": 86400.0},
}


@worker_init.connect
def _say_that_it_runs(**kwargs: Any) -> None:
    presence.hold_or_exit()


@task_prerun.connect
def _note_the_task(task_id: str = "", **kwargs: Any) -> None:
    """The lines of one task have an id in common, as those of a request."""
    begin(RequestNotes(task_id[:8], lane="worker"))


@setup_logging.connect
def _our_logging(**kwargs: Any) -> None:
    """The worker's lines in our form, scrubbed like all others."""
    logging.config.dictConfig(settings.LOGGING)
