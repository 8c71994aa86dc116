"""Whether this browser is logged in: what the login page asks, which has to be a plain answer."""

from typing import Any

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import GatewayView
from accounts.login import client_ip
from accounts.middleware import cookie_identity
from accounts.pages import sent_credential


class HereView(GatewayView):
    """GET: {logged_in}. Never a refusal: that would be an error on the console of everybody who
    opens the login page."""

    authentication_classes: Any = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        found = cookie_identity(sent_credential(request), client_ip(request._request))
        return Response({"logged_in": found is not None})
