"""Start-up checks of downloads (ids downloads.*)."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from downloads import s3


def register_all() -> None:
    register(bucket_can_be_reached)


def bucket_can_be_reached(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A bucket without the package that speaks to it would be refused download by download."""
    if settings.MSS_S3_BUCKET is None or s3.is_installed():
        return []
    return [
        Error(
            "MSS_S3_BUCKET is set, but boto3 is not installed.",
            hint="pip install -r requirements-s3.txt",
            id="downloads.E001",
        )
    ]
