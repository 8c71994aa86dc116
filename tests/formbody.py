"""Multipart bodies built by hand: parts in any order, any header, any boundary."""

import requests

from tests.client import Client

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def field(name: str, value: str | bytes) -> bytes:
    """A plain field's part, without the boundary line before it."""
    raw = value.encode() if isinstance(value, str) else value
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + raw + b"\r\n"


def file(filename: str | bytes, content: bytes, *, name: str = "image", kind: str = "") -> bytes:
    """A file's part; `filename` goes between the quotes as it stands."""
    raw = filename.encode() if isinstance(filename, str) else filename
    head = f'Content-Disposition: form-data; name="{name}"; filename="'.encode() + raw + b'"\r\n'
    if kind:
        head += f"Content-Type: {kind}\r\n".encode()
    return head + b"\r\n" + content + b"\r\n"


def form(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    """A whole body."""
    line = f"--{boundary}".encode()
    return b"".join(line + b"\r\n" + part for part in parts) + line + b"--\r\n"


def send_form(
    client: Client, body: bytes, path: str = "/upload/image", content_type: str = CONTENT_TYPE
) -> requests.Response:
    """POST such a body."""
    return client.post(path, data=body, headers={"Content-Type": content_type})
