"""Settings, addresses and processes: names the apps and is imported by none of them."""

from typing import Final

# The one place of it. The OpenAPI document and backups say it, CHANGELOG.md begins with it.
__version__: Final = "1.0.0"
