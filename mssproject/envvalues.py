"""What the value of an environment variable may be: types that check it, each with the sentence
that says what is wrong. No sentence shows a secret."""

import re
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

BASE_DIR: Final = Path(__file__).resolve().parent.parent
# The ports that RFC 5321, 8314 and 6409 name for these.
SMTP_PORTS: Final = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}

_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_SENDER: Final = re.compile(r"(?:[^<>@,;]*<)?[^@\s<>,;]+@[^@\s<>,;]+>?")
_MIN_KEY_CHARS: Final = 32


def _split(value: Any) -> Any:
    """A comma separated list."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _are_keys(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(key.get_secret_value()) < _MIN_KEY_CHARS for key in value):
        raise ValueError(f"each key has at least {_MIN_KEY_CHARS} characters")
    return value


def _is_smtp(value: SecretStr) -> SecretStr:
    known = _scheme(value) in SMTP_PORTS
    url = urlsplit(value.get_secret_value())
    # A password with an unencoded / ? or # ends up in one of these.
    behind = url.path.strip("/") or url.query or url.fragment
    if not known or not url.hostname or behind or not _is_utf8(url.netloc):
        raise ValueError("must be an address like smtps://user:password@mail.example:465")
    return value


def _is_sender(value: str) -> str:
    whole = value.count("<") == value.count(">") and _SENDER.fullmatch(value)
    if not whole or not value.isprintable():
        raise ValueError("must be an address like mss-login@mail.example")
    return value


def _is_http_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ValueError("must be an address like http://127.0.0.1:8188")
    _ = url.port  # raises ValueError for a bad one
    return value.rstrip("/")


def _is_site(value: str) -> str:
    # A login in it would go to whoever the site leads to; keys are stored by the users.
    if "@" in urlsplit(value).netloc:
        raise ValueError("must be an address without a login, like https://mirror.example")
    return value


def _is_known_database(value: SecretStr) -> SecretStr:
    # No message may show the value: it holds a password.
    if _scheme(value) not in ("postgres", "postgresql", "sqlite"):
        raise ValueError("must be an address like postgres://user:password@host/name")
    return value


def _is_redis(value: SecretStr) -> SecretStr:
    if _scheme(value) not in ("redis", "rediss", "unix"):
        raise ValueError("must be an address like redis://host:6379/0")
    return value


def _is_dsn(value: SecretStr) -> SecretStr:
    if _scheme(value) not in ("http", "https"):
        raise ValueError("must be an address like https://key@sentry.example/1")
    return value


def _is_host(value: str) -> str:
    if not _HOST.fullmatch(value) and not _is_ipv6(value):
        raise ValueError("must be an address or a name, without port")
    return value


def _are_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    if value == ():
        raise ValueError("names no host")
    for host in value:
        name = host.removeprefix(".")
        bracketed = host.startswith("[") and host.endswith("]") and _is_ipv6(host[1:-1])
        if host != "*" and not bracketed and not _HOST.fullmatch(name):
            raise ValueError(f"{host!r} is not a host name (without scheme and port)")
    return value


def _are_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        ip_network(network, strict=False)
    return value


def _are_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        url = urlsplit(origin)
        if url.scheme not in ("http", "https") or origin != f"{url.scheme}://{url.netloc}":
            raise ValueError(f"{origin!r} is not an origin like https://app.example")
    return value


def _absolute(value: Path) -> Path:
    try:
        path = BASE_DIR / value.expanduser()
        nearest = next(place for place in (path, *path.parents) if place.exists())
    except (OSError, RuntimeError) as error:  # RuntimeError: an unknown ~user
        raise ValueError(f"cannot use {_shown(value)}: {error}") from None
    if not nearest.is_dir():
        raise ValueError(f"{_shown(nearest)} is not a folder")
    return path


def _is_folder(value: Path) -> Path:
    return _found(value, value)


def _may_come(value: Path) -> Path:
    try:
        place = value if value.exists() else value.parent
    except OSError as error:
        raise ValueError(f"cannot use {_shown(value)}: {error}") from None
    return _found(value, place)


def _found(value: Path, place: Path) -> Path:
    try:
        found = place.is_dir()
    except OSError as error:
        raise ValueError(f"cannot use {_shown(value)}: {error}") from None
    if not (value.is_absolute() and found):
        raise ValueError(f"{_shown(value)} is not a folder (give its whole path)")
    return value


def _scheme(url: SecretStr) -> str:
    try:
        parts = urlsplit(url.get_secret_value())
        _ = parts.port
    except ValueError:  # whose message may show the address, password included
        raise ValueError("is not a valid address") from None
    return parts.scheme


def _shown(path: Path) -> str:
    """A path within a sentence: on one line, whatever is in it."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def _is_utf8(quoted: str) -> bool:
    try:
        unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


HttpUrl = Annotated[str, AfterValidator(_is_http_url)]
SiteUrl = Annotated[HttpUrl, AfterValidator(_is_site)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_is_known_database)]
RedisUrl = Annotated[SecretStr, AfterValidator(_is_redis)]
SmtpUrl = Annotated[SecretStr, AfterValidator(_is_smtp)]
Dsn = Annotated[SecretStr, AfterValidator(_is_dsn)]
Sender = Annotated[str, AfterValidator(_is_sender)]
Host = Annotated[str, AfterValidator(_is_host)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_are_hosts)]
Networks = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_are_networks)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_are_origins)]
Keys = Annotated[tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_are_keys)]
# The gateway's own, relative to the project's; it need not be there yet.
DataFolder = Annotated[Path, AfterValidator(_absolute)]
Folder = Annotated[Path, AfterValidator(_is_folder)]
# ComfyUI makes its temp folder when it starts and removes it when it ends (main.py).
ComingFolder = Annotated[Path, AfterValidator(_may_come)]
