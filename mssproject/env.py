"""The environment variables: name, type, default and meaning of each, read once at start.

`docs/configuration.md` is generated from this class (`manage.py show_config --markdown`).
"""

import contextlib
import difflib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mssproject.envvalues import (
    BASE_DIR,
    SMTP_PORTS,
    ComingFolder,
    DatabaseUrl,
    DataFolder,
    Dsn,
    Folder,
    Host,
    Hosts,
    HttpUrl,
    Keys,
    Networks,
    Origins,
    RedisUrl,
    Sender,
    SiteUrl,
    SmtpUrl,
)

__all__ = [
    "ALIASES",
    "BASE_DIR",
    "OTHER_SPELLINGS",
    "SECRETS",
    "Env",
    "EnvError",
    "MailServer",
    "load",
]

# Names that other programs on the same machine own must not stop us, so only our own
# prefix is checked strictly; the others are checked for near misses.
OWN_PREFIX: Final = "MSS_"


class EnvError(Exception):
    """The environment is wrong. `str()` gives one sentence per fault, each naming its variable."""


class MailServer(NamedTuple):
    """What `MSS_SMTP_URL` says."""

    host: str
    port: int
    user: str
    password: str
    ssl: bool
    starttls: bool


class Env(BaseSettings):
    """What can be set from outside. Every field's alias is the variable's name."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, enable_decoding=False)

    comfyui_url: HttpUrl = Field(
        "http://127.0.0.1:8188",
        alias="COMFYUI_URL",
        description="Where ComfyUI answers. Bind ComfyUI itself to loopback or a private network.",
    )
    data_dir: DataFolder = Field(
        Path("data"),
        alias="MSS_DATA_DIR",
        description="Database, secret key and user files. Relative to the project's folder.",
    )
    host: Host = Field(
        "127.0.0.1", alias="MSS_HOST", description="Address to listen on; `0.0.0.0` for all."
    )
    port: int = Field(8000, alias="MSS_PORT", ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(
        1,
        alias="MSS_WORKERS",
        ge=1,
        le=64,
        description="Web processes, about one per core. More than one need `REDIS_URL`.",
    )
    secret_key: SecretStr | None = Field(
        None,
        alias="SECRET_KEY",
        min_length=32,
        description="Signs sessions. Without it one is made once and kept in the data directory.",
    )
    secret_key_fallbacks: Keys = Field(
        (),
        alias="SECRET_KEY_FALLBACKS",
        description="Former values of `SECRET_KEY`, comma separated: what they encrypted can still "
        "be read. `./run manage rotate_secrets` makes them superfluous.",
    )
    database_url: DatabaseUrl | None = Field(
        None,
        alias="DATABASE_URL",
        description="For example `postgres://user:password@host/name`. "
        "Without it SQLite in the data directory.",
    )
    redis_url: RedisUrl | None = Field(
        None,
        alias="REDIS_URL",
        description="For example `redis://host:6379/0`: Celery's broker, and how several web "
        "processes hear of each other. Without it there is one, and the broker is embedded.",
    )
    owner_username: str | None = Field(
        None, alias="MSS_OWNER_USERNAME", description="Creates the owner at the first start."
    )
    owner_password: SecretStr | None = Field(
        None, alias="MSS_OWNER_PASSWORD", description="Goes with `MSS_OWNER_USERNAME`."
    )
    setup_token: SecretStr | None = Field(
        None,
        alias="MSS_SETUP_TOKEN",
        min_length=16,
        description="The token that `/register` asks for while there is no owner. "
        "Without it each start prints a new one.",
    )
    allowed_hosts: Hosts | None = Field(
        None,
        alias="MSS_ALLOWED_HOSTS",
        description="Host names, comma separated, under which the gateway may be reached. "
        "Default: the names of `MSS_HOST`.",
    )
    trusted_proxies: Networks = Field(
        (),
        alias="MSS_TRUSTED_PROXIES",
        description="Addresses or networks, comma separated, whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed.",
    )
    force_https: bool = Field(
        False,
        alias="MSS_FORCE_HTTPS",
        description="Redirect http to https, mark cookies Secure, send HSTS.",
    )
    cors_origins: Origins = Field(
        (),
        alias="MSS_CORS_ORIGINS",
        description="Origins, comma separated, whose pages may call the API with a bearer token.",
    )
    session_hours: float = Field(
        24, alias="MSS_SESSION_HOURS", gt=0, le=8760, description="How long a login lasts at most."
    )
    # Use is written once in a quarter of it, and an identity remembered for 5 s: with much less
    # a session would end while it is used.
    session_idle_hours: float = Field(
        12,
        alias="MSS_SESSION_IDLE_HOURS",
        ge=0.01,
        le=8760,
        description="A login that is not used for so long ends. An open ComfyUI page uses it.",
    )
    max_token_hours: float = Field(
        8760,
        alias="MSS_MAX_TOKEN_HOURS",
        gt=0,
        le=876_000,
        description="The longest life of an API token.",
    )
    guest_login: bool = Field(
        False,
        alias="MSS_GUEST_LOGIN",
        description="Anybody may look around as a guest, without a password.",
    )
    lockout_name_failures: int = Field(
        5,
        alias="MSS_LOCKOUT_NAME_FAILURES",
        ge=1,
        description="Wrong passwords or codes for one user name before it has to wait.",
    )
    lockout_address_failures: int = Field(
        30,
        alias="MSS_LOCKOUT_ADDRESS_FAILURES",
        ge=1,
        description="Wrong passwords or codes from one address before it has to wait.",
    )
    login_rate: int = Field(
        30,
        alias="MSS_LOGIN_RATE",
        ge=1,
        description="Logins, right or wrong, per minute and address.",
    )
    api_rate: int = Field(
        600,
        alias="MSS_API_RATE",
        ge=1,
        description="Requests to `/mss-login/…` per minute and user (without a token: address).",
    )
    audit_days: int = Field(
        180, alias="MSS_AUDIT_DAYS", ge=1, description="How long the audit log is kept."
    )
    smtp_url: SmtpUrl | None = Field(
        None,
        alias="MSS_SMTP_URL",
        description="For example `smtps://user:password@mail.example:465` or "
        "`smtp+starttls://…:587`. With it, invitations and password links are mailed as well.",
    )
    mail_from: Sender = Field(
        "mss-login@localhost", alias="MSS_MAIL_FROM", description="Sender of these mails."
    )
    max_prompt_nodes: int = Field(
        1000, alias="MSS_MAX_PROMPT_NODES", ge=1, description="Most nodes in one prompt."
    )
    userdata_file_mb: int = Field(
        10,
        alias="MSS_USERDATA_FILE_MB",
        ge=1,
        le=100,
        description="The largest workflow or other file a user may save, in MB.",
    )
    userdata_files: int = Field(
        5000, alias="MSS_USERDATA_FILES", ge=1, le=100_000, description="Most such files per user."
    )
    userdata_mb: int = Field(
        500,
        alias="MSS_USERDATA_MB",
        ge=1,
        description="Their size together, per user, in MB. Former versions may take as much again.",
    )
    variants_mb: int = Field(
        500,
        alias="MSS_VARIANTS_MB",
        ge=1,
        description="Smaller and converted pictures (`preview=`, `channel=`) that are kept for "
        "galleries, in MB of the data directory.",
    )
    workflow_converter: str = Field(
        "builtin",
        alias="MSS_WORKFLOW_CONVERTER",
        pattern="^(builtin|none)$",
        description="`builtin` turns saved workflows into prompts for apps that cannot; `none`: "
        "they are told that it is not possible.",
    )
    separate_users: bool = Field(
        True,
        alias="SEPARATE_USERS",
        description="`false`: who may run prompts shares queue, history and outputs with the "
        "others who may. Uploads, models, workflows and settings stay apart. "
        "`SEPERATE_USERS` is understood too.",
    )
    stall_minutes: int = Field(
        30,
        alias="MSS_STALL_MINUTES",
        ge=1,
        description="A prompt that runs this long without a sign of progress is reported as stuck.",
    )
    comfyui_output_dir: Folder | None = Field(
        None,
        alias="COMFYUI_OUTPUT_DIR",
        description="ComfyUI's output folder, if this machine can write to it. ComfyUI has no way "
        "to delete a file: without this, deleted outputs are only hidden.",
    )
    comfyui_input_dir: Folder | None = Field(
        None, alias="COMFYUI_INPUT_DIR", description="ComfyUI's input folder, likewise."
    )
    comfyui_temp_dir: ComingFolder | None = Field(
        None, alias="COMFYUI_TEMP_DIR", description="ComfyUI's temp folder, likewise."
    )
    comfyui_models_dir: Folder | None = Field(
        None,
        alias="COMFYUI_MODELS_DIR",
        description="ComfyUI's models folder, if this machine can write to it: where downloads go. "
        "An `extra_model_paths.yaml` beside it is understood.",
    )
    civitai_url: SiteUrl = Field(
        "https://civitai.com", alias="CIVITAI_URL", description="CivitAI, or a mirror of it."
    )
    hf_endpoint: SiteUrl = Field(
        "https://huggingface.co",
        alias="HF_ENDPOINT",
        description="Hugging Face, or a mirror of it.",
    )
    allow_pickle_models: bool = Field(
        False,
        alias="MSS_ALLOW_PICKLE_MODELS",
        description="Also download `.ckpt`, `.pt`, `.pth` and `.bin`: such files can run programs "
        "on ComfyUI's machine when they are loaded.",
    )
    s3_bucket: str | None = Field(
        None,
        alias="MSS_S3_BUCKET",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$",
        description="An S3 bucket that downloads may go to as well (`destination_type: s3`). Needs "
        "`pip install -r requirements-s3.txt`, which `./run` does by itself; the login is found as "
        "boto3 finds it (`AWS_ACCESS_KEY_ID` …).",
    )
    s3_prefix: str = Field(
        "models/",
        alias="MSS_S3_PREFIX",
        pattern="^$|^[^/].*/$",
        max_length=200,
        description="The folder in it; ends with a slash.",
    )
    s3_endpoint: str | None = Field(
        None,
        alias="MSS_S3_ENDPOINT",
        pattern="^https?://[^/]+/?$",
        description="The address of a storage that is not Amazon's.",
    )
    nsfw_classifier: str | None = Field(
        None,
        alias="MSS_NSFW_CLASSIFIER",
        pattern="^(none|opennsfw|onnx|http)$",
        description="What tells whether a picture is explicit: `none` (people's tags only), "
        "`opennsfw`, `onnx`, `http`. Not set: `opennsfw` if it is installed, else `none`. See "
        "[explicit images](nsfw.md).",
    )
    nsfw_model: Path | None = Field(
        None,
        alias="MSS_NSFW_MODEL",
        description="For `onnx`: the classifier's file, with its description as `….json` beside.",
    )
    nsfw_url: str | None = Field(
        None,
        alias="MSS_NSFW_URL",
        pattern="^https?://[^/]+",
        description="For `http`: where pictures are posted to, as JPEG.",
    )
    nsfw_threshold: float = Field(
        0.5,
        alias="MSS_NSFW_THRESHOLD",
        gt=0,
        le=1,
        description="From which score on a picture is explicit.",
    )
    nsfw_unknown: str | None = Field(
        None,
        alias="MSS_NSFW_UNKNOWN",
        pattern="^(block|show)$",
        description="What becomes of a picture that nobody could judge: `block` or `show`. Not "
        "set: `block`; without a classifier `show`.",
    )
    nsfw_seconds: float = Field(
        10,
        alias="MSS_NSFW_SECONDS",
        gt=0,
        le=120,
        description="How long somebody who asks for a picture waits until it is judged, seconds.",
    )
    log_level: str = Field(
        "INFO",
        alias="MSS_LOG_LEVEL",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="`DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    )
    log_format: str = Field(
        "line",
        alias="MSS_LOG_FORMAT",
        pattern="^(line|json)$",
        description="`line` for people, `json` for a log collector: one object a line.",
    )
    access_log: bool = Field(
        False,
        alias="MSS_ACCESS_LOG",
        description="Log a line for each request: path (never its query), status, time, user.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        alias="MSS_METRICS_TOKEN",
        min_length=16,
        description="The bearer token that `/metrics` asks for. Without one it answers only this "
        "machine itself.",
    )
    sentry_dsn: Dsn | None = Field(
        None,
        alias="SENTRY_DSN",
        description="Where unexpected errors are reported to: a Sentry project's address. They "
        "hold no request, no user name and no token.",
    )

    @model_validator(mode="after")
    def _several_can_hear_each_other(self) -> Self:
        if self.workers > 1 and self.redis_url is None:
            raise ValueError(
                "MSS_WORKERS: several web processes need REDIS_URL, through which they hear of "
                "each other; set it, or leave MSS_WORKERS at 1"
            )
        return self

    @model_validator(mode="after")
    def _owner_is_whole(self) -> Self:
        if (self.owner_username is None) != (self.owner_password is None):
            raise ValueError("MSS_OWNER_USERNAME and MSS_OWNER_PASSWORD go together")
        return self

    @model_validator(mode="after")
    def _classifier_is_whole(self) -> Self:
        if self.nsfw_classifier == "onnx" and self.nsfw_model is None:
            raise ValueError("MSS_NSFW_CLASSIFIER=onnx needs MSS_NSFW_MODEL")
        if self.nsfw_classifier == "http" and self.nsfw_url is None:
            raise ValueError("MSS_NSFW_CLASSIFIER=http needs MSS_NSFW_URL")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` hands over exactly the variables it was given; nothing is read behind its back.
        return (init_settings,)

    def mail_server(self) -> MailServer | None:
        """Who takes our mails, or None: then none are sent."""
        if self.smtp_url is None:
            return None
        url = urlsplit(self.smtp_url.get_secret_value())
        return MailServer(
            host=url.hostname or "",
            port=url.port or SMTP_PORTS[url.scheme],
            user=unquote(url.username or ""),
            password=unquote(url.password or ""),
            ssl=url.scheme == "smtps",
            starttls=url.scheme == "smtp+starttls",
        )

    def hosts(self) -> list[str]:
        """The names that a request's Host header may carry (Django's ALLOWED_HOSTS format)."""
        if self.allowed_hosts is not None:
            return list(self.allowed_hosts)
        loopback = ["localhost", "127.0.0.1", "[::1]"]
        if self.host in ("127.0.0.1", "localhost", "::1"):
            return loopback
        if self.host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            return [*loopback, *_own_names()]
        return [*loopback, f"[{self.host}]" if ":" in self.host else self.host]


ALIASES: Final[dict[str, str]] = {
    str(field.alias): name for name, field in Env.model_fields.items()
}
# Also understood: the spelling of the server that came before this one.
OTHER_SPELLINGS: Final = {"SEPERATE_USERS": "SEPARATE_USERS"}
SECRETS: Final = frozenset(
    alias for alias, name in ALIASES.items() if "SecretStr" in str(Env.model_fields[name])
)


def load(environ: Mapping[str, str] | None = None) -> Env:
    """Read the variables (`os.environ` if none are given).

    An empty value counts as not set. A secret may be given as `NAME_FILE`, a file holding it.

    Raises:
        EnvError: one sentence for every variable that is unknown, malformed or unreadable.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in environ.items() if value != ""}
    faults = [*_respell(given), *_read_secret_files(given), *_unknown(given)]
    try:
        env = Env.model_validate({name: given[name] for name in ALIASES if name in given})
    except ValidationError as error:
        faults += [_sentence(fault) for fault in error.errors()]
    if faults:
        raise EnvError("\n".join(faults))
    return env


