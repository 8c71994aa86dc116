"""What only the account page asks for: a new password."""

from typing import Any

from rest_framework.request import Request

from accounts import login, services
from accounts.api.authentication import HasIdentity
from accounts.api.base import GatewayView, validated
from accounts.api.mfa import Permissions, prove_again, session_caller
from accounts.api.serializers import ProofSerializer, StrictBooleanField, password_field
from accounts.api.throttles import ApiThrottle, LoginThrottle


class PasswordSerializer(ProofSerializer):
    current_password = password_field()
    new_password = password_field()
    keep_tokens = StrictBooleanField(required=False, default=False)


class PasswordView(GatewayView):
    """POST: a new password, for the present one and the second factor. Every session ends, and
    API tokens unless they are to stay; the browser that asked gets a new session."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (HasIdentity,)

    def post(self, request: Request) -> Any:
        user, identity = session_caller(request)
        given = validated(PasswordSerializer, request.data)
        login.check_password(request._request, user.username, given["current_password"])
        prove_again(request, user, given)
        services.set_password(
            user,
            given["new_password"],
            actor=user,
            keep_tokens=given["keep_tokens"],
            ip=login.client_ip(request._request),
        )
        return login.finished(
            request._request, user, "/account", second_factor=identity.second_factor
        )
