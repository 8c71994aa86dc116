"""Routes whose bytes are not looked at: passed on as they are, both ways."""

from typing import Final

from django.conf import settings

from comfyproxy import upstream
from comfyproxy.calls import Call, Reply
from comfyproxy.headers import to_client, to_upstream
from comfyproxy.paths import upstream_path

_BODILESS: Final = frozenset({"GET", "HEAD"})


async def forward(call: Call) -> Reply:
    """Send the request on under the caller's admitted path, stream the answer back."""
    has_body = call.method not in _BODILESS
    answer = await upstream.stream(
        call.method,
        upstream_path(call.path, api=call.path.api),
        query=call.query,
        headers=to_upstream(call.headers, body=has_body),
        body=call.chunks() if has_body else None,
    )
    return Reply(answer.status, _own_locations(to_client(answer.headers)), stream=answer)


async def static(call: Call) -> Reply:
    """A file of ComfyUI's frontend."""
    return await forward(call)


def _own_locations(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A redirect of ComfyUI's to itself must lead to the gateway."""
    base = settings.COMFYUI_URL.encode()
    return [
        (name, (value.removeprefix(base) or b"/") if name == b"location" else value)
        for name, value in headers
    ]
