"""What the gateway remembers about ComfyUI's things: whose prompts and files they are, how
ComfyUI is; rules of the admin."""

import hashlib
import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.capabilities import DESCRIPTIONS
from accounts.models import User
from comfyproxy.files import FileRef
from comfyproxy.relay import CORE_EVENTS


class PromptRecord(models.Model):
    """A prompt that a user sent; written before ComfyUI is asked."""

    class State(models.TextChoices):
        # ComfyUI was asked and has not answered yet (or the gateway died meanwhile).
        SUBMITTING = "submitting", "being submitted"
        ACCEPTED = "accepted", "waiting or running"
        SUCCESS = "success", "finished"
        ERROR = "error", "failed"
        # Stopped while it ran.
        INTERRUPTED = "interrupted", "interrupted"
        # Taken out of the queue before it ran.
        CANCELLED = "cancelled", "cancelled"
        # ComfyUI knew it no more before its end was seen: it restarted, or forgot it.
        LOST = "lost", "lost"

    UNFINISHED: ClassVar = (State.SUBMITTING, State.ACCEPTED)

    prompt_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="prompts"
    )
    client_id = models.CharField(max_length=256, null=True)  # noqa: DJ001 - absent is not empty
    number = models.PositiveIntegerField(help_text="The user's own counter.")
    result_nodes = models.JSONField(default=list)
    workflow_id = models.CharField(max_length=100, blank=True)
    size_bytes = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State, default=State.SUBMITTING)
    # Whether ComfyUI's queue or history may still hold it.
    listed = models.BooleanField(default=True)
    created_at = models.DateTimeField("queued", default=timezone.now)
    started_at = models.DateTimeField("started", null=True)
    finished_at = models.DateTimeField("finished", null=True)
    execution_seconds = models.FloatField(null=True)

    class Meta:
        verbose_name = "prompt"
        verbose_name_plural = "prompts"
        ordering = ("-created_at",)
        indexes: ClassVar = [
            models.Index(fields=("user", "-created_at"), name="prompt_by_user"),
            models.Index(fields=("-created_at",), name="prompt_by_time"),
            models.Index(
                fields=("user", "-created_at", "-prompt_id"),
                name="prompt_listed",
                condition=Q(listed=True),
            ),
            models.Index(
                fields=("-created_at",),
                name="prompt_unfinished",
                condition=Q(state__in=("submitting", "accepted")),
            ),
        ]

    def __str__(self) -> str:
        return str(self.prompt_id)


