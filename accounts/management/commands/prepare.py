"""`manage.py prepare`: what `./run` does before it starts the server; safe to repeat."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts import services
from accounts.errors import GatewayError


class Command(BaseCommand):
    help = "Migrate, collect static files, create the owner from the environment or a setup token."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("collectstatic", verbosity=0, interactive=False)
        call_command("check")
        if services.has_owner():
            return
        if settings.MSS_OWNER_USERNAME and settings.MSS_OWNER_PASSWORD:
            self._create_owner(settings.MSS_OWNER_USERNAME, settings.MSS_OWNER_PASSWORD)
            return
        # One line that the supervisor reads and shows as a link.
        self.stdout.write(f"setup-token {services.new_setup_token()}")

    def _create_owner(self, username: str, password: str) -> None:
        try:
            services.create_owner(username=username, password=password)
        except GatewayError as error:
            raise CommandError(f"MSS_OWNER_USERNAME, MSS_OWNER_PASSWORD: {error.message}") from None
        self.stdout.write(f"created the owner {username}")
