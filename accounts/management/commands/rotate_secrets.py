"""`manage.py rotate_secrets`: after SECRET_KEY changed, so that the former one can be dropped."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import crypto
from accounts.audit import audit
from accounts.models import TotpDevice


class Command(BaseCommand):
    help = (
        "Encrypt the authenticator apps' secrets under the current SECRET_KEY. Afterwards "
        "SECRET_KEY_FALLBACKS can go."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rotated, unreadable = 0, []
        for device in TotpDevice.objects.select_related("user").order_by("user__username"):
            try:
                secret = crypto.rotated(device.secret)
            except crypto.DecryptionError:
                unreadable.append(str(device.user))
                continue
            # One that its user replaced in the meantime is under the current key already.
            same = TotpDevice.objects.filter(pk=device.pk, secret=device.secret)
            rotated += same.update(secret=secret)
        audit("secrets.rotated", rotated=rotated, left=unreadable)
        self.stdout.write(f"{rotated} secrets are encrypted under the current SECRET_KEY.")
        if unreadable:
            raise CommandError(
                "No known key reads the secrets of these users, which were left as they are: "
                f"{', '.join(unreadable)}. Put the key they were made under into "
                "SECRET_KEY_FALLBACKS and run this again, or let these users set up their "
                "authenticator app anew."
            )
