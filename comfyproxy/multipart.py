"""An upload form rewritten while it streams: the file passes through, the fields wait.

ComfyUI decides by the fields `subfolder`, `type`, `overwrite` and `original_ref` where a
file goes, and they may come after the file. So the file's part is passed on as it comes,
every other field is held back, and what ComfyUI shall read of them is written last. Until
that last part is sent ComfyUI has nothing to store, so a refusal can still stop it.
"""

import re
import secrets
from collections.abc import AsyncIterator, Iterable
from typing import Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from accounts.errors import BadRequest

FILE_FIELD: Final = "image"
MAX_FIELD_BYTES: Final = 64 * 1024
MAX_PARTS: Final = 20
# File systems take 255 bytes; ComfyUI adds ` (12)` where a name is taken.
MAX_FILENAME_BYTES: Final = 240
# What would read differently here and there, or lead into another folder.
_BAD_IN_FILENAME: Final = frozenset('/\\"\0') | frozenset(map(chr, range(32))) | {"\x7f"}

# Only what a plain file can have: a `multipart/…` would be taken apart on the other side.
_MEDIA_TYPE: Final = re.compile(rb"(?!multipart/)[\w.+-]+/[\w.+-]+", re.IGNORECASE)


class UploadForm:
    """Feed it the client's body; it hands out what ComfyUI gets."""

    def __init__(self, content_type: str) -> None:
        """Raises BadRequest unless `content_type` is multipart/form-data with a boundary."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
            raise BadRequest("Send the file as multipart/form-data.")
        # Never the client's own: two parsers may differ in where a boundary ends, and what is
        # one file to this one could be a form of the client's making to ComfyUI's.
        self._boundary = secrets.token_hex(16).encode()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )
        self.fields: dict[str, str] = {}
        self._out: list[bytes] = []
        self._header: tuple[list[bytes], list[bytes]] = ([], [])
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._value = bytearray()
        self._in_file = self._seen_file = self._complete = False
        self._parts = 0

    async def file_part(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The file's part, piece by piece; afterwards `fields` holds the rest of the form.

        Raises:
            BadRequest: no form, no file, two files, a bad file name, a field too long
        """
        async for chunk in body:
            try:
                self._parser.write(chunk)
            except MultipartParseError:
                raise BadRequest("The form is not valid multipart/form-data.") from None
            if self._out:
                yield b"".join(self._out)
                self._out.clear()
        if not self._complete:
            raise BadRequest("The form ends too early.")
        if not self._seen_file:
            raise BadRequest("The form has no file.", field=FILE_FIELD)

    def closing(self, fields: Iterable[tuple[str, str]]) -> bytes:
        """These fields as parts, and the end of the form."""
        parts = [
            self._opening(f'form-data; name="{name}"'.encode()) + b"\r\n" + value.encode() + b"\r\n"
            for name, value in fields
        ]
        return b"".join(parts) + b"--" + self._boundary + b"--\r\n"

    @property
    def content_type(self) -> str:
        """The header that goes with what is handed out."""
        return f"multipart/form-data; boundary={self._boundary.decode()}"

    def _opening(self, disposition: bytes) -> bytes:
        return b"--" + self._boundary + b"\r\nContent-Disposition: " + disposition + b"\r\n"

    # --- the parser's callbacks --------------------------------------------------------------

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadRequest("The form has too many fields.")
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].append(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].append(data[start:end])

    def _header_end(self) -> None:
        name, value = (b"".join(pieces) for pieces in self._header)
        self._headers[name.lower()] = value
        self._header = ([], [])

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        self._in_file = name == FILE_FIELD
        self._field = None if self._in_file else name
        self._value = bytearray()
        if not self._in_file:
            if filename is not None:
                raise BadRequest("Only one file can be sent, as “image”.", field=name[:80])
            return
        if filename is None or self._seen_file:
            raise BadRequest("Send one file, as “image”.", field=FILE_FIELD)
        self._seen_file = True
        self._out.append(self._file_head(_file_name(filename)))

    def _file_head(self, filename: str) -> bytes:
        disposition = f'form-data; name="{FILE_FIELD}"; filename="{filename}"'.encode()
        kind = self._headers.get(b"content-type", b"")
        if not _MEDIA_TYPE.fullmatch(kind):
            kind = b"application/octet-stream"
        return self._opening(disposition) + b"Content-Type: " + kind + b"\r\n\r\n"

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._out.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise BadRequest("A field of the form is too long.", field=(self._field or "")[:80])

    def _part_end(self) -> None:
        if self._in_file:
            self._out.append(b"\r\n")
        elif self._field is not None:
            # Of repeated fields ComfyUI reads the first.
            self.fields.setdefault(self._field, self._value.decode("utf-8", "replace"))

    def _end(self) -> None:
        self._complete = True


def _file_name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise BadRequest("The file name is not valid.", field=FILE_FIELD) from None
    if (
        not name.strip(" .")
        or len(raw) > MAX_FILENAME_BYTES
        or ".." in name
        or name.count(";") > 1  # more than one is beyond the parser of ComfyUI's server
        or not _BAD_IN_FILENAME.isdisjoint(name)
    ):
        raise BadRequest("The file name is not valid.", field=FILE_FIELD)
    return name
