"""Django's entry for the project's own commands."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "mssproject"

    def ready(self) -> None:
        # Whoever hands over a task (a command, the console) means our broker, not the one that
        # Celery would look for on this machine.
        from comfyproxy import catalog
        from downloads import notices
        from mssproject import celery  # noqa: F401

        notices.register(catalog.expire)
