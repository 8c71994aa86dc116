"""/join, /reset and /forgot: what people do with a link, and how they ask for one."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import get_language
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts import errors, links, mail, tasks
from accounts.api.base import flag, validated
from accounts.api.serializers import LoginSerializer, StrictCharField, password_field
from accounts.api.throttles import ApiThrottle, LoginThrottle
from accounts.login import client_ip
from accounts.middleware import check_own_page
from accounts.pages import Page, proceed, text_field, wants_page
from accounts.sentences import english
from accounts.telling import told

MAX_TOKEN_CHARS = 200


class JoinSerializer(LoginSerializer):
    invite_token = StrictCharField(max_length=MAX_TOKEN_CHARS)


class ResetSerializer(Serializer):
    reset_token = StrictCharField(max_length=MAX_TOKEN_CHARS)
    password = password_field()


class ForgotSerializer(Serializer):
    # A user name, or an e-mail address, which may be longer.
    username = StrictCharField(max_length=254)


class LinkPage(Page):
    """A page behind a link. Without a link that works there is no form."""

    throttle_classes = (ApiThrottle, LoginThrottle)

    def _refuse(self, exc: Exception, context: Any) -> HttpResponseBase:
        if not isinstance(exc, errors.TokenInvalid) or not wants_page(self.request._request):
            return super()._refuse(exc, context)
        response = self.page(self.request, status=exc.status, error=told(exc.message), no_form=True)
        for name, value in exc.headers.items():
            response[name] = value
        return response


class JoinPage(LinkPage):
    """GET /join: the form behind an invitation. POST: makes the account and logs it in."""

    template = "accounts/join.html"

    def get(self, request: Request) -> HttpResponse:
        return self.page(request, **_invited(request.query_params.get("invite_token", "")))

    def post(self, request: Request) -> HttpResponseBase:
        check_own_page(request._request)
        given = validated(JoinSerializer, request.data)
        user = links.accept_invitation(
            given["invite_token"],
            username=given["username"],
            password=given["password"],
            ip=client_ip(request._request),
        )
        return proceed(request, user, None)

    def page_context(self, request: Request) -> dict[str, Any]:
        context = {"username": text_field(request, "username")[:150]}
        try:
            return context | _invited(text_field(request, "invite_token"))
        except errors.TokenInvalid:
            return context | {"no_form": True}


def _invited(token: str) -> dict[str, Any]:
    """What the form shows of an invitation. Who invites stays out: links get passed on."""
    link = links.open_invitation(token)
    assert link.role is not None
    return {"invite_token": token, "role": told(link.role.title)}


class ResetPage(LinkPage):
    """GET /reset: the form behind a password link. POST: sets the password; logs nobody in."""

    template = "accounts/reset.html"

    def get(self, request: Request) -> HttpResponse:
        return self.page(request, **_resetting(request.query_params.get("reset_token", "")))

    def post(self, request: Request) -> HttpResponseBase:
        check_own_page(request._request)
        given = validated(ResetSerializer, request.data)
        links.set_forgotten_password(
            given["reset_token"],
            given["password"],
            keep_tokens=flag(request.data, "keep_tokens"),
            ip=client_ip(request._request),
        )
        said = told(english("Your new password is set. Log in with it."))
        if not wants_page(request._request):
            return Response({"message": said})
        messages.success(request._request, said)
        return HttpResponseRedirect("/login")

    def page_context(self, request: Request) -> dict[str, Any]:
        try:
            return _resetting(text_field(request, "reset_token"))
        except errors.TokenInvalid:
            return {"no_form": True}


def _resetting(token: str) -> dict[str, Any]:
    link = links.open_password_link(token)
    assert link.user is not None
    # Shown for password managers, which file the new password under it.
    return {"reset_token": token, "username": link.user.username}


class ForgotPage(Page):
    """/forgot: has a password link mailed. Says the same whoever is named."""

    template = "accounts/forgot.html"
    throttle_classes = (ApiThrottle, LoginThrottle)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not mail.can_be_asked(request._request):
            raise errors.NotFound

    def get(self, request: Request) -> HttpResponse:
        return self.page(request)

    def post(self, request: Request) -> HttpResponseBase:
        check_own_page(request._request)
        name = validated(ForgotSerializer, request.data)["username"]
        # The worker looks for the account, so that the time taken here tells nothing.
        tasks.mail_forgotten_password.delay(
            name, mail.origin(request._request), client_ip(request._request), get_language()
        )
        said = told(
            english(
                "If there is such an account and it has an e-mail address, a link is on its way "
                "there. It works for 24 hours. No mail in a few minutes? Ask the administrator."
            )
        )
        if not wants_page(request._request):
            return Response({"message": said})
        return self.page(request, said=said)

    def page_context(self, request: Request) -> dict[str, Any]:
        return {"username": text_field(request, "username")[:254]}
