"""What a source of models is: a wish comes in, one remote file or a list of found ones goes out.

A third source is a new module with a class like these and one line in `downloads.sources`.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, ClassVar, Final, Protocol

import requests

from accounts.sentences import english
from downloads.errors import DownloadError, SourceBusy, SourceDown, SourceRefused
from downloads.remote import Found, RemoteFile
from downloads.web import Web

MAX_TEXT: Final = 500
SHA256: Final = re.compile(r"[0-9a-f]{64}")


class BadWish(ValueError):
    """A request body that names no file; `field` is the one to blame, for the form."""

    def __init__(self, sentence: str, field: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field


class Wanted(Protocol):
    """A valid wish. `as_dict` gives a body that `parse` reads as the same wish: what to store."""

    def as_dict(self) -> dict[str, Any]: ...


class Source(Protocol):
    """A site that models come from.

    Made with its base URL. `fields` are what `parse` understands of a body, `key_page` where
    people get their key. `parse` and `explain` are pure.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    needs_key: ClassVar[bool]
    key_page: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]

    def __init__(self, base_url: str = ...) -> None: ...

    def parse(self, data: Mapping[str, Any]) -> Wanted:
        """The wish in a request body of API.md section 6; fields of others are passed over.

        Raises:
            BadWish: nothing else, whatever the values are
        """
        ...

    def resolve(self, wanted: Any, key: str | None, web: Web) -> RemoteFile:
        """The file that a wish of this source's `parse` means, as of now.

        Raises:
            DownloadError
        """
        ...

    def search(self, query: str, key: str | None, web: Web) -> list[Found]:
        """Models whose name fits, at most 20, with their files.

        Raises:
            DownloadError
        """
        ...

    def explain(
        self, status: int, headers: Mapping[str, str], body: Any, page_url: str, with_key: bool
    ) -> DownloadError:
        """What an answer of this site that is no success means for a person."""
        ...


def text_field(data: Mapping[str, Any], name: str, most: int = MAX_TEXT) -> str | None:
    """A field's text, stripped; None where it is missing, null or empty.

    Raises:
        BadWish: not a text, too long, or with control characters
    """
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadWish(f"{name} must be a text.", name)
    value = value.strip()
    if len(value) > most or not value.isprintable():
        raise BadWish(f"{name} is not valid.", name)
    return value or None


def id_field(data: Mapping[str, Any], name: str) -> int | None:
    """A field's positive number, written as number or text; None where it is missing.

    Raises:
        BadWish
    """
    value = data.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value.strip()):
        value = int(value)
    if type(value) is not int or not 0 < value < 10**15:
        raise BadWish(f"{name} must be a number.", name)
    return value


def bearer(key: str | None) -> dict[str, str]:
    """The header that carries a key. A key that no header can carry is left out."""
    return {"Authorization": f"Bearer {key}"} if key and re.fullmatch(r"[!-~]+", key) else {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header in either of its forms (RFC 9110, 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, OverflowError):
        return None


def explain_common(label: str, status: int, headers: Mapping[str, str]) -> DownloadError:
    """What a status means on any site. `label`: the site's name, the same in every language."""
    if status == 429:
        return SourceBusy(
            english("%(site)s takes no more requests for now. Try again later.", site=label),
            retry_after=retry_after(headers),
        )
    if status >= 500 or status == 408:
        return SourceDown(
            english("%(site)s has trouble of its own. Try again later.", site=label),
            retry_after=retry_after(headers),
        )
    return SourceRefused(
        english("%(site)s refused the download (status %(status)s).", site=label, status=status)
    )


def raise_for(source: Source, answer: requests.Response, body: Any, page: str, key: bool) -> None:
    """Raises what `source.explain` says of an answer that is no success."""
    if not 200 <= answer.status_code < 300:
        raise source.explain(answer.status_code, answer.headers, body, page, key)
