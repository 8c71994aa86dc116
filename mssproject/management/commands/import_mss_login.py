"""`manage.py import_mss_login DIR`: accounts of an installation of MSS-Login or Usgromana."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.errors import GatewayError
from accounts.mssimport import carryout, formerkeys, layout, plans, reading, report
from accounts.mssimport.folder import Folder, Unreadable
from accounts.mssimport.planned import Plan, Refused, Wishes
from comfyproxy import importedworkflows
from comfyproxy.importedworkflows import Workflows
from downloads import services as downloads


class Command(BaseCommand):
    help = (
        "Import users, roles, API tokens, models people were given, second factors, keys for "
        "download sites and workflows from a data directory of ComfyUI-MSS-Login or Usgromana, "
        "which is only read. Passwords and tokens go on working. Accounts that are here stay as "
        "they are, so it can be run again. docs/migrating.md tells it step by step."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("directory", metavar="DIR", type=Path)
        add("--dry-run", action="store_true", help="say what would be done, and do nothing")
        add(
            "--on-conflict",
            choices=("skip", "fail"),
            default="skip",
            help="what to do if a name is taken here: leave that user out (the default), or all",
        )
        add("--owner", metavar="NAME", help="which former admin becomes the owner, if none is here")
        add("--ip-rules", action="store_true", help="import allowed and blocked addresses too")
        add(
            "--match-roles",
            action="store_true",
            help="let the roles power, user, guest … that are here do what they could do there",
        )
        add(
            "--secret-key-file",
            metavar="FILE",
            type=Path,
            help="a file that holds the former SECRET_KEY, if it does not lie in DIR/.env",
        )
        add(
            "--reset-mfa",
            action="store_true",
            help="leave second factors out; who had one sets up a new one at the next login",
        )
        add(
            "--list-folders",
            action="store_true",
            help="print for each user who was imported, now or earlier, the former and the new "
            "name of their folder below ComfyUI's output and input folders",
        )

    def handle(self, *args: Any, directory: Path, **options: Any) -> None:
        wishes = Wishes(
            fail_on_conflict=options["on_conflict"] == "fail",
            owner=options["owner"],
            ip_rules=options["ip_rules"],
            reset_mfa=options["reset_mfa"],
            match_roles=options["match_roles"],
        )
        try:
            folder = Folder(directory)
            found = layout.find(folder)
            keys = formerkeys.find(folder, found.config, options["secret_key_file"])
            content = reading.read(folder, found, keys)
            plan = plans.make(content, found, wishes, keys)
            _check_site_keys(plan)
            workflows = _workflows(plan, folder, found)
            self._tell(plan, workflows)
            if options["dry_run"]:
                self.stdout.write("Nothing was changed: this was a dry run.")
                return
            with _saved(folder, workflows), transaction.atomic():
                people = carryout.carry_out(plan)
                for planned in plan.users:
                    for site, key in planned.site_keys:
                        downloads.import_key(people[planned.former.former_id], site, key)
        except (Unreadable, Refused) as error:
            raise CommandError(report.shown(str(error), limit=2000)) from None
        except GatewayError as error:
            raise CommandError(f"Nothing was imported: {error.message}") from None
        self.stdout.write("Done." if people or plan.roles or plan.rules else "Nothing was new.")
        if options["list_folders"]:
            for names in carryout.folders(content.users):
                self.stdout.write("\t".join(names))

    def _tell(self, plan: Plan, workflows: list[Workflows]) -> None:
        say = self.stdout.write
        say(f"{plan.product}:")
        for line in report.lines(plan):
            say(f"  {line}")
        files = sum(len(each.files) for each in workflows)
        say(report.summary(plan, files))
        left = [*plan.left, *(left for each in workflows for left in each.left)]
        if left:
            say(f"Left out ({len(left)}):")
        for each in left:
            say(f"  {report.left_line(each)}")
        if plan.notes:
            say("To know:")
        for note in plan.notes:
            say(f"  {report.shown(note, limit=2000)}")


def _check_site_keys(plan: Plan) -> None:
    """Leave out what is no key of a site here."""
    for planned in plan.users:
        kept = []
        for site, key in planned.site_keys:
            try:
                kept.append((site, downloads.checked_key(site, key)))
            except GatewayError as error:
                plan.leave(f"key of {planned.former.username} for {site}", error.message)
        planned.site_keys = kept


def _workflows(plan: Plan, folder: Folder, found: layout.Layout) -> list[Workflows]:
    return [
        importedworkflows.find(folder, found.people, planned.former.name, planned.namespace)
        for planned in plan.users
    ]


@contextmanager
def _saved(folder: Folder, workflows: list[Workflows]) -> Iterator[None]:
    """Files first, as they take long and the database waits for nobody; away again if the rest
    does not come about."""
    try:
        importedworkflows.save(folder, workflows)
        yield
    except BaseException:
        importedworkflows.remove(workflows)
        raise
