"""How often one caller may ask: logins by address, everything else by user.

These are for what Django's views answer below /mss-login, and for the pages. ComfyUI's routes
have no such limit: its frontend polls them, and loads hundreds of files at once.

A token that is not valid is refused before anything is counted: open tabs go on asking with
the session that ended, every 0.3 s.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.utils.connection import ConnectionProxy
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from accounts import addresses
from accounts.bus import RedisAway, bus
from accounts.credentials import SAFE_METHODS
from accounts.identity import Identity

if TYPE_CHECKING:
    from rest_framework.views import APIView

# DRF reads the list of a caller's requests and writes it back: without a lock, requests sent
# at once would all be let in by the same list.
_lock = Lock()

# KEYS: a caller's requests by when they came. ARGV: the minute in µs, how many may come in it.
# Answers 0 if there is a place, which is taken, else µs until there is one; by Redis's clock.
_TAKE_PLACE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
    return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] + ARGV[1] - now
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1] / 1000)
return 0
"""


class _PerMinute(SimpleRateThrottle):
    """So many requests within any minute, to all web processes together. What is refused does
    not count."""

    # While Redis is away, in this process's memory: a limit that is gone then, or that refuses
    # everybody, would be worse than one per process.
    cache = cast("BaseCache", ConnectionProxy(caches, "throttles"))
    # The wall clock may be set back, and callers would wait for it to come round again.
    timer = time.monotonic

    # Of DRF's: how many in how many seconds.
    num_requests: int
    duration: int
    _wait_seconds: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if bus.exists:
            key = self.get_cache_key(request, view)
            if key is None:
                return True
            with suppress(RedisAway):
                self._wait_seconds = self._taken(key)
                return self._wait_seconds == 0
        with _lock:
            return bool(super().allow_request(request, view))

    def _taken(self, key: str) -> float:
        """Take a place among the caller's requests: 0, or seconds until there is one."""
        name, window = f"{bus.prefix}rate:{key}", int(self.duration * 1_000_000)
        place = (window, self.num_requests, secrets.token_hex(8))
        return int(bus.ask(lambda client: client.eval(_TAKE_PLACE, 1, name, *place))) / 1_000_000

    def wait(self) -> float | None:
        """Seconds until the next request may come."""
        return super().wait() if self._wait_seconds is None else self._wait_seconds


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
