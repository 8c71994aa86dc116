"""Routes whose bytes are not looked at: passed on as they are, both ways."""

from dataclasses import replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from accounts.errors import NsfwBlocked
from comfyproxy import frontendfiles, upstream
from comfyproxy.calls import Call, Reply
from comfyproxy.headers import to_client, to_upstream
from comfyproxy.paths import upstream_path

# What a type that begins so is of: text, code, fonts, sound.
_NO_PICTURES: Final = (
    *(b"text/", b"font/", b"audio/", b"application/json", b"application/javascript"),
    *(b"application/manifest+json", b"application/x-ndjson", b"application/xml"),
    b"application/wasm",
)


async def forward(call: Call) -> Reply:
    """Send the request on under the caller's admitted path, stream the answer back. Who is kept
    from explicit images gets no pictures this way."""
    reply = await _sent_on(call)
    if call.caller is None or not call.caller.sfw_enforced:
        return reply
    if _may_be_picture(reply):
        # Nobody knows which file it is: a custom node's route answers with what it likes.
        if reply.stream is not None:
            reply.stream.close()
        if reply.status >= HTTPStatus.BAD_REQUEST:
            # aiohttp calls the nothing of a file that is not there octets. No body, no picture.
            return Reply(reply.status)
        raise NsfwBlocked(reason="unknown")
    # A picture that says it is a text stays one to the browser.
    return replace(reply, headers=[*reply.headers, (b"x-content-type-options", b"nosniff")])


async def _sent_on(call: Call) -> Reply:
    answer = await upstream.stream(
        call.method,
        upstream_path(call.path, api=call.path.api),
        query=call.query,
        headers=to_upstream(call.headers, body=call.has_body),
        body=call.chunks() if call.has_body else None,
    )
    headers = _own_frames(_own_locations(to_client(answer.headers)))
    return Reply(answer.status, headers, stream=answer)


async def static(call: Call) -> Reply:
    """A file of ComfyUI's frontend."""
    path = upstream_path(call.path, api=call.path.api)
    reply = await frontendfiles.kept(call, path)
    if reply is None:
        return await _sent_on(call)
    return replace(reply, headers=_own_frames(reply.headers))


def _may_be_picture(reply: Reply) -> bool:
    """Whether the answer may be a picture: it is, unless its type says it is something else."""
    if reply.status in (204, 304) or (b"content-length", b"0") in reply.headers:
        return False
    types = [value.strip().lower() for name, value in reply.headers if name == b"content-type"]
    return not types or not all(kind.startswith(_NO_PICTURES) for kind in types)


def _own_locations(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A redirect of ComfyUI's to itself must lead to the gateway."""
    return [
        (name, _own_location(value) if name == b"location" else value) for name, value in headers
    ]


def _own_frames(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A page may be shown in a frame of this origin only (ComfyUI's extensions use some), lest
    another site has people click on what they do not see."""
    html = any(name == b"content-type" and b"html" in value.lower() for name, value in headers)
    if not html or any(name == b"x-frame-options" for name, _ in headers):
        return headers
    return [*headers, (b"x-frame-options", b"SAMEORIGIN")]


def _own_location(value: bytes) -> bytes:
    try:
        target = urlsplit(value.decode())
    except ValueError:
        return value
    base = urlsplit(settings.COMFYUI_URL)
    if (target.scheme, target.netloc) == (base.scheme, base.netloc):
        # One slash: with two, what follows would be another host's name.
        path = "/" + target.path.removeprefix(base.path).lstrip("/")
    elif not target.scheme and not target.netloc and target.path.startswith(f"{base.path}/"):
        path = target.path.removeprefix(base.path)
    else:
        return value
    return target._replace(scheme="", netloc="", path=path).geturl().encode()
