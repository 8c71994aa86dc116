"""`manage.py unlock NAME_OR_ADDRESS`: lets somebody try again at once after wrong passwords."""

from argparse import ArgumentParser
from ipaddress import ip_address
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import admission, queries


class Command(BaseCommand):
    help = "Forget the wrong passwords and codes counted for a user name or an address."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("who", metavar="NAME_OR_ADDRESS")

    @transaction.atomic
    def handle(self, *args: Any, who: str, **options: Any) -> None:
        # An IPv4 address may be somebody's user name as well: then both are meant.
        address = _address(who)
        removed = admission.unlock(username=who, address=address, actor=None)
        if not removed and address is None and queries.user_by_name(who) is None:
            raise CommandError(f"There is no account {who}, and nobody has tried that name.")
        self.stdout.write(f"{who} may try to log in again.")


def _address(text: str) -> str | None:
    """The address in the form that the entry finds it in, or None."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
