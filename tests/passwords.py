"""Hashes for accounts that tests make: one password is hashed once, not for each of hundreds."""

from functools import cache

from django.contrib.auth.hashers import make_password


@cache
def hashed(password: str | None) -> str:
    """What the database holds of this password; None: one that cannot be used."""
    return make_password(password)
