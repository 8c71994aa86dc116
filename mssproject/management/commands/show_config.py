"""`manage.py show_config`: every setting, for people or as docs/configuration.md."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from mssproject.env import ALIASES, SECRETS, Env

HEAD = """\
# Configuration

Generated from `mssproject/env.py` by `manage.py show_config --markdown`; do not edit.

Every setting is an environment variable. An empty value counts as not set; a wrong or
unknown one stops the start with a sentence naming it. A *secret* may also be given as
`NAME_FILE`, the path of a file that holds it.

| variable | default | meaning |
|---|---|---|
"""


class Command(BaseCommand):
    help = "Print the settings in force (secrets hidden), or all of them as docs/configuration.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--markdown", action="store_true", help="as docs/configuration.md")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["markdown"]:
            self.stdout.write(markdown(), ending="")
            return
        for alias, name in ALIASES.items():
            # SecretStr prints as asterisks.
            self.stdout.write(f"{alias} = {getattr(settings.ENV, name)}")


def markdown() -> str:
    """docs/configuration.md, whole."""
    rows = []
    for alias, name in ALIASES.items():
        field = Env.model_fields[name]
        default = _shown(field.default)
        secret = " *Secret.*" if alias in SECRETS else ""
        rows.append(f"| `{alias}` | {default} | {field.description}{secret} |\n")
    return HEAD + "".join(rows)


def _shown(default: Any) -> str:
    if default in (None, ()):
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
