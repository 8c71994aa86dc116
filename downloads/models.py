"""Downloads that people asked for, and their keys for the sites."""

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.sentences import Sentence

MAX_ERROR = 500


class DownloadJob(models.Model):
    """A model to be downloaded. The row is the truth: the broker only wakes workers."""

    class Status(models.TextChoices):
        QUEUED = "queued", "waiting"
        RUNNING = "running", "running"
        COMPLETED = "completed", "completed"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    ACTIVE: ClassVar = (Status.QUEUED, Status.RUNNING)

    job_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="downloads"
    )
    # Who gets the model, and whose key is used.
    target = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="received_downloads"
    )
    source = models.CharField(max_length=40)
    # As it was asked for: what the source's `parse` takes.
    wanted = models.JSONField(default=dict)
    folder_type = models.CharField("folder", max_length=100, blank=True)
    destination_type = models.CharField(max_length=20, default="local")
    # Below the models folder, once it is known.
    destination = models.CharField(max_length=700, blank=True)
    filename = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    bytes_done = models.BigIntegerField(default=0)
    total_bytes = models.BigIntegerField(null=True)
    speed_bps = models.FloatField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.CharField(max_length=MAX_ERROR, blank=True)
    # Its words and the values in them, where there are some: to be told in another language.
    error_parts = models.JSONField(null=True, editable=False)
    error_code = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField("asked for", default=timezone.now)
    started_at = models.DateTimeField("started", null=True)
    finished_at = models.DateTimeField("finished", null=True)
    # How often it was begun, and before when it is not begun again.
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    # Which worker runs it, and until when that is believed without a sign of life.
    lease_owner = models.CharField(max_length=40, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "download"
        indexes: ClassVar = [
            models.Index(fields=("user", "-created_at"), name="download_by_user"),
            models.Index(
                fields=("created_at",),
                name="download_active",
                condition=Q(status__in=("queued", "running")),
            ),
        ]

    def __str__(self) -> str:
        return self.filename or str(self.job_id)

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.status in self.ACTIVE

    @property
    def progress_pct(self) -> float | None:
        """How much of it is there, as far as its size is known."""
        if self.status == self.Status.COMPLETED:
            return 100.0
        if not self.total_bytes:
            return None
        return round(min(100.0, 100.0 * self.bytes_done / self.total_bytes), 1)

    @property
    def sentence(self) -> str:
        """The error, in English, as `accounts.telling` takes it."""
        return Sentence(*self.error_parts) if self.error_parts else self.error

    def eta_seconds(self) -> float | None:
        """How long it will take at the present speed."""
        if self.status != self.Status.RUNNING or not self.total_bytes or self.speed_bps <= 0:
            return None
        return round(max(0, self.total_bytes - self.bytes_done) / self.speed_bps, 1)

    def elapsed(self, now: datetime) -> float | None:
        """Seconds since it was begun, to its end if that is over."""
        if self.started_at is None:
            return None
        return round(((self.finished_at or now) - self.started_at).total_seconds(), 1)


class SourceKey(models.Model):
    """A user's key for a site, encrypted; never shown again."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="source_keys"
    )
    source = models.CharField(max_length=40)
    value = models.TextField(editable=False)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("user", "source")
        verbose_name = "key for a site"
        verbose_name_plural = "keys for sites"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("user", "source"), name="sourcekey_once")
        ]

    def __str__(self) -> str:
        return f"{self.source} key of {self.user}"
