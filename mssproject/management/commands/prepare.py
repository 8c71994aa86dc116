"""`manage.py prepare`: what `./run` does before it starts the server; safe to repeat."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts import guests, queries, services
from accounts.capabilities import OWNER_SLUG
from accounts.errors import GatewayError
from comfyproxy import nsfwpolicy
from mssproject import demo


class Command(BaseCommand):
    help = "Migrate, collect static files, create the owner from the environment or a setup token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="create the demo's users")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("collectstatic", verbosity=0, interactive=False)
        call_command("check")
        guests.end_sessions_if_off()
        self.stdout.write(f"told {nsfwpolicy.sentence()}")
        if options["demo"]:
            self._create_demo_users()
        if services.has_owner():
            return
        if settings.MSS_OWNER_USERNAME and settings.MSS_OWNER_PASSWORD:
            self._create_owner(settings.MSS_OWNER_USERNAME, settings.MSS_OWNER_PASSWORD)
            return
        # A line that the supervisor reads and shows as a link.
        self.stdout.write(f"setup-token {services.new_setup_token()}")

    def _create_owner(self, username: str, password: str) -> None:
        try:
            services.create_owner(username=username, password=password)
        except GatewayError as error:
            raise CommandError(f"MSS_OWNER_USERNAME, MSS_OWNER_PASSWORD: {error.message}") from None
        self.stdout.write(f"created the owner {username}")

    def _create_demo_users(self) -> None:
        for role in demo.ROLES:
            if queries.user_by_name(role) is not None:
                continue
            if role == OWNER_SLUG:
                services.create_owner(username=role, password=demo.PASSWORD)
            else:
                services.create_user(username=role, password=demo.PASSWORD, role=role, actor=None)
