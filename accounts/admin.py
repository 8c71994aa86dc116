"""The admin pages of accounts. Every change leaves its audit row: of `accounts.services`, or of
`TellingAdmin`. Users are registered in `mssproject.admin`, with what all apps know of them."""

# These register themselves.
from accounts import admin_access, admin_audit, admin_jobs, admin_links, admin_roles  # noqa: F401