def _respell(given: dict[str, str]) -> list[str]:
    faults = []
    for other, name in OTHER_SPELLINGS.items():
        value = given.pop(other, None)
        if value is not None and given.setdefault(name, value) != value:
            faults.append(f"{other}: {name} is set to something else. Set one of them.")
    return faults


def _read_secret_files(given: dict[str, str]) -> list[str]:
    faults = []
    for name in SECRETS:
        path = given.pop(f"{name}_FILE", None)
        if path is None:
            continue
        try:
            secret = Path(path).read_text().strip()
        except OSError as error:
            faults.append(f"{name}_FILE: cannot read {path}: {error.strerror}.")
        except UnicodeDecodeError:
            faults.append(f"{name}_FILE: {path} holds no text.")
        else:
            if secret:
                given.setdefault(name, secret)
            else:
                faults.append(f"{name}_FILE: {path} is empty.")
    return faults


def _unknown(given: Mapping[str, str]) -> list[str]:
    faults = []
    for name in given.keys() - ALIASES.keys():
        near = difflib.get_close_matches(name, ALIASES, 1, cutoff=0.86)
        hint = f" Did you mean {near[0]}?" if near else " See docs/configuration.md."
        if name.startswith(OWN_PREFIX) or near:
            faults.append(f"{name}: there is no such setting.{hint}")
    return faults


def _sentence(fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    place = str(fault["loc"][0]) if fault["loc"] else ""
    return f"{place}: {message}." if place else f"{message}."


def _own_names() -> list[str]:
    """This machine's names and the addresses it is likely to be reached at."""
    name = socket.gethostname()
    names = {name, f"{name}.local", socket.getfqdn()}
    # A machine whose own name does not resolve still has the address found below it; without
    # a network loopback is all there is.
    with contextlib.suppress(OSError):
        names |= {str(info[4][0]) for info in socket.getaddrinfo(name, None, socket.AF_INET)}
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        # Connecting a datagram socket sends nothing; it picks the outgoing address.
        probe.connect(("192.0.2.1", 9))
        names.add(probe.getsockname()[0])
    return sorted(names)
