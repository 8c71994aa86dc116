"""`GET /view`: the caller's own files, those that their prompts made, and what lies unowned at
the top of the input folder."""

from typing import Final
from urllib.parse import urlencode

from accounts.errors import BadRequest, GatewayError, NotFound, UpstreamUnreachable
from comfyproxy import upstream
from comfyproxy.access import resolve
from comfyproxy.calls import Call, Reply
from comfyproxy.files import parse_view
from comfyproxy.headers import for_user_content, to_client, to_upstream

PASSED_ON: Final = ("preview", "channel")
RANGE_NOT_SATISFIABLE: Final = 416


async def view_file(call: Call) -> Reply:
    """One file, in any of ComfyUI's spellings. What is another's is 404."""
    params = call.first_params()
    ref = await resolve(parse_view(params), call.identity)
    shown_as: dict[str, str] = {name: params[name] for name in PASSED_ON if name in params}
    query = upstream.exact_name(ref.filename, ref.subfolder, ref.type) | shown_as
    answer = await upstream.stream(
        call.method,
        "/view",
        query=urlencode(query).encode(),
        headers=to_upstream(call.headers, body=False),
    )
    if answer.status >= 400 and answer.status != RANGE_NOT_SATISFIABLE:
        answer.close()
        raise _refusal(answer.status, shown_as)
    return Reply(answer.status, for_user_content(to_client(answer.headers)), stream=answer)


def _refusal(status: int, shown_as: dict[str, str]) -> GatewayError:
    """ComfyUI refuses without a body; and what is missing must read like what is another's."""
    if status < 500:
        return NotFound() if status in (403, 404) else BadRequest()
    if shown_as:
        return BadRequest("This file cannot be shown like that.", field=next(iter(shown_as)))
    return UpstreamUnreachable("ComfyUI could not read the file.")
