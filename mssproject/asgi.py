"""The ASGI entry point: sets Django up, then hands over to `mssproject.application`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mssproject.settings")
django.setup()

from mssproject import presence  # noqa: E402 - needs the settings
from mssproject.application import application  # noqa: E402 - needs the apps to be ready

presence.hold_or_exit()

__all__ = ["application"]
