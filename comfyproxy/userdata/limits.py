"""How much a tree of files may hold, and how long what was replaced in it is kept."""

from dataclasses import dataclass
from typing import Final, Self

from django.conf import settings

_MB: Final = 1024 * 1024
# Of all versions of a tree together, beside their bytes: they are counted at every change.
MAX_VERSIONS: Final = 5000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of one file, number and bytes of all files; of versions: number for one file,
    number and bytes for all, and days."""

    file_bytes: int = 10 * _MB
    files: int = 5000
    bytes: int = 500 * _MB
    versions_per_file: int = 20
    versions: int = MAX_VERSIONS
    version_days: int = 30

    @classmethod
    def of_settings(cls) -> Self:
        """As the owner of the server has set them."""
        return cls(
            file_bytes=settings.MSS_USERDATA_FILE_MB * _MB,
            files=settings.MSS_USERDATA_FILES,
            bytes=settings.MSS_USERDATA_MB * _MB,
        )
