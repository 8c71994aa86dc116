"""Django's entry for the project's own commands."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "mssproject"
