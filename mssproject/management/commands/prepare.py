"""`manage.py prepare`: what `./run` does before it starts the server; safe to repeat."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from filelock import FileLock

from accounts import guests, proofs, queries, services
from accounts.capabilities import OWNER_SLUG
from accounts.errors import GatewayError
from comfyproxy import nsfwpolicy
from mssproject import demo, presence
from mssproject.backup import restoring
from mssproject.backup.errors import BackupError

# Any number that nothing else locks in this database (PostgreSQL's advisory locks).
MIGRATION_LOCK: Final = 0x6D73735F


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Several machines may start at once; one of them makes the tables, the others wait."""
    if connection.vendor != "postgresql":
        settings.MSS_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(settings.MSS_DATA_DIR / "migrating.lock"):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


# Of drf-spectacular's sidecar: a second browser for the same document, and maps of the scripts.
NOT_SERVED: Final = ["redoc", "*.map"]


class Command(BaseCommand):
    help = "Migrate, collect static files, create the owner from the environment or a setup token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="create the demo's users")
        parser.add_argument("--worker", action="store_true", help="only what workers need")

    def handle(self, *args: Any, **options: Any) -> None:
        self._begin()
        with one_at_a_time():
            call_command("migrate", verbosity=0, interactive=False)
        call_command("check")
        if options["worker"]:
            return
        call_command("collectstatic", verbosity=0, interactive=False, ignore_patterns=NOT_SERVED)
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
        self.stdout.write(f"setup-token {proofs.new_setup_token()}")

    def _begin(self) -> None:
        """From here on no backup is restored; one that was half in force is by now."""
        try:
            if restoring.finish_interrupted():
                self.stdout.write("told The restore that was interrupted is finished.")
            presence.hold()
        except (BackupError, presence.InUse) as refusal:
            raise CommandError(str(refusal)) from None

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
