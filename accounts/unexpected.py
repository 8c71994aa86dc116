"""What a client is told of an error that nobody expected, where more can be said than that."""

import errno
import sqlite3
from typing import Final

from django.db import InterfaceError, OperationalError

from accounts import errors

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
# PostgreSQL's class 53, insufficient resources: disk_full.
_FULL_STATE: Final = "53100"


def refusal_of(error: BaseException) -> errors.GatewayError:
    """The disk is full, the database does not answer, or something went wrong."""
    if is_disk_full(error):
        return errors.StorageFull()
    if isinstance(error, OperationalError | InterfaceError):
        return errors.DatabaseAway(headers={"Retry-After": "5"})
    return errors.InternalError()


def is_disk_full(error: BaseException) -> bool:
    """Whether there was no room for what was to be written, here or at the database server."""
    cause: BaseException = error.__cause__ or error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if isinstance(cause, OSError) and cause.errno in _FULL:
        return True
    return getattr(cause, "sqlstate", None) == _FULL_STATE
