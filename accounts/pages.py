"""/login, /logout and /register: a page for people, JSON for clients, one address for both."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework.exceptions import APIException
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errorpages, errors, guests, login, mail, mfa, proofs, services
from accounts.api.base import GatewayView, flag, validated
from accounts.api.errors import gateway_error
from accounts.api.serializers import LoginSerializer, RegisterSerializer
from accounts.api.throttles import ApiThrottle, LoginThrottle
from accounts.authentication import identify_sync
from accounts.credentials import (
    Credential,
    Place,
    check_same_origin,
    find_credential,
)
from accounts.identity import Identity
from accounts.middleware import check_own_page, cookie_identity, raw_headers, request_scheme
from accounts.models import Session, User
from accounts.sentences import english
from accounts.telling import body_of, told


def wants_page(request: HttpRequest) -> bool:
    """Whether a person's browser asks, not a client (API.md section 1)."""
    if request.headers.get("Sec-Fetch-Mode") == "navigate":
        return True
    accept = request.headers.get("Accept", "")
    return "text/html" in accept and "application/json" not in accept


class Page(GatewayView):
    """An address that answers people with a template and clients with JSON."""

    authentication_classes: Any = ()
    permission_classes = (AllowAny,)
    template = ""

    def page(self, request: Request, *, status: int = 200, **context: Any) -> HttpResponse:
        return render(request._request, self.template, context, status=status)

    def get_exception_handler(self) -> Any:
        return self._refuse

    def _refuse(self, exc: Exception, _context: Any) -> HttpResponseBase:
        refusal = gateway_error(exc)
        request = self.request
        if not wants_page(request):
            return Response(body_of(refusal), status=refusal.status, headers=refusal.headers)
        response: HttpResponseBase
        if request.method == "POST" and refusal.status != 404:
            context = {"error": told(refusal.message), **self.page_context(request)}
            response = self.page(request, status=refusal.status, **context)
        else:
            shown = errorpages.context_of(refusal)
            response = render(request._request, errorpages.TEMPLATE, shown, status=refusal.status)
        for name, value in refusal.headers.items():
            response[name] = value
        return response

    def page_context(self, request: Request) -> dict[str, Any]:
        """What the template needs to show the form again after a refusal."""
        return {}


def proceed(request: Request, user: User, wanted_next: object) -> HttpResponseBase:
    """The answer to a first factor that was right (a password, a link): the second factor if
    one is due, else the finished login."""
    due = mfa.due(user)
    if due is None:
        return finished_login(request, user, wanted_next, second_factor=False)
    target = login.next_url(request._request, wanted_next)
    token, body = login.second_step(user, due, {"next": target})
    if not wants_page(request):
        return Response(body)
    response = HttpResponseRedirect("/mfa")
    login.set_waiting_cookie(response, request._request, token)
    return response


def finished_login(
    request: Request, user: User, wanted_next: object, *, second_factor: bool
) -> HttpResponseBase:
    """The answer to a login that is complete: the JWT, and its cookie."""
    target = login.next_url(request._request, wanted_next)
    if not wants_page(request):
        return login.finished(request._request, user, target, second_factor=second_factor)
    session, jwt = login.log_in(request._request, user, second_factor=second_factor)
    response = HttpResponseRedirect(target)
    login.set_cookie(response, request._request, session, jwt)
    return response


def text_field(request: Request, *names: str) -> str:
    """The first of these fields that is text, to show a form again."""
    data: Any
    try:
        data = request.data
    except APIException:  # of no kind that can be read, which is what the page will say
        data = None
    values = (data.get(name) for name in names) if hasattr(data, "get") else ()
    return next((value for value in values if isinstance(value, str)), "")


class LoginPage(Page):
    """GET /login: the form. POST /login: user name and password for a session."""

    template = "accounts/login.html"
    throttle_classes = (ApiThrottle, LoginThrottle)

    def get(self, request: Request) -> HttpResponse:
        identity = cookie_identity(sent_credential(request), login.client_ip(request._request))
        return self.page(
            request,
            next=login.next_url(request._request, request.query_params.get("next")),
            identity=identity,
            no_owner=not services.has_owner(),
            **self._other_ways(request),
        )

    def post(self, request: Request) -> HttpResponseBase:
        check_own_page(request._request)
        wanted = text_field(request, "next") or request.query_params.get("next")
        if flag(request.data, "guest_login"):
            return proceed(request, guests.account(), wanted)
        given = validated(LoginSerializer, request.data)
        user = login.check_password(request._request, given["username"], given["password"])
        return proceed(request, user, wanted)

    def page_context(self, request: Request) -> dict[str, Any]:
        wanted = text_field(request, "next")
        return {
            "username": text_field(request, "username")[:150],
            "next": login.next_url(request._request, wanted),
            **self._other_ways(request),
        }

    def _other_ways(self, request: Request) -> dict[str, bool]:
        return {
            "guests_come_in": settings.MSS_GUEST_LOGIN,
            "links_are_mailed": mail.can_be_asked(request._request),
        }


class LogoutPage(Page):
    """GET or POST /logout: ends the session behind the token, clears the cookie."""

    def get(self, request: Request) -> HttpResponseBase:
        return self.post(request)

    def post(self, request: Request) -> HttpResponseBase:
        # Without a valid token there is nothing to end, but the cookie still goes.
        identity = _any_identity(request)
        if identity is not None and identity.jti is not None:
            session = Session.objects.select_related("user").filter(jti=identity.jti).first()
            if session is not None:
                ip = login.client_ip(request._request)
                proofs.end_session(session, actor=session.user, ip=ip)
        response: HttpResponseBase
        if wants_page(request):
            response = HttpResponseRedirect("/login")
        else:
            response = Response({"message": told(english("You are logged out."))})
        login.clear_cookie(response)
        return response


class RegisterPage(Page):
    """/register: makes the owner, with the token that the server printed; 404 afterwards."""

    template = "accounts/register.html"
    throttle_classes = (ApiThrottle, LoginThrottle)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if services.has_owner():
            raise errors.NotFound

    def get(self, request: Request) -> HttpResponse:
        return self.page(request, setup_token=request.query_params.get("setup_token", ""))

    def post(self, request: Request) -> HttpResponseBase:
        check_own_page(request._request)
        data = request.data
        if hasattr(data, "items"):
            # Clients of earlier releases send the longer names.
            data = {name.removeprefix("new_user_"): value for name, value in data.items()}
        given = validated(RegisterSerializer, data)
        if not proofs.check_setup_token(given["setup_token"]):
            raise errors.TokenInvalid(
                english(
                    "The setup token is wrong. The server prints the current one when it starts."
                )
            )
        owner = services.create_owner(
            username=given["username"],
            password=given["password"],
            ip=login.client_ip(request._request),
        )
        return proceed(request, owner, None)

    def page_context(self, request: Request) -> dict[str, Any]:
        return {
            "setup_token": text_field(request, "setup_token"),
            "username": text_field(request, "username", "new_user_username"),
        }


def sent_credential(request: Request) -> Credential | None:
    try:
        return find_credential(raw_headers(request._request))
    except errors.TokenInvalid:
        return None


def _any_identity(request: Request) -> Identity | None:
    credential = sent_credential(request)
    if credential is None:
        return None
    if credential.place is Place.COOKIE:
        check_same_origin(
            raw_headers(request._request),
            scheme=request_scheme(request._request),
            method=request.method or "GET",
        )
    try:
        return identify_sync(credential, login.client_ip(request._request))
    except (errors.Unauthenticated, errors.IpBlocked):
        return None
