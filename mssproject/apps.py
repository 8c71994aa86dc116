"""Django's entries for the project's own commands and for its admin site."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ProjectConfig(AppConfig):
    name = "mssproject"

    def ready(self) -> None:
        # Whoever hands over a task (a command, the console) means our broker, not the one that
        # Celery would look for on this machine.
        from comfyproxy import catalog
        from downloads import notices
        from mssproject import celery, faultreports, taskruns  # noqa: F401

        notices.register(catalog.changed)
        taskruns.connect()
        faultreports.start()


class GatewayAdminConfig(AdminConfig):
    """Makes the gateway's admin site the default one."""

    default_site = "mssproject.adminsite.GatewayAdminSite"
