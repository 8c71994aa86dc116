"""How often one caller may ask: logins by address, everything else by user.

These are for what Django's views answer below /mss-login, and for the pages. ComfyUI's routes
have no such limit: its frontend polls them, and loads hundreds of files at once.

A token that is not valid is refused before anything is counted: open tabs go on asking with
the session that ended, every 0.3 s.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.utils.connection import ConnectionProxy
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from accounts import addresses
from accounts.credentials import SAFE_METHODS
from accounts.identity import Identity

if TYPE_CHECKING:
    from rest_framework.views import APIView

# DRF reads the list of a caller's requests and writes it back: without a lock, requests sent
# at once would all be let in by the same list.
_lock = Lock()


class _PerMinute(SimpleRateThrottle):
    """So many requests within any minute. What is refused does not count."""

    # In this process's memory, not in Redis: a limit that is gone while Redis is, or that
    # refuses everybody then, would be worse than one per process.
    cache = cast("BaseCache", ConnectionProxy(caches, "throttles"))
    # The wall clock may be set back, and callers would wait for it to come round again.
    timer = time.monotonic

    def allow_request(self, request: Request, view: APIView) -> bool:
        with _lock:
            return bool(super().allow_request(request, view))


class ApiThrottle(_PerMinute):
    """By user, or by address where nobody is logged in. MSS_API_RATE."""

    scope = "api"

    def get_rate(self) -> str:
        return f"{settings.MSS_API_RATE}/min"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        if isinstance(request.auth, Identity):
            if getattr(request.user, "shared", False):
                # One guest must not use up what all guests have.
                return f"{self.scope}:session:{request.auth.jti}"
            return f"{self.scope}:user:{request.auth.user_id}"
        return f"{self.scope}:{address_of(request)}"


class LoginThrottle(_PerMinute):
    """By address, for what tries a secret: passwords, codes, the setup token. MSS_LOGIN_RATE.

    Looking at a page is no login: only what is sent counts.
    """

    scope = "login"

    def get_rate(self) -> str:
        return f"{settings.MSS_LOGIN_RATE}/min"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if request.method in SAFE_METHODS:
            return None
        return f"{self.scope}:{address_of(request)}"


class PasswordThrottle(LoginThrottle):
    """As LoginThrottle, of a view where a password may come but need not."""

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        data: Any = request.data
        secrets = {"username", "password", "mfa_temp_token"}
        if not hasattr(data, "keys") or not secrets & set(data.keys()):
            return None
        return super().get_cache_key(request, view)


def address_of(request: Request) -> str:
    """The client as the entry found it."""
    return addresses.household(request.META.get("REMOTE_ADDR") or "")
