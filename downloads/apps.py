"""Django's entry for the downloads app."""

from django.apps import AppConfig


class DownloadsConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "downloads"

    def ready(self) -> None:
        from downloads import checks

        checks.register_all()
