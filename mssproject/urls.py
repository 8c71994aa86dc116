"""Which address is whose. ComfyUI's routes come last; the policy table knows them."""

from django.contrib import admin
from django.urls import include, path, re_path

from accounts import account_pages, link_pages, pages
from accounts.api.account import PasswordView
from accounts.api.views import GenerateTokenView
from accounts.here import HereView
from comfyproxy.account_files import FormerFilesPage
from comfyproxy.account_prompts import OwnPromptsView
from comfyproxy.api import (
    EffectiveModelsView,
    FolderModelsView,
    FrontendView,
    ModelFoldersView,
    OwnModelsView,
    QueueView,
    RefreshModelsView,
)
from comfyproxy.nsfwapi import MarkNsfwView, NsfwManagementView
from comfyproxy.userenv import UserEnvView
from comfyproxy.views import ComfyView
from downloads import pages as downloads
from mssproject import languages
from mssproject.openapi.views import DocsView, SchemaView

urlpatterns = [
    path("login", pages.LoginPage.as_view()),
    path("logout", pages.LogoutPage.as_view()),
    path("register", pages.RegisterPage.as_view()),
    path("mfa", account_pages.MfaPage.as_view()),
    path("mfa/passkey", account_pages.MfaPasskeyView.as_view()),
    path("account", account_pages.AccountPage.as_view()),
    path("account/files", FormerFilesPage.as_view()),
    path("account/downloads", downloads.DownloadsPage.as_view()),
    path("account/downloads/jobs", downloads.OwnDownloadsView.as_view()),
    path("account/downloads/jobs/<str:job_id>/<str:action>", downloads.OwnDownloadView.as_view()),
    path("account/downloads/keys", downloads.OwnKeysView.as_view()),
    path("account/downloads/search", downloads.OwnSearchView.as_view()),
    path("account/frontend", FrontendView.as_view()),
    path("account/here", HereView.as_view()),
    path("account/models", OwnModelsView.as_view()),
    path("account/prompts", OwnPromptsView.as_view()),
    path("account/password", PasswordView.as_view()),
    path("account/language", account_pages.LanguageView.as_view()),
    path("join", link_pages.JoinPage.as_view()),
    path("reset", link_pages.ResetPage.as_view()),
    path("forgot", link_pages.ForgotPage.as_view()),
    path("generate_token", GenerateTokenView.as_view()),
    path("mss-login/texts.js", languages.texts_js),
    path("mss-login/texts.json", languages.texts_json),
    path("mss-login/api/schema", SchemaView.as_view()),
    path("mss-login/api/docs", DocsView.as_view()),
    path("mss-login/api/queue", QueueView.as_view()),
    path("mss-login/api/available-model-folders", ModelFoldersView.as_view()),
    path("mss-login/api/available-models/refresh", RefreshModelsView.as_view()),
    path("mss-login/api/available-models/<str:folder>", FolderModelsView.as_view()),
    path("mss-login/api/nsfw-management", NsfwManagementView.as_view()),
    path("mss-login-gallery/mark-nsfw", MarkNsfwView.as_view()),
    path("mss-login/api/user-env", UserEnvView.as_view()),
    path("mss-login/api/users/<str:username>/effective-models", EffectiveModelsView.as_view()),
    path("mss-login/api/model-download/", include("downloads.routes")),
    path("mss-login/", include("accounts.api.urls")),
    path("admin/", admin.site.urls),
    re_path(r"", ComfyView.as_view()),
]
