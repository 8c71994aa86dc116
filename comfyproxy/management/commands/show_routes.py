"""`manage.py show_routes`: the route table, for people or as docs/routes.md."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from comfyproxy.policy import Rule, Spelling
from comfyproxy.routes import DEFAULTS, ROUTES

COLUMNS = """\
| methods | path | capability | lane | handler | spelling |
|---|---|---|---|---|---|
"""
HEAD = """\
# Routes

Generated from `comfyproxy/routes.py` by `manage.py show_routes --markdown`; do not edit.

Every ComfyUI route the gateway knows. A route answers bare and under `/api` unless *spelling*
says otherwise. The more literal line wins. *Lane*: `stream` passes bytes on, `view` reads and
rewrites them, `socket` is the relay. The handler `later` refuses (403).

"""


class Command(BaseCommand):
    help = "Print the route policy table."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--markdown", action="store_true", help="as docs/routes.md")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["markdown"]:
            self.stdout.write(markdown(), ending="")
            return
        for rule in (*ROUTES, *DEFAULTS):
            capability = rule.capability or "public"
            self.stdout.write(
                f"{rule.methods:27} {rule.pattern:42} {capability:25} "
                f"{rule.lane.value:7} {rule.handler}"
            )


def markdown() -> str:
    """docs/routes.md, whole."""
    named = "".join(_row(rule) for rule in ROUTES)
    defaults = "".join(_row(rule) for rule in DEFAULTS)
    between = "\nWhat no line names (rules made in the admin come before this):\n\n"
    return HEAD + COLUMNS + named + between + COLUMNS + defaults


def _row(rule: Rule) -> str:
    capability = f"`{rule.capability}`" if rule.capability else "public"
    spelling = "" if rule.spelling is Spelling.BOTH else rule.spelling.value
    return (
        f"| {rule.methods} | `{rule.pattern}` | {capability} | {rule.lane.value} "
        f"| `{rule.handler}` | {spelling} |\n"
    )
