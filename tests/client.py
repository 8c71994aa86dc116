"""HTTP clients for the wire tests: one per person, and one that sends any path as it stands."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests


class Client(requests.Session):
    """Talks to one gateway with one token; paths are relative to it.

    Never follows redirects: a test says what it expects.
    """

    def __init__(self, base_url: str, token: str | None = None, namespace: str = "") -> None:
        super().__init__()
        self.trust_env = False
        self.base_url = base_url
        self.token = token
        self.namespace = namespace
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", 30)
        return super().request(method, self.base_url + str(url), *args, **kwargs)


@dataclass
class RawAnswer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


def raw_request(
    base_url: str,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> RawAnswer:
    """One request whose target is sent byte for byte; no client normalises it."""
    url = urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None and "Content-Length" not in (headers or {}):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return RawAnswer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()
