"""`manage.py rotate_secrets`: after SECRET_KEY changed, so that the former one can be dropped."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

from accounts import crypto
from accounts.audit import audit
from accounts.models import TotpDevice


def encrypted() -> list[tuple[Any, str]]:
    """(model, field) of all that `crypto` encrypted. The other apps, of which this one knows
    nothing, name theirs in their `AppConfig`: `encrypted_fields`. Each row has a `user`."""
    found: list[tuple[Any, str]] = [(TotpDevice, "secret")]
    for config in apps.get_app_configs():
        named = getattr(config, "encrypted_fields", ())
        found += [(config.get_model(model), field) for model, field in named]
    return found


class Command(BaseCommand):
    help = (
        "Encrypt the secrets of authenticator apps and the users' keys for sites under the "
        "current SECRET_KEY. Afterwards SECRET_KEY_FALLBACKS can go."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rotated = 0
        left: set[str] = set()
        for model, field in encrypted():
            for row in model.objects.select_related("user"):
                value = getattr(row, field)
                try:
                    renewed = crypto.rotated(value)
                except crypto.DecryptionError:
                    left.add(str(row.user))
                    continue
                # One that its user replaced in the meantime is under the current key already.
                same = model.objects.filter(pk=row.pk, **{field: value})
                rotated += same.update(**{field: renewed})
        unreadable = sorted(left)
        audit("secrets.rotated", rotated=rotated, left=unreadable)
        self.stdout.write(f"{rotated} secrets are encrypted under the current SECRET_KEY.")
        if unreadable:
            raise CommandError(
                "No known key reads the secrets of these users, which were left as they are: "
                f"{', '.join(unreadable)}. Put the key they were made under into "
                "SECRET_KEY_FALLBACKS and run this again, or let these users set up their "
                "authenticator app, and store their keys for sites, anew."
            )