class FileRecord(models.Model):
    """A file of ComfyUI's that the gateway saw come from somebody.

    What lies in a namespace is its user's by its path alone; for `temp` previews and custom
    nodes' outputs elsewhere these records say whose they are.
    """

    # SHA-256 of type and path: paths are longer than PostgreSQL's indexes take.
    key = models.CharField(max_length=64, unique=True, editable=False)
    type = models.CharField(max_length=6)
    subfolder = models.CharField(max_length=1100, blank=True)
    filename = models.CharField(max_length=300)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    # Since when a worker is to look whether it is explicit; empty: it need not.
    unscored_since = models.DateTimeField(null=True, editable=False)
    # Out of reach for everybody but administrators, until it is restored or deleted for good.
    quarantined_at = models.DateTimeField(null=True, editable=False)
    # Whose it was who was deleted with their files. As long as nobody owns it since, it is
    # hidden, and deleted where this machine can.
    former = models.ForeignKey(
        "FormerNamespace", null=True, on_delete=models.SET_NULL, related_name="files"
    )

    class Meta:
        verbose_name = "file"
        verbose_name_plural = "files"
        ordering = ("-created_at",)
        indexes: ClassVar = [
            models.Index(
                fields=("unscored_since",),
                name="file_unscored",
                condition=Q(unscored_since__isnull=False),
            ),
            models.Index(
                fields=("quarantined_at",),
                name="file_quarantined",
                condition=Q(quarantined_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.ref.annotated()

    @classmethod
    def of(cls, ref: FileRef, moment: datetime | None = None) -> Self:
        """A record, not saved, of that file, made at that moment (None: now)."""
        return cls(
            key=cls.key_of(ref),
            type=ref.type,
            subfolder=ref.subfolder,
            filename=ref.filename,
            created_at=moment or timezone.now(),
        )

    @staticmethod
    def key_of(ref: FileRef) -> str:
        return hashlib.sha256(f"{ref.type}/{ref.path}".encode()).hexdigest()

    @property
    def ref(self) -> FileRef:
        return FileRef(self.type, self.subfolder, self.filename)


class FileOwner(models.Model):
    """Whose a recorded file is, and which prompt made it (none: an upload).

    Outside the namespaces it is theirs only as long as it is the `version` that their prompt
    wrote: the next prompt that writes the same name makes it another's.
    """

    file = models.ForeignKey(FileRecord, on_delete=models.CASCADE, related_name="owners")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="files"
    )
    prompt = models.ForeignKey(
        PromptRecord, null=True, on_delete=models.CASCADE, related_name="files"
    )
    # As the record's, once more for the index.
    type = models.CharField(max_length=6)
    made_at = models.DateTimeField(default=timezone.now)
    # ComfyUI's ETag of it; empty for what lies in the user's own folder.
    version = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("file", "user", "prompt"), name="fileowner_once"),
            models.UniqueConstraint(
                fields=("file", "user"),
                condition=Q(prompt__isnull=True),
                name="fileowner_upload_once",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=("user", "type", "-made_at"), name="file_by_user")]

    def __str__(self) -> str:
        return f"{self.file_id} of {self.user_id}"


class ContentVerdict(models.Model):
    """Whether a content is explicit: what a classifier made of it, and what people say, which
    wins. Known by its hash, so that every copy of it is judged alike."""

    class Tag(models.TextChoices):
        NONE = "", "not said"
        NSFW = "nsfw", "explicit"
        SAFE = "sfw", "not explicit"

    sha256 = models.CharField(max_length=64, primary_key=True, editable=False)
    score = models.FloatField(null=True)
    label = models.CharField(max_length=60, blank=True)
    classifier = models.CharField(max_length=60, blank=True)
    classifier_version = models.CharField(max_length=60, blank=True)
    # Why there is no score, in the classifiers' words; whether another try would end alike.
    reason = models.CharField(max_length=30, blank=True)
    is_final = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    scored_at = models.DateTimeField(null=True)
    tag = models.CharField(max_length=4, choices=Tag, blank=True, default=Tag.NONE)
    # What whoever tagged it gave beside: another program's score, its name for it.
    tag_score = models.FloatField(null=True)
    tag_label = models.CharField(max_length=60, blank=True)
    tagged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    tagged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "picture"

    def __str__(self) -> str:
        return self.sha256[:12]


class FileContent(models.Model):
    """Which content a version of a file has. `version` is ComfyUI's ETag."""

    file = models.ForeignKey(FileRecord, on_delete=models.CASCADE, related_name="contents")
    version = models.CharField(max_length=100)
    content = models.ForeignKey(ContentVerdict, on_delete=models.CASCADE, related_name="files")
    size = models.BigIntegerField()
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("-seen_at",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("file", "version"), name="filecontent_once")
        ]

    def __str__(self) -> str:
        return f"{self.content_id[:12]} in {self.file_id}"


