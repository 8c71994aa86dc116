"""The only module that opens connections to sources: HTTPS, public addresses, bounded answers.

Redirects are followed by hand, because credentials must not travel along: CivitAI's storage
answers 400 to a foreign Authorization, and any other host would learn somebody's key.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urljoin

import requests

from accounts.sentences import english
from downloads import publicaddress
from downloads.connect import Connect, GuardedAdapter, Resolve, connect_to, resolve_name
from downloads.errors import BlockedAddress, DownloadError, SourceDown, SourceRefused, Stalled
from downloads.stream import arriving, never
from downloads.texts import cleaned
from downloads.urls import host_of, split_url
from downloads.watch import Watch

# A model version of CivitAI's with all its pictures is below 1 MB; a large repository's list of
# files is a few.
MAX_METADATA: Final = 5 * 1024 * 1024
METADATA_SECONDS: Final = 60.0
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class _Session(requests.Session):
    """Leaves redirects alone: `send` reads a redirect's whole body, unpacked, even of one that is
    not to be followed."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Web:
    """Asks sources, and fetches files from where they lead. For one thread at a time.

    Args:
        base_urls: the sources' addresses; only their hosts are asked of our own accord
        user_agent: sent with every request
        allow_loopback_http: let base URLs and their redirects be plain HTTP on this machine
            (mirrors, tests)
        connect_timeout, read_timeout: seconds; the second is between two bytes of an answer,
            whose head may take twice as long as a whole
        cancelled: asked while an answer's head or a short answer is waited for; what it raises
            comes out
        verify: True, or a file of certificate authorities
        resolve, connect: how names are resolved and connections made
    """

    def __init__(
        self,
        base_urls: Iterable[str],
        *,
        user_agent: str,
        allow_loopback_http: bool = False,
        connect_timeout: float = 15,
        read_timeout: float = 30,
        verify: bool | str = True,
        cancelled: Callable[[], bool] = never,
        resolve: Resolve = resolve_name,
        connect: Connect = connect_to,
    ) -> None:
        self._loopback = allow_loopback_http
        self._hosts = frozenset(host_of(url) for url in base_urls)
        self.timeouts = (connect_timeout, read_timeout)
        self._cancelled = cancelled
        self._session = _Session()
        # No proxy of the environment, no .netrc, no other certificates than `verify`.
        self._session.trust_env = False
        self._session.verify = verify
        self._session.headers.clear()
        self._session.headers["User-Agent"] = user_agent
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._adapter = GuardedAdapter(resolve, connect)
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)

    def close(self) -> None:
        self._session.close()

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        credential_hosts: Collection[str] = (),
        stream: bool = False,
        max_redirects: int = 8,
    ) -> requests.Response:
        """The last answer behind a URL, whatever its status; its body unread with `stream`.

        `credentials` are headers for `credential_hosts` (see `host_of`) alone. Without `stream`
        the body is read, up to `MAX_METADATA`.

        Raises:
            BlockedAddress: the URL, or a redirect, leads where no download may be fetched
            DownloadError: no answer (`permanent` False), too many redirects, too long an answer
            Cancelled
        """
        hosts = frozenset(credential_hosts)
        answer = self._follow("GET", url, headers, credentials, hosts, max_redirects, False)
        if not stream:
            self._read_all(answer)
        return answer

    def head(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        credential_hosts: Collection[str] = (),
        max_redirects: int = 8,
    ) -> requests.Response:
        """The first answer that the URL's own host gives by itself; a redirect away from it is
        such an answer and not followed.

        Raises:
            as `get`
        """
        hosts = frozenset(credential_hosts)
        answer = self._follow("HEAD", url, headers, credentials, hosts, max_redirects, True)
        answer.close()
        return answer

    def get_json(
        self,
        url: str,
        *,
        credentials: Mapping[str, str] | None = None,
        credential_hosts: Collection[str] = (),
    ) -> tuple[requests.Response, Any]:
        """(answer, its JSON), or None for JSON where the body is something else.

        Raises:
            as `get`
        """
        answer = self.get(
            url,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            credentials=credentials,
            credential_hosts=credential_hosts,
        )
        return answer, _json(answer)

    def read_json(self, answer: requests.Response) -> Any:
        """The JSON of an answer that came with `stream`; None where it is something else.

        Raises:
            DownloadError: it broke off, or is too long
        """
        self._read_all(answer)
        return _json(answer)

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        credentials: Mapping[str, str] | None,
        credential_hosts: frozenset[str],
        max_redirects: int,
        stay: bool,
    ) -> requests.Response:
        if host_of(url) not in self._hosts:
            raise BlockedAddress(english("This site is not one of the download sources."))
        first = host_of(url)
        from_loopback = self._loopback
        for _ in range(max_redirects + 1):
            from_loopback = self._judge(url, from_loopback)
            sent = {"Accept-Encoding": "identity", **(headers or {})}
            answer = self._watched(method, url, sent, credentials or {}, credential_hosts)
            location = answer.headers.get("Location")
            if answer.status_code not in REDIRECTS or not location:
                return answer
            if stay and host_of(_joined(url, location)) != first:
                return answer
            answer.close()
            url = _joined(url, location)
        raise SourceRefused(
            english("The site sends the download in circles. Try again later."),
            code="TOO_MANY_REDIRECTS",
        )

    def _judge(self, url: str, from_loopback: bool) -> bool:
        """Whether a URL is plain HTTP on this machine; raises BlockedAddress for other plain
        ones. Only this machine may lead to this machine."""
        parts = split_url(url)
        if parts.scheme == "https":
            return False
        if from_loopback and publicaddress.is_loopback_host(parts.hostname or ""):
            return True
        raise BlockedAddress(english("The download leads to an address without HTTPS. Stopped."))

    def _watched(self, *asked: Any) -> requests.Response:
        """As `_send`, but it ends in time."""
        with Watch(2 * self.timeouts[1], self._cancelled) as watch:
            self._adapter.watch = watch
            try:
                answer = self._send(*asked)
            except DownloadError:
                # A connection that was shut down looks like a site's failure.
                watch.check()
                raise
            finally:
                self._adapter.watch = None
            try:
                watch.check()
            except BaseException:
                answer.close()
                raise
            return answer

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        credentials: Mapping[str, str],
        credential_hosts: frozenset[str],
    ) -> requests.Response:
        try:
            prepared = self._session.prepare_request(requests.Request(method, url, dict(headers)))
            # As it is sent: `requests` rewrites hosts with letters beyond ASCII, for one.
            if host_of(prepared.url or "") in credential_hosts:
                prepared.headers.update(credentials)
            return self._session.send(
                prepared, stream=True, allow_redirects=False, timeout=self.timeouts
            )
        except requests.exceptions.SSLError as error:
            raise SourceDown(
                english("The site's certificate is not valid. Tell the administrator."),
                code="TLS_FAILED",
                permanent=True,
            ) from error
        except requests.exceptions.ReadTimeout as error:
            raise Stalled(english("The site does not answer. Try again later.")) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise SourceDown(english("The site cannot be reached. Try again later.")) from error
        except (requests.RequestException, UnicodeError, ValueError) as error:
            raise BlockedAddress(
                english("The site leads to an address that is not valid.")
            ) from error

    def _read_all(self, answer: requests.Response) -> None:
        """Reads a bounded body into the answer, where `content` and `json()` find it."""
        too_long = SourceRefused(english("The site's answer is too long."), code="ANSWER_TOO_LONG")
        body = bytearray()
        try:
            pieces = arriving(
                answer,
                stall_seconds=self.timeouts[1],
                total_seconds=METADATA_SECONDS,
                cancelled=self._cancelled,
            )
            with closing(pieces):
                for piece in pieces:
                    body += piece
                    if len(body) > MAX_METADATA:
                        raise too_long
        finally:
            answer.close()
        answer._content = bytes(body)
        answer._content_consumed = True  # type: ignore[attr-defined]


def _joined(url: str, location: str) -> str:
    """Where a redirect leads. Raises BlockedAddress."""
    # HTTP header bytes arrive as Latin-1; many servers mean UTF-8.
    text = location.encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        return urljoin(url, text)
    except ValueError:
        raise BlockedAddress(english("The site leads to an address that is not valid.")) from None


def _json(answer: requests.Response) -> Any:
    try:
        return cleaned(json.loads(answer.content))
    except (ValueError, RecursionError):
        return None
