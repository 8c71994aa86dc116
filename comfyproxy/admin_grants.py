"""The admin of model grants with all its pages: the list is `accounts`', trees need ComfyUI."""

from django.contrib import admin

from accounts.admin_grantfiles import MovesGrants
from accounts.admin_grants import GrantsAdmin
from accounts.models import ModelGrant
from comfyproxy.admin_give import GivesModels
from comfyproxy.admin_matrix import ShowsMatrix


@admin.register(ModelGrant)
class ModelGrantAdmin(GivesModels, ShowsMatrix, MovesGrants, GrantsAdmin):
    pass
