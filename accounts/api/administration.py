"""Administration over HTTP: users, roles, addresses (API.md sections 4 and 8).

For staff. The same services as the admin's, so the same rules of rank and the same audit.
"""

from collections.abc import Container, Mapping
from typing import Any, Final

from django.db import transaction
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import addresses, admission, deletion, errors, mfa, queries, ranks, services
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView, validated
from accounts.api.errors import gateway_error
from accounts.api.serializers import StrictBooleanField, StrictCharField, password_field
from accounts.capabilities import Capability
from accounts.identity import Auth, Identity
from accounts.login import client_ip
from accounts.models import Challenge, IpRule, Role, User


class IsAdministrator(HasIdentity):
    """Who administrates everything. A token that was limited to some capabilities may not:
    it would be more than what it was made for."""

    def has_permission(self, request: Request, view: Any) -> bool:
        super().has_permission(request, view)
        require_administrator(*caller(request))
        return True


def require_administrator(user: User, identity: Identity) -> None:
    """Raise PermissionDenied unless the caller administrates everything."""
    if not user.is_superuser or identity.scopes is not None:
        raise errors.PermissionDenied("Only administrators may do this.")
    require_trusted(user, identity)


def require_trusted(user: User, identity: Identity) -> None:
    """Raise PermissionDenied unless the way in is good enough to administrate anything."""
    # Anybody can be the guest.
    if user.shared:
        raise errors.PermissionDenied("Log in with an account of your own for this.")
    # An address is too easily read by others to administrate with a token in it.
    if identity.in_path:
        raise errors.PermissionDenied("A token that may stand in an address may not do this.")
    if not proved(user, identity):
        raise errors.PermissionDenied("Log in with your second factor for this.")


def proved(user: User, identity: Identity) -> bool:
    """Whether who has, or must have, a second factor showed it: in this login, or when the
    token was made."""
    due = mfa.due(user)
    if identity.auth is Auth.API_TOKEN:
        return due is not Challenge.Purpose.SETUP
    return due is None or identity.second_factor


# --- users ---------------------------------------------------------------------------------


def user_json(user: User, enrolled: Container[int]) -> dict[str, Any]:
    """An account as administrators see it. `enrolled`: who has a second factor."""
    return {
        "username": user.username,
        "role": user.role_id,
        "is_active": user.is_active,
        "sfw_enforced": user.sfw_enforced,
        "mfa_required": user.mfa_required,
        "mfa_enabled": user.pk in enrolled,
        "date_joined": user.date_joined,
        "last_login": user.last_login,
    }


class NewUserSerializer(serializers.Serializer):
    username = StrictCharField(max_length=150)
    password = password_field()
    role = StrictCharField(max_length=50, required=False, default="user")


class ChangeUserSerializer(serializers.Serializer):
    role = StrictCharField(max_length=50, required=False)
    is_active = StrictBooleanField(required=False)
    password = password_field(required=False)
    sfw_enforced = StrictBooleanField(required=False, allow_null=True)
    mfa_required = StrictBooleanField(required=False, allow_null=True)
    # Of a new password and of disabling, which remove the API tokens otherwise.
    keep_tokens = StrictBooleanField(required=False, default=False)


class UsersView(GatewayView):
    """GET lists all accounts, POST creates one."""

    permission_classes = (IsAdministrator,)

    def get(self, request: Request) -> Response:
        enrolled = mfa.enrolled_ids()
        return Response({"users": [user_json(user, enrolled) for user in queries.all_users()]})

    def post(self, request: Request) -> Response:
        actor, _ = caller(request)
        given = validated(NewUserSerializer, request.data)
        user = services.create_user(**given, actor=actor, ip=client_ip(request))
        return Response(user_json(user, ()), status=201)


class UserView(GatewayView):
    """PUT changes, DELETE removes one account."""

    permission_classes = (IsAdministrator,)

    def put(self, request: Request, username: str) -> Response:
        actor, _ = caller(request)
        given = validated(ChangeUserSerializer, request.data)
        keep = given.pop("keep_tokens")
        user = _user(username)
        services.change_user(user, given, actor=actor, ip=client_ip(request), keep_tokens=keep)
        return Response(user_json(_user(username), mfa.enrolled_ids()))

    def delete(self, request: Request, username: str) -> Response:
        actor, _ = caller(request)
        keep = keeps_files(request)
        ip = client_ip(request)
        services.delete_user(_user(username), actor=actor, keep_files=keep, ip=ip)
        hidden = "" if keep else deletion.hidden_only()
        return Response({"message": f"The account is deleted. {hidden}".rstrip()})


def keeps_files(request: Request) -> bool:
    """What `files`, in the body or in the address, says; not there: they are kept.

    Raises:
        BadRequest, field `files`: neither `keep` nor `delete`, or now this and now that
    """
    body = request.data
    if not isinstance(body, dict):
        raise errors.BadRequest("The body must be a JSON object.")
    if isinstance(body, QueryDict):
        given = body.getlist("files")
    else:
        given = [body["files"]] if "files" in body else []
    answers = {
        deletion.keeps(answer) for answer in (*given, *request.query_params.getlist("files"))
    }
    if len(answers) > 1:
        raise errors.BadRequest("files says both keep and delete.", field="files")
    return answers != {False}


