"""A person's own sessions: see them, end one or all others (API.md section 3)."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors, proofs, queries
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView, validated
from accounts.login import client_ip
from accounts.models import Session


def session_json(session: Session, current: str | None) -> dict[str, Any]:
    """A session as its owner sees it. `current` is the `jti` of the one that asks, if any."""
    return {
        "jti": session.jti.hex,
        "created_at_iso": session.created_at,
        "exp_at_iso": session.expires_at,
        "last_used_at_iso": session.last_used_at,
        "ip": session.ip,
        "user_agent": session.user_agent,
        "is_current": session.jti.hex == current,
    }


class TextUuidField(serializers.UUIDField):
    """A UUID as text: DRF would take a number for one too."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class RevokeSerializer(serializers.Serializer):
    """One session by its `jti`, or `all_others`; never both, never neither."""

    jti = TextUuidField(required=False)
    all_others = serializers.BooleanField(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("jti" in attrs) == attrs["all_others"]:
            raise serializers.ValidationError("Send jti, or all_others: true.")
        return attrs


class SessionsView(GatewayView):
    """GET: the caller's open sessions, newest first. Of an account that several share, their
    own alone: the others' say where these are."""

    permission_classes = (HasIdentity,)

    def get(self, request: Request) -> Response:
        user, identity = caller(request)
        if identity.scopes is not None:
            raise errors.PermissionDenied("Log in to see sessions.")
        found = [session_json(row, identity.jti) for row in queries.open_sessions(user.pk)]
        return Response({"sessions": [s for s in found if s["is_current"] or not user.shared]})


class RevokeSessionView(GatewayView):
    """POST: end one of the caller's sessions, or all but the one that asks."""

    permission_classes = (HasIdentity,)

    def post(self, request: Request) -> Response:
        user, identity = caller(request)
        if identity.scopes is not None:
            raise errors.PermissionDenied("Log in to manage sessions.")
        wanted = validated(RevokeSerializer, request.data)
        ip = client_ip(request)
        if wanted["all_others"]:
            ended = proofs.end_all_sessions(user, keep=identity.jti, actor=user, ip=ip)
            return Response({"message": f"{ended} other sessions ended.", "revoked": ended})
        session = queries.open_session(user.pk, wanted["jti"])
        if session is None or (user.shared and session.jti.hex != identity.jti):
            raise errors.NotFound("You have no such session.")
        proofs.end_session(session, actor=user, ip=ip)
        return Response({"message": "The session ended.", "revoked": 1})
