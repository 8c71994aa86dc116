"""Django's entry for the accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "accounts"

    def ready(self) -> None:
        from accounts import authentication, iprules, longwork

        authentication.connect_signals()
        iprules.connect_signals()
        longwork.connect()
