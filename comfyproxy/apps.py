"""Django's entry for the comfyproxy app."""

from django.apps import AppConfig


class ComfyproxyConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "comfyproxy"

    def ready(self) -> None:
        # Every line of the table must have its handler: better a failed start than a 500.
        from accounts.api import views
        from comfyproxy import checks, former, handlers, longwork, nsfwapi, routerules

        handlers.resolve_all()
        routerules.connect_signals()
        former.connect()
        longwork.connect()
        checks.register_all()
        views.add_to_me("nsfw", nsfwapi.told)
