"""`GET /view`: the caller's own files, those that their prompts made, and what lies unowned at
the top of the input folder."""

from typing import Final

from accounts.errors import (
    BadRequest,
    GatewayError,
    NotFound,
    NsfwBlocked,
    UpstreamUnreachable,
)
from comfyproxy import fileversions, nsfwgate, upstream, variants
from comfyproxy.access import resolve
from comfyproxy.calls import ByteStream, Call, Reply, refusal
from comfyproxy.files import FileRef, parse_view
from comfyproxy.filters.placeholder import placeholder
from comfyproxy.headers import for_user_content, to_client, to_upstream
from comfyproxy.sameversion import SameVersion

PASSED_ON: Final = ("preview", "channel")
_OF_A_VARIANT: Final = frozenset({b"content-type", b"content-disposition"})
RANGE_NOT_SATISFIABLE: Final = 416


async def view_file(call: Call) -> Reply:
    """One file, in any of ComfyUI's spellings. What is another's is 404."""
    params = call.first_params()
    ref = await resolve(parse_view(params), call.identity)
    shown_as: dict[str, str] = {name: params[name] for name in PASSED_ON if name in params}
    try:
        return await _shown(call, ref, shown_as)
    except NsfwBlocked as blocked:
        return _in_its_place(call, blocked)


async def _shown(call: Call, ref: FileRef, shown_as: dict[str, str]) -> Reply:
    enforced = call.identity.sfw_enforced
    # What ComfyUI converts becomes a picture, whatever its name is.
    is_judged = nsfwgate.asks(call.identity, ref.filename) or (enforced and bool(shown_as))
    is_converted = call.method == "GET" and variants.is_converted(shown_as)
    before = await _version(ref) if is_converted or (is_judged and shown_as) else None
    if is_converted and before is not None:
        found = await variants.kept(ref, before, shown_as)
        if found is not None:
            await nsfwgate.require_file(ref, before, call.identity, is_picture=True)
            return _kept(call, found, is_judged)
    answer = await upstream.stream(
        call.method,
        "/view",
        query=fileversions.query_of(ref.filename, ref.subfolder, ref.type, shown_as),
        headers=_asked(call),
    )
    tag: str | None = None
    try:
        if answer.status >= 400 and answer.status != RANGE_NOT_SATISFIABLE:
            raise _refusal(answer.status, shown_as)
        is_picture = bool(shown_as) or _is_sent_as_picture(answer)
        is_judged = is_judged or (enforced and is_picture)
        if is_judged and answer.status != RANGE_NOT_SATISFIABLE:
            version = fileversions.version_in(answer.headers)
            tag = None if version is None else version.tag
            if shown_as:
                # ComfyUI tells no version of what it converts. It read the file between these.
                tag = before if before == await _version(ref) else None
            await nsfwgate.require_file(ref, tag, call.identity, is_picture=is_picture)
    except BaseException:
        answer.close()
        raise
    if is_converted and before is not None and answer.status == 200 and _is_small(answer):
        return await _to_keep(call, ref, shown_as, before, answer, is_judged)
    headers = for_user_content(to_client(answer.headers))
    stream: ByteStream = answer
    if is_judged:
        if tag is not None and not shown_as:
            stream = SameVersion(answer, ref, tag)
        headers = _asked_for_again(headers)
    return Reply(answer.status, headers, stream=stream)


def _asked_for_again(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What is tagged tomorrow must not be shown from the browser's memory."""
    kept = [pair for pair in headers if pair[0] != b"cache-control"]
    return [*kept, (b"cache-control", b"private, no-cache")]


def _is_small(answer: upstream.UpstreamStream) -> bool:
    lengths = [value for name, value in answer.headers if name.lower() == b"content-length"]
    return len(lengths) == 1 and int(lengths[0]) <= variants.MAX_VARIANT_BYTES


async def _to_keep(
    call: Call,
    ref: FileRef,
    shown_as: dict[str, str],
    before: str,
    answer: upstream.UpstreamStream,
    is_judged: bool,
) -> Reply:
    """Send what was converted, and keep it if the file was the same before and after."""
    try:
        body = await answer.read(variants.MAX_VARIANT_BYTES)
    finally:
        answer.close()
    headers = [(name, value) for name, value in to_client(answer.headers) if name in _OF_A_VARIANT]
    found = variants.Variant(variants.name_of(ref, before, shown_as), headers, body)
    if before != await _version(ref):
        return Reply(200, for_user_content(headers), body)
    await variants.keep(ref, before, shown_as, headers, body)
    return _kept(call, found, is_judged)


def _kept(call: Call, found: variants.Variant, is_judged: bool) -> Reply:
    tag = f'"{found.tag}"'.encode()
    headers = [*for_user_content(found.headers), (b"etag", tag)]
    if is_judged:
        headers = _asked_for_again(headers)
    known = dict(call.headers).get(b"if-none-match", b"")
    if tag in [item.strip() for item in known.split(b",")]:
        return Reply(304, headers)
    return Reply(200, headers, found.body)


def _asked(call: Call) -> list[tuple[str, str]]:
    """The request's headers. Of whoever is shown only what was judged, without the one by which
    ComfyUI sends another file, `x.png.gz` in the place of `x.png` (aiohttp 3.14)."""
    headers = to_upstream(call.headers, body=False)
    if not call.identity.sfw_enforced:
        return headers
    return [(name, value) for name, value in headers if name != "accept-encoding"]


def _is_sent_as_picture(answer: upstream.UpstreamStream) -> bool:
    """Whether a browser shows it: `x.png.gz`, too, comes as `image/png`."""
    kinds = [value.lower() for name, value in answer.headers if name.lower() == b"content-type"]
    return any(kind.startswith((b"image/", b"video/")) for kind in kinds)


async def _version(ref: FileRef) -> str | None:
    found = await fileversions.version_of(ref.filename, ref.subfolder, ref.type)
    return None if found is None else found.tag


def _in_its_place(call: Call, blocked: NsfwBlocked) -> Reply:
    """The refusal; where a page wants a picture, as one that says why: browsers show it
    whatever the status."""
    wanted = dict(call.headers).get(b"sec-fetch-dest")
    reply = refusal(blocked)
    if wanted != b"image":
        return reply
    headers = [pair for pair in reply.headers if pair[0] != b"content-type"]
    headers += [(b"content-type", b"image/svg+xml"), (b"x-content-type-options", b"nosniff")]
    headers.append((b"content-security-policy", b"sandbox; default-src 'none'"))
    return Reply(reply.status, headers, placeholder(blocked.message))


def _refusal(status: int, shown_as: dict[str, str]) -> GatewayError:
    """ComfyUI refuses without a body; and what is missing must read like what is another's."""
    if status < 500:
        return NotFound() if status in (403, 404) else BadRequest()
    if shown_as:
        return BadRequest("This file cannot be shown like that.", field=next(iter(shown_as)))
    return UpstreamUnreachable("ComfyUI could not read the file.")
