"""The ASGI entry point: sets Django up, then hands over to `mssproject.application`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mssproject.settings")
django.setup()

from mssproject.application import application  # noqa: E402 - needs the apps to be ready

__all__ = ["application"]
