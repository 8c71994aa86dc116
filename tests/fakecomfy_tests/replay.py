"""Sends recorded requests again and compares the answers with the recorded ones."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FIXTURES = Path(__file__).parent / "fixtures"

# Headers that a proxy or a browser acts on; the others differ from run to run.
HEADERS = (
    "Content-Type",
    "Content-Disposition",
    "Cache-Control",
    "Allow",
    "Connection",
    "Accept-Ranges",
    "Content-Range",
    "Transfer-Encoding",
    "Pragma",
    "Expires",
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
# Values of these keys differ from run to run: only their type counts.
_VARYING = frozenset({"timestamp", "number", "modified", "created", "traceback", "current_inputs"})


@dataclass
class Answer:
    """An HTTP answer, read whole."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def load(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


def send(
    url: str,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: dict[str, str] | None = None,
    json_body: Any = None,
) -> Answer:
    """One request on a connection of its own, the target sent exactly as given."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
    all_headers = dict(headers or {})
    if json_body is not None:
        body = json.dumps(json_body)
        all_headers.setdefault("Content-Type", "application/json")
    data = body.encode() if isinstance(body, str) else body
    try:
        connection.putrequest(
            method, path, skip_host="Host" in all_headers, skip_accept_encoding=True
        )
        for name, value in all_headers.items():
            connection.putheader(name, value)
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        response = connection.getresponse()
        # http.client reads headers as Latin-1; ComfyUI sends UTF-8.
        found = {k.title(): v.encode("latin-1").decode() for k, v in response.getheaders()}
        return Answer(response.status, response.reason, found, response.read())
    finally:
        connection.close()


def multipart(fields: dict[str, Any]) -> tuple[bytes, str]:
    """A multipart body of plain fields and files ({"file": bytes, "filename", "content_type"})."""
    boundary = "----fakecomfyboundary"
    parts = []
    for name, value in fields.items():
        if isinstance(value, dict):
            filename = value["filename"]
            head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
            head += f"Content-Type: {value['content_type']}\r\n\r\n"
            content = value["file"]
        else:
            head = f'Content-Disposition: form-data; name="{name}"\r\n\r\n'
            content = value.encode()
        parts.append(f"--{boundary}\r\n{head}".encode() + content + b"\r\n")
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def differences(want: Any, got: Any, where: str = "") -> list[str]:
    """Where two JSON values differ in more than ids, times and shortened texts."""
    if want == "<any>":
        return []
    if isinstance(want, dict) and isinstance(got, dict):
        return _dict_differences(want, got, where)
    if isinstance(want, list) and isinstance(got, list):
        return _list_differences(want, got, where)
    if isinstance(want, str) and isinstance(got, str):
        if "… (" in want:
            want, got = want.split("… (")[0], got[: len(want.split("… (")[0])]
        if _UUID.sub("<id>", want) != _UUID.sub("<id>", got):
            return [f"{where}: {want!r} became {got!r}"]
        return []
    if type(want) is not type(got) or want != got:
        return [f"{where}: {want!r} became {got!r}"]
    return []


def _dict_differences(want: dict[str, Any], got: dict[str, Any], where: str) -> list[str]:
    names = {_UUID.sub("<id>", k): k for k in want if k != "…"}
    found = {_UUID.sub("<id>", k): k for k in got}
    problems = [f"{where}.{k}: missing" for k in names if k not in found]
    if "…" not in want:
        problems += [f"{where}.{k}: too much" for k in found if k not in names]
    for key in names.keys() & found.keys():
        value, other = want[names[key]], got[found[key]]
        if key in _VARYING:
            if isinstance(value, int | float) != isinstance(other, int | float):
                problems.append(f"{where}.{key}: {value!r} became {other!r}")
        else:
            problems += differences(value, other, f"{where}.{key}")
    return problems


def _list_differences(want: list[Any], got: list[Any], where: str) -> list[str]:
    shortened = bool(want) and isinstance(want[-1], str) and want[-1].startswith("… (")
    if shortened:
        want = want[:-1]
        got = got[: len(want)]
    if len(want) != len(got):
        return [f"{where}: {len(want)} items became {len(got)}: {got!r}"]
    problems = []
    for index, (value, other) in enumerate(zip(want, got, strict=True)):
        # The first element of a queue item is its number.
        if index == 0 and isinstance(value, int | float) and len(want) == 5:
            continue
        problems += differences(value, other, f"{where}[{index}]")
    return problems


def compare(sample: dict[str, Any], answer: Answer) -> list[str]:
    """What differs between a recorded answer and the one got now."""
    want = sample["response"]
    problems = []
    if answer.status != want["status"]:
        problems.append(f"status {want['status']} became {answer.status}: {answer.body[:200]!r}")
        return problems
    if "reason" in want and answer.reason != want["reason"]:
        problems.append(f"reason {want['reason']!r} became {answer.reason!r}")
    for name in HEADERS:
        expected, got = want.get("headers", {}).get(name), answer.headers.get(name)
        if name == "Connection" and expected is None:
            continue
        if expected != got:
            problems.append(f"{name}: {expected!r} became {got!r}")
    if "json" in want:
        problems += differences(want["json"], answer.json())
    elif "text" in want and not want["text"].endswith("…"):
        if answer.text != want["text"]:
            problems.append(f"text {want['text']!r} became {answer.text!r}")
    elif want.get("body_bytes") == 0 and answer.body:
        problems.append(f"empty body became {answer.body[:100]!r}")
    return problems
