"""The admin's pages that tell what several apps know: users and roles."""

from django.contrib import admin

from accounts import admin_usertabs as accounts
from accounts.admin_users import UserAdmin
from accounts.models import Role, User
from comfyproxy import admin_people as comfyui
from comfyproxy.admin_nodes import BlocksNodes
from downloads import admin_people as downloads
from mssproject import admin_tasks  # noqa: F401 - it registers itself


@admin.register(User)
class PeopleAdmin(comfyui.TellsUse, UserAdmin):
    list_display = (
        *UserAdmin.list_display[:-1],
        "prompts_today",
        "storage",
        UserAdmin.list_display[-1],
    )
    exported = UserAdmin.exported | comfyui.EXPORTED
    tabs = (
        accounts.CAPABILITIES,
        accounts.MODELS,
        comfyui.SEES,
        accounts.SESSIONS,
        accounts.TOKENS,
        accounts.FACTORS,
        comfyui.PROMPTS,
        comfyui.WORKFLOWS,
        downloads.DOWNLOADS,
        accounts.AUDIT,
    )


@admin.register(Role)
class RolesAdmin(BlocksNodes):
    pass
