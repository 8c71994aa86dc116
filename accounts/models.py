"""Users, roles, sessions and API tokens."""

import secrets
import string
import uuid
from datetime import datetime
from ipaddress import ip_network
from typing import Any, ClassVar

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    Group,
    PermissionsMixin,
)
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from accounts import languages
from accounts.capabilities import ADMIN_RANK, DESCRIPTIONS, OWNER_SLUG
from accounts.mfa_models import BackupCode, Challenge, TotpDevice

__all__ = [
    "AccountLink",
    "ApiToken",
    "AuditEntry",
    "BackupCode",
    "Challenge",
    "IpRule",
    "Job",
    "ModelGrant",
    "Role",
    "Session",
    "SetupToken",
    "TotpDevice",
    "User",
]

NAMESPACE_ALPHABET = string.ascii_lowercase + string.digits


def new_namespace() -> str:
    """An opaque folder name; 36^10 of them, so guessing one is no way in."""
    return "u-" + "".join(secrets.choice(NAMESPACE_ALPHABET) for _ in range(10))


class RoleManager(models.Manager["Role"]):
    """Roles by their slug."""

    def get_by_natural_key(self, slug: str) -> "Role":
        return self.get(slug=slug)


class Role(Group):
    """What a kind of user may do. Its Django permissions are the capabilities.

    The slug never changes and is what users refer to, so that the database itself can hold
    "one owner at most" as a constraint. The name is for people.
    """

    slug = models.SlugField(unique=True, max_length=50)
    title = models.CharField(max_length=80)
    rank = models.PositiveSmallIntegerField(
        default=40, help_text="Nobody manages a user whose role ranks above their own."
    )
    is_staff = models.BooleanField("may open the admin", default=False)
    mfa_required = models.BooleanField("requires a second factor", default=False)
    sfw_enforced = models.BooleanField("is not shown explicit images", default=False)
    blocked_node_classes = models.JSONField(
        default=list, blank=True, help_text="Node classes that prompts of this role may not use."
    )
    max_waiting_prompts = models.PositiveIntegerField(
        null=True, blank=True, help_text="Most prompts waiting per user. Empty: no limit."
    )
    max_prompt_bytes = models.PositiveIntegerField(
        null=True, blank=True, help_text="Largest prompt, in bytes. Empty: 10 MB, as for all."
    )

    objects: ClassVar[RoleManager] = RoleManager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-rank", "slug")
        permissions = tuple((str(cap), text) for cap, text in DESCRIPTIONS.items())

    def __str__(self) -> str:
        return self.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        # The Group's name is unique among roles and teams; the slug stands in for it.
        self.name = self.slug
        super().save(*args, **kwargs)

    def clean(self) -> None:
        if Group.objects.filter(name=self.slug).exclude(pk=self.pk).exists():
            raise ValidationError({"slug": "A team has this name."})
        if self.blocked_node_classes is None:  # an emptied field of a form
            self.blocked_node_classes = []
        classes = self.blocked_node_classes
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValidationError({"blocked_node_classes": "Give a list of class names."})


