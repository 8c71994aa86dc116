"""What the gateway remembers about ComfyUI's things: whose prompt it is; rules of the admin."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from accounts.capabilities import DESCRIPTIONS


class PromptRecord(models.Model):
    """A prompt that a user sent; written before ComfyUI is asked."""

    class State(models.TextChoices):
        # ComfyUI was asked and has not answered yet (or the gateway died meanwhile).
        SUBMITTING = "submitting", "being submitted"
        ACCEPTED = "accepted", "accepted"
        # ComfyUI knows it no more: it restarted, or its history was cut.
        LOST = "lost", "lost"
        # Its owner removed it from the history or the queue.
        REMOVED = "removed", "removed"

    prompt_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="prompts"
    )
    client_id = models.CharField(max_length=256, null=True)  # noqa: DJ001 - absent is not empty
    number = models.PositiveIntegerField(help_text="The user's own counter.")
    result_nodes = models.JSONField(default=list)
    state = models.CharField(max_length=12, choices=State, default=State.SUBMITTING)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at",)
        indexes: ClassVar = [
            models.Index(fields=("user", "-created_at"), name="prompt_by_user"),
            models.Index(fields=("-created_at",), name="prompt_by_time"),
        ]

    def __str__(self) -> str:
        return str(self.prompt_id)


class RouteRule(models.Model):
    """A rule of the admin for routes that custom nodes added. It cannot cover a path that
    the gateway's own table names."""

    pattern = models.CharField(
        max_length=200,
        help_text="Whole segments, without /api: /my_node/list, /my_node/{name}, /my_node/{rest*}",
    )
    methods = models.CharField(
        max_length=40, default="GET", help_text="Separated by spaces: GET POST PUT PATCH DELETE"
    )
    capability = models.CharField(
        max_length=40, choices=[(str(cap), text) for cap, text in DESCRIPTIONS.items()]
    )
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("pattern",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("pattern", "methods"), name="routerule_once")
        ]

    def __str__(self) -> str:
        return f"{self.methods} {self.pattern}"

    def clean(self) -> None:
        from comfyproxy import routerules

        self.methods = " ".join(sorted(set(self.methods.upper().split())))
        try:
            routerules.check(self)
        except ValueError as error:
            raise ValidationError(str(error)) from None
