"""Django's entry for the downloads app."""

from typing import ClassVar

from django.apps import AppConfig


class DownloadsConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "downloads"
    # For `manage.py rotate_secrets`.
    encrypted_fields: ClassVar = (("SourceKey", "value"),)

    def ready(self) -> None:
        from downloads import checks

        checks.register_all()