def _user(username: str) -> User:
    user = queries.user_by_name(username)
    if user is None:
        raise errors.NotFound("There is no such user.")
    return user


# --- roles ---------------------------------------------------------------------------------


def role_json(role: Role) -> dict[str, Any]:
    held = ranks.capabilities_of_role(role)
    return {
        **{str(cap): cap in held for cap in Capability},
        "mfa_required": role.mfa_required,
        "sfw_enforced": role.sfw_enforced,
        "blocked_node_classes": role.blocked_node_classes,
        "max_waiting_prompts": role.max_waiting_prompts,
        "max_prompt_bytes": role.max_prompt_bytes,
    }


class RoleSerializer(serializers.Serializer):
    mfa_required = StrictBooleanField(required=False)
    sfw_enforced = StrictBooleanField(required=False)
    blocked_node_classes = serializers.ListField(
        child=StrictCharField(max_length=200), required=False, max_length=2000
    )
    max_waiting_prompts = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=1_000_000
    )
    max_prompt_bytes = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=10 * 1024 * 1024
    )

    def get_fields(self) -> dict[str, Any]:
        return super().get_fields() | {
            str(cap): StrictBooleanField(required=False) for cap in Capability
        }

    def to_internal_value(self, data: Any) -> Any:
        unknown = set(data) - set(self.fields)
        if unknown:
            raise serializers.ValidationError({sorted(unknown)[0]: "There is no such setting."})
        return super().to_internal_value(data)


def role_changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a role (see `services.change_role`), checked as the API checks them.

    Raises:
        BadRequest
    """
    try:
        return validated(RoleSerializer, given)
    except serializers.ValidationError as error:
        raise gateway_error(error) from None


class GroupsView(GatewayView):
    """GET: roles and what they may do. PUT: changes some of it, answers the whole."""

    permission_classes = (IsAdministrator,)

    def get(self, request: Request) -> Response:
        return Response({"groups": {role.slug: role_json(role) for role in Role.objects.all()}})

    def put(self, request: Request) -> Response:
        actor, _ = caller(request)
        changes = self._changes(request.data)
        with transaction.atomic():
            for role, wanted in changes.items():
                services.change_role(role, wanted, actor=actor, ip=client_ip(request))
        return self.get(request)

    def _changes(self, data: Any) -> dict[Role, dict[str, Any]]:
        groups = data.get("groups", data) if hasattr(data, "get") else None
        if not isinstance(groups, dict):
            raise errors.BadRequest("Send {role: {setting: value}}.", field="groups")
        known = {role.slug: role for role in Role.objects.all()}
        changes = {}
        for slug, settings in groups.items():
            role = known.get(slug)
            if role is None:
                raise errors.BadRequest(f"There is no role “{slug[:50]}”.", field="groups")
            changes[role] = validated(RoleSerializer, settings)
        return changes


# --- IP lists ------------------------------------------------------------------------------

LISTS: Final = {"whitelist": IpRule.Kind.ALLOW, "blacklist": IpRule.Kind.DENY}
MAX_ENTRIES: Final = 10_000


class IpEntrySerializer(serializers.Serializer):
    network = StrictCharField(max_length=50)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    note = StrictCharField(max_length=200, required=False, allow_blank=True, default="")


class IpListsView(GatewayView):
    """GET and PUT the addresses that may or may not come in."""

    permission_classes = (IsAdministrator,)

    def get(self, request: Request) -> Response:
        rows = list(IpRule.objects.all())
        return Response(
            {name: [entry_json(r) for r in rows if r.kind == kind] for name, kind in LISTS.items()}
        )

    def put(self, request: Request) -> Response:
        actor, _ = caller(request)
        data = request.data
        if not isinstance(data, dict):
            raise errors.BadRequest("The body must be a JSON object.")
        confirm = data.get("confirm", False)
        if not isinstance(confirm, bool):
            raise errors.BadRequest("confirm must be true or false.", field="confirm")
        lists = {
            str(kind): parsed_list(data[name], name, kind)
            for name, kind in LISTS.items()
            if name in data
        }
        admission.replace_ip_rules(lists, confirm=confirm, actor=actor, ip=client_ip(request))
        return self.get(request)


def entry_json(rule: IpRule) -> Any:
    """A plain rule as its network alone, one with more to tell as an object."""
    if rule.expires_at is None and not rule.note:
        return rule.network
    return {"network": rule.network, "expires_at": rule.expires_at, "note": rule.note}


def parsed_list(entries: Any, name: str, kind: str) -> list[IpRule]:
    """Entries of a request as unsaved rules, each network once.

    Raises:
        BadRequest naming the list
    """
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        raise errors.BadRequest(f"{name} must be a list of networks.", field=name)
    rules: dict[str, IpRule] = {}
    for entry in entries:
        given = validated(
            IpEntrySerializer, {"network": entry} if isinstance(entry, str) else entry
        )
        try:
            network = str(addresses.network(given["network"]))
        except ValueError:
            raise errors.BadRequest(f"{name} holds what is no network.", field=name) from None
        rules[network] = IpRule(**{**given, "network": network, "kind": kind})
    return list(rules.values())
