"""How the worker's tasks ran: for the admin."""

from typing import Final

from django.db import models

MAX_ERROR_CHARS: Final = 300


class TaskRun(models.Model):
    """The last run of one of the worker's tasks."""

    task = models.CharField(max_length=200, primary_key=True)
    worker = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    # Empty: it runs, or its worker died over it.
    finished_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=MAX_ERROR_CHARS, blank=True)

    class Meta:
        ordering = ("task",)
        verbose_name = "worker's task"
        verbose_name_plural = "workers and tasks"

    def __str__(self) -> str:
        return self.task
