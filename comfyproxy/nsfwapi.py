"""Explicit images over the API: tag one, look after them all (API.md section 4)."""

from collections.abc import Callable
from typing import Any, Final

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors
from accounts.api.administration import IsAdministrator, require_administrator
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView, flag
from accounts.audit import audit
from accounts.capabilities import Capability
from accounts.identity import Identity
from accounts.login import client_ip
from accounts.models import User
from comfyproxy import access, nsfwpolicy, nsfwscan, scoring, verdicts, wake
from comfyproxy.files import FileRef, is_own, parse_view
from comfyproxy.models import ContentVerdict, FileContent, FileOwner, FileRecord, NsfwScan

Answer = dict[str, Any]
# Newest first.
MAX_LISTED: Final = 500


class MarkNsfwView(GatewayView):
    """POST {filename, subfolder?, type?, is_nsfw, score?, label?}: say of a content whether it is
    explicit. A file's owner may say that it is; administrators also that it is not."""

    permission_classes = (HasIdentity,)

    def post(self, request: Request) -> Response:
        user, identity = caller(request)
        identity.require(Capability.ACCESS_API)
        data = _object(request)
        is_nsfw = data.get("is_nsfw")
        if not isinstance(is_nsfw, bool):
            raise errors.BadRequest("is_nsfw must be true or false.", field="is_nsfw")
        score, label = _score(data.get("score")), _label(data.get("label"))
        ref = async_to_sync(access.resolve)(_ref(data), identity)
        administrates = True
        try:
            require_administrator(user, identity)
        except errors.PermissionDenied:
            administrates = False
            _require_owner(ref, identity, is_nsfw)
        sha256 = async_to_sync(_content)(ref, identity.user_id)
        if not administrates:
            _require_not_said_otherwise(sha256)
        value = ContentVerdict.Tag.NSFW if is_nsfw else ContentVerdict.Tag.SAFE
        verdicts.tag([sha256], value, user, score=score, label=label)
        audit(
            "nsfw.tagged",
            actor=user,
            ip=client_ip(request._request),
            file=ref.annotated(),
            tag=str(value),
            sha256=sha256,
        )
        return Response(
            {
                "status": "ok",
                "filename": ref.filename,
                "subfolder": ref.subfolder,
                "type": ref.type,
                "is_nsfw": is_nsfw,
            }
        )


class NsfwManagementView(GatewayView):
    """POST {action, …}: scan all pictures, list what is known, forget scores, look again."""

    permission_classes = (IsAdministrator,)

    def post(self, request: Request) -> Response:
        data = _object(request)
        name = data.get("action")
        action = ACTIONS.get(name) if isinstance(name, str) else None
        if action is None:
            raise errors.BadRequest(f"action is one of {', '.join(ACTIONS)}.", field="action")
        actor, _ = caller(request)
        answer = action(data, actor)
        if name != "list":
            audit(f"nsfw.{name}", actor=actor, ip=client_ip(request._request))
        return Response({"status": "ok", "classifier": classifier(), **answer})


def told() -> Answer:
    """For everybody: whether a classifier judges pictures, and what becomes of the others."""
    unknown = "block" if nsfwpolicy.unknown_blocks() else "show"
    return {"classifier": nsfwpolicy.kind() or "none", "unknown": unknown}


def classifier() -> Answer:
    """The classifier in use, and what becomes of a picture that nobody could judge."""
    policy = nsfwpolicy.policy_now()
    name, version = policy.classifier or (None, None)
    return {
        "configured": nsfwpolicy.kind() or "none",
        "name": name,
        "version": version,
        "threshold": policy.threshold,
        "unknown": "block" if policy.unknown_blocks else "show",
    }


def _scan(data: Any, actor: User) -> Answer:
    if flag(data, "stop"):
        nsfwscan.stop_scan()
    else:
        nsfwscan.begin_scan(actor)
        wake.scorer()
    return {"scan": _latest_scan()}


