"""The forms of the admin's pages of users."""

from typing import Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm
from django.core.exceptions import ValidationError

from accounts import errors, services
from accounts.adminforms import AsRoleField, PermissionsField, TeamsField, capability_permissions
from accounts.models import Role, User


class AddUserForm(forms.ModelForm):
    """A new account: name, role, password."""

    password = forms.CharField(widget=forms.PasswordInput, strip=False)

    class Meta:
        model = User
        fields = ("username", "role")

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        try:
            services.check_password_strength(password, self.instance)
        except errors.BadRequest as error:
            raise ValidationError(error.message) from None
        return password


class PasswordForm(SetPasswordForm):
    """A new password, twice."""

    keep_tokens = forms.BooleanField(
        required=False,
        label="Keep API tokens",
        help_text="Otherwise they are removed, and apps and scripts need new ones.",
    )


class ChangeUserForm(forms.ModelForm):
    """An account as an admin edits it. The password has its own page."""

    keep_tokens = forms.BooleanField(
        required=False,
        label="Keep API tokens",
        help_text="Switching an account off removes them otherwise. They never work while it is.",
    )

    mfa_required = AsRoleField(required=False, label="Must have a second factor")
    sfw_enforced = AsRoleField(required=False, label="Is kept from explicit images")
    groups = TeamsField(
        required=False, label="Teams", help_text="What a team was given, each of its members has."
    )
    user_permissions = PermissionsField(
        capability_permissions(),
        required=False,
        label="Capabilities beside the role's",
        help_text="For this user alone. What the role allows need not be ticked.",
    )

    class Meta:
        model = User
        fields = (
            "username",
            "email",
            "role",
            "is_active",
            "mfa_required",
            "sfw_enforced",
            "groups",
            "user_permissions",
        )


class RoleChoiceForm(forms.Form):
    """Which role users get."""

    role = forms.ModelChoiceField(Role.objects.none(), empty_label=None, to_field_name="slug")

    def __init__(self, actor: User, data: Any = None) -> None:
        super().__init__(data)
        role = self.fields["role"]
        assert isinstance(role, forms.ModelChoiceField)
        role.queryset = Role.objects.filter(rank__lte=actor.role.rank).exclude(slug="owner")
