"""What every refusal must look like (API.md section 1), and what a server log must not hold."""

import json
import time
from collections.abc import Callable, Iterable

import requests

from tests.client import RawAnswer
from tests.fakecomfy.record import RequestRecord
from tests.fakecomfy.thread import FakeComfyThread

_FAULTS = ("Traceback", "unexpected error", "Exception in ASGI application", "Task exception")


def check_refusal(
    answer: requests.Response | RawAnswer, status: int, code: str, /, **fields: object
) -> None:
    """`{"error", "code"}` plus exactly `fields`, as JSON that nobody keeps."""
    if isinstance(answer, RawAnswer):
        got, body = answer.status, answer.body
        headers = {name.lower(): value for name, value in answer.headers}
    else:
        got, body = answer.status_code, answer.content
        headers = {name.lower(): value for name, value in answer.headers.items()}
    assert got == status, f"{got} instead of {status}: {body[:300]!r}"
    assert headers["content-type"].partition(";")[0] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    data = json.loads(body)
    sentence = data.pop("error")
    assert isinstance(sentence, str)
    assert sentence.endswith(".")
    assert data == {"code": code, **fields}


def faults(log: str, secrets: Iterable[str]) -> list[str]:
    """Lines of a server's log that should not be there: unexpected errors, any secret."""
    forbidden = (*_FAULTS, *secrets)
    return [line for line in log.splitlines() if any(word in line for word in forbidden)]


def wait_until(true: Callable[[], object], seconds: float = 5) -> float:
    """Wait until `true()` holds; how long that took. Fails after `seconds`."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, "it did not come about in time"
        time.sleep(0.005)
    return time.monotonic() - started


def asked(comfy: FakeComfyThread) -> list[RequestRecord]:
    """What ComfyUI was asked for somebody. Not the gateway's own looks at the queue, which a
    `status` of an earlier test's prompt may still cause, nor the end of an earlier socket."""
    found = [record for record in comfy.requests if record.kind == "http"]
    return [record for record in found if (record.method, record.path) != ("GET", "/queue")]
