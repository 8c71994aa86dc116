"""`manage.py backup FILE`: everything that the gateway keeps, in one file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from mssproject.backup import console, making
from mssproject.backup.progress import Progress


class Command(BaseCommand):
    help = (
        "write database, people's saved files and the secret key into one file, which only its "
        "owner can read. The gateway may run meanwhile. ComfyUI's models and pictures are not kept."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a new file: ….tar, or compressed ….tar.gz")
        parser.add_argument(
            "--without-keys",
            action="store_true",
            help="leave the secret key out. Then keep it elsewhere: without it authenticator apps "
            "and keys for sites are lost",
        )

    def handle(self, *args: Any, file: Path, without_keys: bool, **options: Any) -> None:
        say = self.stdout.write if options["verbosity"] else lambda text: None
        progress = Progress(say)
        with console.told(progress):
            made = making.make(file.absolute(), progress, without_keys=without_keys)
        accounts = made.tables["accounts_user"].rows
        say(f"{file}: {accounts:,} accounts, {made.files.number:,} files.")
        if made.key.kept == "environment":
            say("SECRET_KEY comes from the environment and is not in it. Keep it elsewhere.")
        elif made.key.kept == "left out":
            say("The secret key is not in it. Keep it elsewhere.")
        if made.key.fallbacks:
            say("SECRET_KEY_FALLBACKS are not in it. ./run manage rotate_secrets ends their use.")
