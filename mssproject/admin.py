"""Django's entry for the admin: which site it is."""

from django.contrib.admin.apps import AdminConfig


class GatewayAdminConfig(AdminConfig):
    """Makes the site above the default one."""

    default_site = "mssproject.adminsite.GatewayAdminSite"