class UserManager(BaseUserManager["User"]):
    """Makes users with a normalised name and a hashed password."""

    def create_user(self, username: str, password: str | None, role: str = "user") -> "User":
        user = self.model(username=self.model.normalize_username(username), role_id=role)
        user.set_password(password)
        user.full_clean()
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(username__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """An account. Exactly one role; any number of plain groups (teams), which carry grants only."""

    username = models.CharField(
        max_length=150,
        unique=True,
        validators=[UnicodeUsernameValidator()],
        error_messages={"unique": "This user name is taken."},
    )
    email = models.EmailField(blank=True)
    role = models.ForeignKey(Role, on_delete=models.PROTECT, to_field="slug", related_name="users")
    namespace = models.CharField(
        max_length=12,
        unique=True,
        default=new_namespace,
        editable=False,
        help_text="Folder of this user's files. Opaque, and stays when the name changes.",
    )
    is_active = models.BooleanField("active", default=True)
    mfa_required = models.BooleanField("requires a second factor", null=True, blank=True)
    sfw_enforced = models.BooleanField("is not shown explicit images", null=True, blank=True)
    language = models.CharField(
        max_length=20,
        blank=True,
        choices=languages.choices,
        help_text="Of the pages and mails. Empty: as the browser says.",
    )
    # Several people use it at once (the guest's): nobody of them may change it.
    shared = models.BooleanField(default=False, editable=False)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ("username",)
        constraints = (
            models.UniqueConstraint(
                fields=("role",), condition=Q(role=OWNER_SLUG), name="accounts_one_owner"
            ),
            models.UniqueConstraint(Lower("username"), name="accounts_username_any_case"),
            # An owner who is switched off would leave nobody who could switch them on again.
            models.CheckConstraint(
                condition=~Q(role=OWNER_SLUG) | Q(is_active=True), name="accounts_owner_active"
            ),
        )

    def __str__(self) -> str:
        return self.username

    def clean(self) -> None:
        self.username = self.normalize_username(self.username)

    # Django's admin asks these; the role answers.
    @property
    def is_staff(self) -> bool:
        # Whatever the guests' role becomes: nobody administrates without a name.
        return self.role.is_staff and not self.shared

    @property
    def is_superuser(self) -> bool:  # type: ignore[override]
        return self.is_staff and self.role.rank >= ADMIN_RANK

    @property
    def is_owner(self) -> bool:
        return self.role_id == OWNER_SLUG


class ModelGrant(models.Model):
    """A model, or a pattern of models, that a user, a role or a team was given.

    Who may use what is the union of what they, their role and their teams were given
    (`accounts.grants`).
    """

    user = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.CASCADE, related_name="model_grants"
    )
    role = models.ForeignKey(
        Role,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        to_field="slug",
        related_name="model_grants",
    )
    team = models.ForeignKey(
        Group, null=True, blank=True, on_delete=models.CASCADE, related_name="team_grants"
    )
    folder = models.CharField(max_length=100, help_text="Such as checkpoints. * for every folder.")
    item_name = models.CharField(
        "model",
        max_length=500,
        help_text="As ComfyUI lists it, with its sub folder. * stands for any text: portraits/*",
    )
    source_backend = models.CharField(
        max_length=200, blank=True, help_text="Empty: the ComfyUI that this gateway serves."
    )
    granted_by = models.ForeignKey(
        User, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    granted_by_role = models.CharField(max_length=50, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("folder", "item_name")
        constraints = (
            models.CheckConstraint(
                condition=(
                    Q(user__isnull=False, role__isnull=True, team__isnull=True)
                    | Q(user__isnull=True, role__isnull=False, team__isnull=True)
                    | Q(user__isnull=True, role__isnull=True, team__isnull=False)
                ),
                name="modelgrant_one_holder",
            ),
            *(
                models.UniqueConstraint(
                    fields=(holder, "folder", "item_name", "source_backend"),
                    condition=Q(**{f"{holder}__isnull": False}),
                    name=f"modelgrant_once_for_{holder}",
                )
                for holder in ("user", "role", "team")
            ),
        )

    def __str__(self) -> str:
        return f"{self.folder}/{self.item_name} for {self.holder}"

    @property
    def holder(self) -> User | Role | Group:
        """Who was given it."""
        found = self.user or self.role or self.team
        assert found is not None, "the database holds one of them to be there"
        return found


class Session(models.Model):
    """One login. Its JWT carries the `jti`; ending the row ends the JWT."""

    jti = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    last_used_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    # Whether the login proved a second factor.
    second_factor = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.user_id} since {self.created_at:%Y-%m-%d %H:%M}"


class ApiToken(models.Model):
    """A long-lived token for apps and scripts. Only its SHA-256 is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    label = models.CharField(max_length=100, blank=True)
    scopes = models.JSONField(
        null=True, blank=True, help_text="Capabilities it is limited to. Empty: all of the role's."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_ip = models.GenericIPAddressField(null=True, blank=True, editable=False)
    networks = models.JSONField(
        default=list, blank=True, help_text="Networks it may be used from. Empty: all."
    )
    in_path = models.BooleanField(
        "may stand in the address",
        default=False,
        help_text="For apps that take nothing but a base URL: /t/<token>/…",
    )

    HASH_PREFIX_CHARS: ClassVar[int] = 12

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.label or self.token_hash_prefix

    @property
    def token_hash_prefix(self) -> str:
        return self.token_hash[: self.HASH_PREFIX_CHARS]

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class SetupToken(models.Model):
    """The hash of the one-time token for `/register`; a single row, gone once there is an owner."""

    token_hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return "setup token"


class AccountLink(models.Model):
    """An address that lets whoever has it make an account, or set the password of one. Once."""

    class Kind(models.TextChoices):
        INVITATION = "invitation", "invitation"
        PASSWORD = "password", "new password"

    kind = models.CharField(max_length=10, choices=Kind)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    # Of an invitation: what the new account will be. Of a password link: whose it is.
    role = models.ForeignKey(
        Role, null=True, blank=True, on_delete=models.CASCADE, to_field="slug", related_name="+"
    )
    user = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    email = models.EmailField(blank=True, help_text="Where it was mailed to.")
    note = models.CharField(max_length=100, blank=True, help_text="For whom it is.")
    created_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "invitation or password link"
        verbose_name_plural = "invitations and password links"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.note}".strip()


class IpRule(models.Model):
    """A network that may come in, or may not; see `accounts.iprules` for what that means."""

    class Kind(models.TextChoices):
        ALLOW = "allow", "allow"
        DENY = "deny", "deny"

    kind = models.CharField(max_length=5, choices=Kind)
    network = models.CharField(
        max_length=50, help_text="An address or a network: 10.0.0.5, 192.168.0.0/16, 2001:db8::/32"
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("kind", "network")
        verbose_name = "IP rule"
        constraints = (
            models.UniqueConstraint(fields=("kind", "network"), name="accounts_iprule_once"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.network}"

    def clean(self) -> None:
        try:
            self.network = str(ip_network(self.network.strip(), strict=False))
        except ValueError:
            raise ValidationError({"network": "Give an address or a network."}) from None


class AppendOnlyError(Exception):
    """Rows of the audit log are neither changed nor removed."""


class AppendOnlyQuerySet(models.QuerySet["AuditEntry"]):
    """Reads and adds. Only Django itself, which empties the keys of a deleted account, and
    `accounts.audit.forget_old` go past it, by the model's base manager."""

    def update(self, **kwargs: Any) -> int:
        raise AppendOnlyError

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError

    def bulk_create(self, *args: Any, **kwargs: Any) -> Any:
        raise AppendOnlyError  # it can overwrite


class AuditEntry(models.Model):
    """What happened to whom, by whom, from where. Rows are only ever added."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    event = models.CharField(max_length=60)
    # Names are kept beside the keys, so that the trail outlives the account.
    actor = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False
    )
    actor_name = models.CharField(max_length=150, blank=True)
    subject = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False
    )
    subject_name = models.CharField(max_length=150, blank=True)
    details = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    ip = models.GenericIPAddressField(null=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        ordering = ("-at", "-id")
        indexes: ClassVar = [models.Index(fields=("event", "-at", "-id"), name="audit_by_event")]
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.event}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError
        # With a key of its own it would otherwise take the place of the row that has it.
        super().save(*args, **kwargs | {"force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError


class Job(models.Model):
    """Long work that somebody asked for in the admin (see `accounts.jobs`)."""

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting"
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"
        STOPPED = "stopped", "stopped"

    ACTIVE: ClassVar = (Status.WAITING, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40)
    status = models.CharField(max_length=8, choices=Status, default=Status.WAITING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    # What came of it, for people.
    said = models.CharField(max_length=300, blank=True)
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now)
    # The last sign of life of whoever does it.
    seen_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-asked_at",)
        verbose_name = "long work"
        verbose_name_plural = "long work"

    def __str__(self) -> str:
        return f"{self.kind}, {self.get_status_display()}"
