"""Second factors: authenticator apps, backup codes, and logins that wait for one of them.

Passkeys are django-otp-webauthn's model.
"""

from datetime import datetime, timedelta
from hmac import compare_digest
from time import time
from typing import ClassVar, Final

from django.conf import settings
from django.db import models
from django.utils import timezone
from django_otp.models import Device
from django_otp.oath import hotp

from accounts import crypto

STEP_SECONDS: Final = 30
DIGITS: Final = 6
# A clock may be off by this many steps either way (RFC 6238 section 5.2).
TOLERANCE_STEPS: Final = 1
CHALLENGE_MINUTES: Final = 10


def default_expiry() -> datetime:
    return timezone.now() + timedelta(minutes=CHALLENGE_MINUTES)


class TotpDevice(Device):
    """An authenticator app (RFC 6238). One per user; not in force until confirmed."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    secret = models.TextField(editable=False, help_text="Encrypted.")
    # The last time step that was used: a code works once.
    last_step = models.BigIntegerField(default=-1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "authenticator app"

    @property
    def key(self) -> bytes:
        """The shared secret.

        Raises:
            DecryptionError
        """
        return bytes.fromhex(crypto.decrypt(self.secret))

    def verify_token(self, token: str) -> bool:
        """Whether `token` is right now, and was not used before. Uses it up."""
        if not token.isascii() or not token.isdigit() or len(token) != DIGITS:
            return False
        step = self._step_of(token)
        if step is None:
            return False
        # Of two requests with one code only one gets the row.
        used = TotpDevice.objects.filter(pk=self.pk, last_step__lt=step).update(last_step=step)
        self.last_step = step
        return used == 1

    def _step_of(self, token: str) -> int | None:
        """The time step whose code this is. Every allowed step is computed, so that the time
        taken does not tell which one it was."""
        key, now = self.key, int(time()) // STEP_SECONDS
        found = None
        for step in range(now - TOLERANCE_STEPS, now + TOLERANCE_STEPS + 1):
            if compare_digest(f"{hotp(key, step, DIGITS):0{DIGITS}}", token):
                found = step
        return found


class BackupCode(models.Model):
    """One of a user's backup codes, hashed. Works once."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="backup_codes"
    )
    code_hash = models.CharField(max_length=64, editable=False)
    used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "code_hash"), name="accounts_backup_code"),
        )

    def __str__(self) -> str:
        return "used" if self.used_at else "unused"


class Challenge(models.Model):
    """Something begun that waits for a second factor or a passkey.

    The temp token is its key, of which only the hash is kept. `purpose` says what it
    finishes; `data` what that needs.
    """

    class Purpose(models.TextChoices):
        LOGIN = "login", "log in"
        SETUP = "setup", "set a second factor up, then log in"
        TOKEN = "token", "create an API token"
        PASSKEY = "passkey", "log in with a passkey alone"
        PROOF = "proof", "prove oneself again for a change"
        REGISTER = "register", "add a passkey"

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    # None: who it is will be known from the passkey.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+"
    )
    purpose = models.CharField(max_length=8, choices=Purpose)
    data = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)
    expires_at = models.DateTimeField(default=default_expiry, db_index=True)

    MAX_ATTEMPTS: ClassVar[int] = 5

    def __str__(self) -> str:
        return f"{self.purpose} of {self.user_id}"
