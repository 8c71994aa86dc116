"""May this caller be shown these bytes? Every way to a picture asks here.

Only users who are kept from explicit images are asked about; for all others this costs
nothing. A file is judged by the version that is sent, a content by its hash.
"""

from typing import Final

from django.conf import settings

from accounts.errors import NsfwBlocked
from accounts.identity import Identity
from comfyproxy import nsfwpolicy, scoring, verdicts
from comfyproxy.files import FileRef
from comfyproxy.nsfw.kinds import Kind, kind_of_name, may_be_visual
from comfyproxy.nsfw.standing import Decision, Policy, Standing, decide

_SENTENCES: Final = {
    "unknown": "Your account does not show explicit images, and nobody could tell what this is.",
    "unchecked": "This picture is being looked at. Try again in a moment.",
}


def asks(identity: Identity, filename: str) -> bool:
    """Whether a file of this name must be judged before this caller is shown it."""
    return identity.sfw_enforced and may_be_visual(filename)


async def require_file(
    ref: FileRef, version: str | None, identity: Identity, *, is_picture: bool = False
) -> None:
    """Let a file of ComfyUI's pass in that version (None: ComfyUI does not tell which).
    `is_picture`: it is sent as one, whatever its name is.

    Raises:
        NsfwBlocked
    """
    if not asks(identity, ref.filename) and not (is_picture and identity.sfw_enforced):
        return
    if version is None:
        raise _blocked("unknown")
    policy, is_picture = await nsfwpolicy.policy(), is_picture or _is_picture(ref.filename)
    standing = await verdicts.of_file(ref, version)
    decision, in_time = decide(standing, policy, is_picture=is_picture), True
    if decision is Decision.LOOK:
        seconds = settings.NSFW_SECONDS
        in_time = await scoring.look_soon(ref, policy, identity.user_id, seconds)
        standing = await verdicts.of_file(ref, version)
        decision = decide(standing, policy, is_picture=is_picture)
    _require(decision, standing, policy, in_time)


async def require_bytes(data: bytes, filename: str, identity: Identity) -> None:
    """Let a content pass that is at hand.

    Raises:
        NsfwBlocked
    """
    if not asks(identity, filename):
        return
    policy, is_picture = await nsfwpolicy.policy(), _is_picture(filename)
    sha256 = verdicts.hash_of(data)
    standing = await verdicts.of_content(sha256)
    decision, in_time = decide(standing, policy, is_picture=is_picture), True
    if decision is Decision.LOOK:
        seconds, user_id = settings.NSFW_SECONDS, identity.user_id
        in_time = await scoring.look_at_bytes_soon(data, sha256, policy, user_id, seconds)
        standing = await verdicts.of_content(sha256)
        decision = decide(standing, policy, is_picture=is_picture)
    _require(decision, standing, policy, in_time)


def _require(decision: Decision, standing: Standing | None, policy: Policy, in_time: bool) -> None:
    if decision is Decision.LOOK:
        # Still being looked at, or in another version meanwhile: what a classifier has not seen is
        # not what nobody could judge.
        is_unseen = policy.classifier is not None and (standing is None or not in_time)
        if policy.unknown_blocks or is_unseen:
            raise _blocked("unknown" if in_time else "unchecked")
    if decision is Decision.BLOCK:
        told = standing is not None and (standing.tag or standing.score is not None)
        raise _blocked("explicit" if told else "unknown")


def _blocked(reason: str) -> NsfwBlocked:
    headers = {"Retry-After": "5"} if reason == "unchecked" else None
    return NsfwBlocked(_SENTENCES.get(reason), reason=reason, headers=headers)


def _is_picture(filename: str) -> bool:
    return kind_of_name(filename) is not Kind.OTHER