def _list(data: Any, actor: User) -> Answer:
    rows = FileContent.objects.select_related("file", "content").order_by("-seen_at", "-pk")
    if flag(data, "flagged"):
        threshold = nsfwpolicy.policy_now().threshold
        explicit = ContentVerdict.objects.filter(tag=ContentVerdict.Tag.NSFW)
        explicit |= ContentVerdict.objects.filter(tag="", score__gte=threshold)
        rows = rows.filter(content__in=explicit)
    return {"items": [_item(row) for row in rows[:MAX_LISTED]], "scan": _latest_scan()}


def _clear(data: Any, actor: User) -> Answer:
    cleared = nsfwscan.forget_scores()
    tags = 0
    if flag(data, "tags"):
        tagged = ContentVerdict.objects.exclude(tag="").values_list("pk", flat=True)
        tags = len(verdicts.tag(list(tagged), ContentVerdict.Tag.NONE, actor))
    return {"cleared": cleared, "tags": tags}


def _fix(data: Any, actor: User) -> Answer:
    queued = nsfwscan.look_again()
    wake.scorer()
    return {"queued": queued}


ACTIONS: Final[dict[str, Callable[[Any, User], Answer]]] = {
    "scan": _scan,
    "list": _list,
    "clear": _clear,
    "fix": _fix,
}


def _item(row: FileContent) -> Answer:
    content = row.content
    return {
        "filename": row.file.filename,
        "subfolder": row.file.subfolder,
        "type": row.file.type,
        "sha256": content.sha256,
        "tag": content.tag or None,
        "score": content.score,
        "label": content.label or None,
        "reason": content.reason or None,
        "quarantined": row.file.quarantined_at is not None,
        "seen_at": row.seen_at,
    }


def _latest_scan() -> Answer | None:
    scan = NsfwScan.objects.order_by("-started_at").first()
    if scan is None:
        return None
    return {
        "status": scan.status,
        "total": scan.total,
        "done": scan.done,
        "flagged": scan.flagged,
        "started_at": scan.started_at,
        "finished_at": scan.finished_at,
    }


async def _content(ref: FileRef, user_id: int) -> str:
    """The hash of a file as it is now.

    Raises:
        NotFound, UpstreamUnreachable, UpstreamTimeout
    """
    # Its hash alone: the word of who asks wins over any score.
    found = await scoring.hash_of(ref, user_id)
    if found is None:
        raise errors.NotFound("There is no such file.")
    return found.sha256


def _require_owner(ref: FileRef, identity: Identity, is_nsfw: bool) -> None:
    own = is_own(ref, identity.namespace)
    if not own:
        key = FileRecord.key_of(ref)
        own = FileOwner.objects.filter(file__key=key, user_id=identity.user_id).exists()
    if not own or not is_nsfw:
        raise errors.PermissionDenied(
            "Only a file's owner may tag it as explicit, and only administrators as not explicit."
        )


def _require_not_said_otherwise(sha256: str) -> None:
    """A tag holds for every copy: what an administrator looked at, no owner of one changes."""
    if ContentVerdict.objects.filter(sha256=sha256, tag=ContentVerdict.Tag.SAFE).exists():
        raise errors.PermissionDenied("An administrator looked at this: it is not explicit.")


def _ref(data: Any) -> FileRef:
    values = {name: data.get(name) for name in ("filename", "subfolder", "type")}
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise errors.BadRequest(f"{name} must be text.", field=name)
    return parse_view({name: value for name, value in values.items() if value is not None})


def _score(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise errors.BadRequest("score is a number from 0 to 1.", field="score")
    return float(value)


def _label(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 60 or not (value == "" or value.isprintable()):
        raise errors.BadRequest("label is a short text.", field="label")
    return value


def _object(request: Request) -> Any:
    if not hasattr(request.data, "get"):
        raise errors.BadRequest("The body must be a JSON object.")
    return request.data
