"""`POST /upload/image` and `/upload/mask`: into the caller's own folder, never spooled."""

import re
from collections.abc import AsyncIterator
from typing import Final

import orjson

from accounts import errors
from accounts.capabilities import Capability
from accounts.credentials import header
from accounts.identity import Identity
from comfyproxy import filerecords, fileversions, upstream
from comfyproxy.access import resolve
from comfyproxy.calls import JSON_TYPE, Call, Reply
from comfyproxy.files import (
    TYPES,
    FileRef,
    OutsideError,
    is_attributable,
    namespace_of,
    normal_path,
    parse_view,
)
from comfyproxy.multipart import UploadForm

Fields = list[tuple[str, str]]
TRUE: Final = ("true", "1")
MAX_ANSWER_BYTES: Final = 64 * 1024
# ComfyUI makes the folder as it is named; what no file system takes would be its error 500.
MAX_FOLDER_BYTES: Final = 1024
MAX_SEGMENT_BYTES: Final = 240
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


async def upload_image(call: Call) -> Reply:
    """Any file into input or temp."""
    return await _upload(call, "/upload/image", with_original=False)


async def upload_mask(call: Call) -> Reply:
    """A mask over a file the caller may see; over another's: 404, and nothing is written."""
    return await _upload(call, "/upload/mask", with_original=True)


async def _upload(call: Call, path: str, *, with_original: bool) -> Reply:
    form = UploadForm(header(call.headers, b"content-type") or "")

    async def body() -> AsyncIterator[bytes]:
        async for piece in form.file_part(call.chunks()):
            yield piece
        yield form.closing(await _fields(form.fields, call.identity, with_original=with_original))

    answer = await upstream.stream(
        "POST", path, headers=[("Content-Type", form.content_type)], body=body()
    )
    try:
        text = await answer.read(MAX_ANSWER_BYTES)
        reply = _reply(answer.status, text, with_original=with_original)
    finally:
        answer.close()
    await _record(text, call.identity)
    return reply


async def _record(answer: bytes, identity: Identity) -> None:
    """Remember what was stored in the input folder: lists of input files show it."""
    try:
        stored = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return
    if not isinstance(stored, dict) or stored.get("type") != "input":
        return
    name, subfolder = stored.get("name"), stored.get("subfolder")
    if isinstance(name, str) and isinstance(subfolder, str):
        ref = FileRef("input", subfolder, name)
        if is_attributable(ref, identity.namespace):
            await filerecords.add({ref: ""}, identity.user_id, None)


async def _fields(given: dict[str, str], identity: Identity, *, with_original: bool) -> Fields:
    """What ComfyUI shall read: one value each, the sub folder last.

    Raises:
        BadRequest, NotFound (the original is not the caller's to see)
    """
    kind = given.get("type", "input")
    if kind not in TYPES:
        raise errors.BadRequest("type must be input or temp.", field="type")
    if kind == "output" and not identity.can(Capability.MANAGE_BACKEND):
        raise errors.BadRequest("Files are uploaded to input or temp.", field="type")
    fields: Fields = [("type", kind)]
    if given.get("overwrite") in TRUE:
        fields.append(("overwrite", "true"))
    if with_original:
        fields.append(("original_ref", await _original(given.get("original_ref"), identity)))
    fields.append(("subfolder", _own_subfolder(given.get("subfolder", ""), identity.namespace)))
    return fields


def _own_subfolder(wanted: str, namespace: str) -> str:
    """The wanted folder inside the caller's. One that an earlier answer named stays itself."""
    try:
        path = normal_path(wanted)
    except OutsideError:
        raise errors.BadRequest("subfolder leaves your folder.", field="subfolder") from None
    first, _, rest = path.partition("/")
    if first == namespace:
        path = rest
    elif namespace_of(path) is not None:
        raise errors.BadRequest("subfolder leaves your folder.", field="subfolder")
    longest = max(len(part.encode()) for part in path.split("/"))
    if len(path.encode()) > MAX_FOLDER_BYTES or longest > MAX_SEGMENT_BYTES:
        raise errors.BadRequest("subfolder is too long.", field="subfolder")
    if _CONTROL.search(path):
        raise errors.BadRequest("subfolder is not valid.", field="subfolder")
    return f"{namespace}/{path}" if path else namespace


async def _original(text: str | None, identity: Identity) -> str:
    try:
        wanted = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        wanted = None
    if not isinstance(wanted, dict) or not isinstance(wanted.get("filename"), str):
        raise errors.BadRequest("original_ref must name a file.", field="original_ref")
    named = {key: value for key, value in wanted.items() if isinstance(value, str)}
    # Unlike /view, ComfyUI does not cut the folders off this name.
    folder, _, base = named["filename"].rpartition("/")
    if folder:
        above = named.get("subfolder")
        named |= {"filename": base, "subfolder": f"{above}/{folder}" if above else folder}
    ref: FileRef = await resolve(parse_view(named), identity)
    if not await fileversions.exists(ref.filename, ref.subfolder, ref.type):
        raise errors.NotFound
    return orjson.dumps(fileversions.exact_name(ref.filename, ref.subfolder, ref.type)).decode()


def _reply(status: int, body: bytes, *, with_original: bool) -> Reply:
    if status == errors.TooLarge.status:
        raise errors.TooLarge("The file is larger than ComfyUI takes.")
    if status >= 500 and with_original:
        # It reads the mask while it stores it, and fails over what is no picture.
        raise errors.BadRequest("ComfyUI could not use this mask.", field="image")
    if status >= 500:
        raise errors.UpstreamUnreachable("ComfyUI could not store the file.")
    if status >= 400:
        raise errors.BadRequest("ComfyUI did not accept the file.")
    return Reply(status, [JSON_TYPE], body)
