"""`manage.py restore FILE`: put a backup in force."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from mssproject.backup import console, restoring
from mssproject.backup.progress import Progress


class Command(BaseCommand):
    help = (
        "Put a backup in force, into SQLite or PostgreSQL, whichever this gateway uses. Stop the "
        "gateway first, on every machine. All of the backup is checked before anything changes."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--check", action="store_true", help="only see whether it is whole and fits here"
        )
        parser.add_argument(
            "--replace",
            action="store_true",
            help="take the place of accounts and files that are here; they are kept beside",
        )
        parser.add_argument(
            "--other-key",
            action="store_true",
            help="although its secret key is lost: everybody logs in anew, and sets up their "
            "authenticator app and keys for sites again",
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        say = self.stdout.write if options["verbosity"] else lambda text: None
        progress = Progress(say)
        source, other_key = file.absolute(), options["other_key"]
        kept: list[str] = []
        with console.told(progress):
            if options["check"]:
                manifest = restoring.check(source, progress, other_key=other_key)
            else:
                manifest, kept = restoring.restore(
                    source, progress, replace=options["replace"], other_key=other_key
                )
        accounts = manifest.tables["accounts_user"].rows
        of = f"{accounts:,} accounts, {manifest.files.number:,} files"
        moment = f"{manifest.made_at:%Y-%m-%d %H:%M} UTC"
        if options["check"]:
            say(f"{file} is whole and can be restored here: {of}, of {moment}.")
            return
        say(f"Restored: {of}, as of {moment}. The gateway can be started.")
        for place in kept:
            say(f"What was there before is kept: {place}")
        if manifest.key.fallbacks:
            say("SECRET_KEY_FALLBACKS were in force then: set them here too.")