class NsfwScan(models.Model):
    """A look at all known pictures that somebody asked for: how far it is."""

    class Status(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        STOPPED = "stopped", "stopped"

    status = models.CharField(max_length=8, choices=Status, default=Status.RUNNING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    flagged = models.PositiveIntegerField(default=0)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    # It goes from new to old: the last file that was looked at.
    last_id = models.BigIntegerField(null=True)

    class Meta:
        ordering = ("-started_at",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=("status",), condition=Q(status="running"), name="nsfwscan_one_running"
            )
        ]

    def __str__(self) -> str:
        return f"{self.done} of {self.total}"


class FormerNamespace(models.Model):
    """The folder of a user who was deleted, and what is to become of their things."""

    namespace = models.CharField(max_length=12, unique=True)
    username = models.CharField(max_length=150)
    keep_files = models.BooleanField(
        help_text="Kept files are open to whoever sees everybody's; others to nobody."
    )
    # Of the prompts that ComfyUI may still hold: taken out of its queue and history.
    prompt_ids = models.JSONField(default=list)
    deleted_at = models.DateTimeField(default=timezone.now)
    # When ComfyUI's queue, history and folders were cleared of them; empty: not yet.
    done_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "deleted user's things"
        verbose_name_plural = "deleted users' things"
        ordering = ("-deleted_at",)

    def __str__(self) -> str:
        return f"{self.username} ({self.namespace})"


class StorageUse(models.Model):
    """How much room a user's files took when they were last measured."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    # Workflows and other files that the gateway keeps.
    saved_bytes = models.BigIntegerField()
    # In ComfyUI's folders, as far as they are on this machine; empty: none is.
    made_bytes = models.BigIntegerField(null=True)
    total_bytes = models.BigIntegerField()
    measured_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.total_bytes} of {self.user_id}"


class Backend(models.Model):
    """A ComfyUI, and how it was when it was last looked at. One row at present."""

    name = models.SlugField(unique=True, default="comfyui")
    checked_at = models.DateTimeField(null=True)
    # The prompt that ran then, and since when it is seen to run without a sign of progress.
    running_id = models.CharField(max_length=300, blank=True)
    running_since = models.DateTimeField(null=True)
    # Since when prompts wait while none runs.
    idle_since = models.DateTimeField(null=True)
    fault = models.CharField(max_length=300, blank=True)
    fault_since = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "ComfyUI"
        verbose_name_plural = "ComfyUI"

    def __str__(self) -> str:
        return self.name


class BroadcastEvent(models.Model):
    """A type of event that custom nodes send to everybody and that every user may see."""

    event_type = models.CharField(
        max_length=100,
        unique=True,
        help_text="As the node sends it, such as crystools.monitor. Its data must be nobody's: "
        "every open page receives it.",
    )
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = "event for all"
        verbose_name_plural = "events for all"
        ordering = ("event_type",)

    def __str__(self) -> str:
        return self.event_type

    def clean(self) -> None:
        if self.event_type in CORE_EVENTS:
            raise ValidationError(
                {"event_type": "This event is ComfyUI's own. Name one that a custom node sends."}
            )


class UserSetting(models.Model):
    """One setting of ComfyUI's frontend as one user has it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="comfy_settings"
    )
    setting_id = models.CharField(max_length=200)
    # JSON, as a text: the database need not understand it.
    value = models.TextField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("user", "setting_id"), name="usersetting_once")
        ]

    def __str__(self) -> str:
        return f"{self.setting_id} of {self.user_id}"


class UserTree(User):
    """A user as the holder of files: what the admin's pages of files hang on."""

    class Meta:
        proxy = True
        verbose_name = "user's workflows and files"
        verbose_name_plural = "workflows and files"


class SettingDefault(models.Model):
    """What a setting of ComfyUI's frontend is for who has not set it; or, locked, for all."""

    setting_id = models.CharField(
        "setting",
        max_length=200,
        unique=True,
        help_text="As ComfyUI names it, such as Comfy.UseNewMenu. ComfyUI's own settings file, "
        "user/default/comfy.settings.json, shows the names.",
    )
    value = models.JSONField(
        null=True,
        blank=True,
        help_text='As JSON: true, 0.5, "Top". Empty: as the frontend has it.',
    )
    locked = models.BooleanField(
        default=False,
        help_text="Users' own changes of it do not count, except for who may "
        "“see and change settings that are locked for others”.",
    )
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("setting_id",)
        verbose_name = "frontend setting"

    def __str__(self) -> str:
        return self.setting_id


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
        verbose_name = "rule for routes"
        verbose_name_plural = "rules for routes"
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
