"""Puts finished models into an S3 bucket; the only module that knows boto3, which is optional.

An object says in its metadata which content it is (`sha256`), and is never written over another:
`If-None-Match: *` (Amazon S3 User Guide, "Conditional writes"); a storage that does not know the
condition passes it over, and there the look before the upload must do.
"""

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from accounts.sentences import english
from downloads.errors import Cancelled, DownloadError
from downloads.paths import numbered

logger = logging.getLogger(__name__)

CHUNK: Final = 16 * 1024 * 1024
# Names tried; a storage that says both that a key is free and that it is taken ends here, too.
MOST_LOOKS: Final = 100
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_TAKEN: Final = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})


class S3Failed(DownloadError):
    code = "S3_FAILED"
    sentence = english(
        "The model could not be put into the S3 bucket. Tell the administrator, then try again."
    )


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where to. `prefix` is empty or ends with a slash; without `endpoint` it is Amazon's S3.

    Who the gateway is there, boto3 finds itself: AWS_ACCESS_KEY_ID and the like, a role, a file.
    """

    name: str
    prefix: str = ""
    endpoint: str | None = None


def is_installed() -> bool:
    """Whether boto3 is there (requirements-s3.txt)."""
    return importlib.util.find_spec("boto3") is not None


def put(
    bucket: Bucket,
    folder: str,
    path: Path,
    sha256: str,
    *,
    progress: Callable[[int, int | None], None],
    cancelled: Callable[[], bool],
) -> tuple[str, bool]:
    """Uploads a file under its name, or a free one like it; once if it is there already.

    Args:
        folder: below the bucket's prefix; empty, or ends with a slash
        progress: called with (bytes sent, bytes in all)
        cancelled: asked all the time; what it raises comes out

    Returns:
        (the name that the object has there, whether it is new)

    Raises:
        S3Failed, Cancelled
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    size = path.stat().st_size
    try:
        client = _client(bucket)
        number = 0
        for _ in range(MOST_LOOKS):
            if cancelled():
                raise Cancelled
            name = numbered(path.name, number)
            key = f"{bucket.prefix}{folder}{name}"
            there = _head(client, bucket.name, key)
            if there is None and _upload(
                client, bucket.name, key, path, sha256, progress, cancelled
            ):
                return name, True
            if there == (size, sha256):
                return name, False
            # Another content; or somebody was faster, and it is looked at again.
            number += there is not None
        raise S3Failed
    except (BotoCoreError, ClientError, Boto3Error) as error:
        # What `cancelled` raised inside of an upload comes wrapped.
        if cancelled():
            raise Cancelled from None
        logger.warning("no upload into the bucket %s: %s", bucket.name, error)
        raise S3Failed from error


def remove(bucket: Bucket, below: str) -> None:
    """Deletes an object that was put there a moment ago. Where that is not permitted, it stays."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _client(bucket).delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}{below}")
    except (BotoCoreError, ClientError) as error:
        logger.warning("%s stays in the bucket %s: %s", below, bucket.name, error)


def _client(bucket: Bucket) -> Any:
    import boto3
    from botocore.config import Config

    # Others than Amazon often know neither names of buckets in host names nor new checksums.
    other = {"s3": {"addressing_style": "path"}, "request_checksum_calculation": "when_required"}
    config = Config(
        connect_timeout=15,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 5},
        **(other if bucket.endpoint else {}),
    )
    # A session of one's own: boto3's default one is not for several threads.
    client = boto3.session.Session().client("s3", endpoint_url=bucket.endpoint, config=config)
    for operation in ("PutObject", "CompleteMultipartUpload"):
        client.meta.events.register(f"before-call.s3.{operation}", _never_over_another)
    return client


def _never_over_another(params: dict[str, Any], **kwargs: Any) -> None:
    params["headers"]["If-None-Match"] = "*"


def _head(client: Any, bucket: str, key: str) -> tuple[int, str] | None:
    """(size, SHA-256 as far as it is known) of an object, if there is one."""
    from botocore.exceptions import ClientError

    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            return None
        raise
    return found["ContentLength"], found.get("Metadata", {}).get("sha256", "")


def _upload(
    client: Any,
    bucket: str,
    key: str,
    path: Path,
    sha256: str,
    progress: Callable[[int, int | None], None],
    cancelled: Callable[[], bool],
) -> bool:
    """Whether the object was written; False: there is one by now."""
    from boto3.exceptions import S3UploadFailedError
    from boto3.s3.transfer import TransferConfig
    from botocore.exceptions import ClientError

    size, sent = path.stat().st_size, 0

    def tell(amount: int) -> None:
        # Less than nothing where a piece is sent again.
        nonlocal sent
        sent += amount
        progress(sent, size)
        # All is sent: what the storage made of it is to be heard.
        if sent < size and cancelled():
            raise Cancelled

    # One thread: a bounded piece in memory, and `cancelled` is asked where the lease is.
    config = TransferConfig(multipart_threshold=CHUNK, multipart_chunksize=CHUNK, use_threads=False)
    more = {"Metadata": {"sha256": sha256}, "ContentType": "application/octet-stream"}
    try:
        client.upload_file(str(path), bucket, key, ExtraArgs=more, Callback=tell, Config=config)
    except S3UploadFailedError as error:
        cause = error.__context__
        if isinstance(cause, ClientError) and cause.response["Error"]["Code"] in _TAKEN:
            return False
        raise
    return True
