"""Addresses of the accounts' API, below /mss-login/ (and /api/mss-login/, see the entry)."""

from django.urls import path

from accounts.api import administration, mfa, passkeys, sessions, sharing, views

urlpatterns = [
    path("generate_token", views.GenerateTokenView.as_view()),
    path("api/tokens", views.TokensView.as_view()),
    path("api/me", views.MeView.as_view()),
    path("api/is-https", views.IsHttpsView.as_view()),
    path("me/sessions", sessions.SessionsView.as_view()),
    path("me/sessions/revoke", sessions.RevokeSessionView.as_view()),
    path("api/mfa/setup", mfa.SetupView.as_view()),
    path("api/mfa/verify-setup", mfa.VerifySetupView.as_view()),
    path("api/mfa/verify", mfa.VerifyView.as_view()),
    path("api/mfa/disable", mfa.DisableView.as_view()),
    path("api/mfa/backup-codes", mfa.BackupCodesView.as_view()),
    path("api/mfa/passkey-options", passkeys.PasskeyOptionsView.as_view()),
    path("api/passkeys", passkeys.PasskeysView.as_view()),
    path("api/passkeys/options", passkeys.NewPasskeyOptionsView.as_view()),
    path("api/passkeys/login-options", passkeys.PasskeyLoginOptionsView.as_view()),
    path("api/passkeys/login", passkeys.PasskeyLoginView.as_view()),
    path("api/users", administration.UsersView.as_view()),
    path("api/users/<str:username>", administration.UserView.as_view()),
    path("api/users/<str:name>/shared-items", sharing.UserItemsView.as_view()),
    path("api/groups", administration.GroupsView.as_view()),
    # A team's name may hold a slash.
    path("api/groups/<path:name>/shared-items", sharing.GroupItemsView.as_view()),
    path("api/ip-lists", administration.IpListsView.as_view()),
    path("<path:rest>", views.UnknownView.as_view()),
]
