"""`manage.py owner …`: the way back in, for whoever has the console."""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import admission, mfa, queries, services
from accounts.capabilities import OWNER_SLUG
from accounts.errors import GatewayError
from accounts.models import IpRule, User


class Command(BaseCommand):
    help = (
        "Create the owner, set their password, hand the ownership over, let every address in or "
        "everybody try to log in again. A password is asked for, or read from standard input when "
        "that is no terminal."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="while there is no owner")
        create.add_argument("username")
        password = actions.add_parser(
            "reset-password", help="of the owner; ends their sessions, removes their API tokens"
        )
        factor = actions.add_parser(
            "reset-mfa", help="of the owner, who lost it; ends their sessions likewise"
        )
        for reset in (password, factor):
            reset.add_argument("--keep-tokens", action="store_true", help="leave the API tokens")
        actions.add_parser("clear-ip-rules", help="let every address in again")
        actions.add_parser("unlock", help="forget wrong passwords: the owner's, and all addresses'")
        transfer = actions.add_parser("transfer", help="to another account")
        transfer.add_argument("username", help="who becomes the owner")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            match action:
                case "create":
                    owner = services.create_owner(
                        username=options["username"], password=_password()
                    )
                    self.stdout.write(f"{owner} is the owner.")
                case "reset-password":
                    owner = _owner()
                    keep = options["keep_tokens"]
                    services.set_password(owner, _password(), actor=None, keep_tokens=keep)
                    tokens = "API tokens are kept" if keep else "API tokens are removed"
                    self.stdout.write(
                        f"The password of {owner} is set; all sessions ended, {tokens}."
                    )
                case "reset-mfa":
                    owner = _owner()
                    mfa.reset(owner, actor=None, keep_tokens=options["keep_tokens"])
                    self.stdout.write(f"{owner} has no second factor any more; sessions ended.")
                case "clear-ip-rules":
                    nothing: dict[str, list[IpRule]] = {kind: [] for kind in IpRule.Kind.values}
                    admission.replace_ip_rules(nothing, confirm=True, actor=None)
                    self.stdout.write("Every address may come in, within 5 seconds.")
                case "unlock":
                    # An address is locked by what came from it for any name, so all go.
                    owner = _owner()
                    admission.unlock_all(actor=None)
                    self.stdout.write(f"{owner}, and everybody else, may try to log in again.")
                case "transfer":
                    heir = queries.user_by_name(options["username"])
                    if heir is None:
                        raise CommandError(f"There is no account {options['username']}.")
                    former = _owner()
                    services.transfer_ownership(former, heir)
                    self.stdout.write(f"{heir} is the owner now; {former} is an admin.")
        except GatewayError as error:
            raise CommandError(error.message) from None


def _owner() -> User:
    owner = User.objects.select_related("role").filter(role__slug=OWNER_SLUG).first()
    if owner is None:
        raise CommandError("There is no owner yet. Create one: manage.py owner create NAME")
    return owner


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandError("The two differ. Nothing was changed.")
    return password
