"""What the gateway counts, for `GET /metrics`. Names and meanings of Prometheus's metrics.

With PROMETHEUS_MULTIPROC_DIR, which `./run` sets, all processes of this machine count together
(prometheus_client's multiprocess mode): whichever web process is asked tells of all.
https://prometheus.github.io/client_python/multiprocess/
"""

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# From what the memory answers to what waits for ComfyUI, in seconds.
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

_requests: Final = Counter(
    "mss_requests", "Requests, by who answered them and with what status.", ("lane", "status")
)
_request_seconds: Final = Histogram(
    "mss_request_seconds", "Until an answer began.", ("lane",), buckets=_BUCKETS
)
_upstream: Final = Counter(
    "mss_upstream_requests", "Requests to ComfyUI, by how it answered.", ("outcome",)
)
_upstream_seconds: Final = Histogram(
    "mss_upstream_seconds", "Until ComfyUI's answer began.", buckets=_BUCKETS
)
_prompts: Final = Counter("mss_prompts", "Prompts, by what became of them.", ("outcome",))
_logins: Final = Counter("mss_logins", "Logins, by how they ended.", ("outcome",))
_lookups: Final = Counter(
    "mss_cache_lookups", "Looks into what is kept, by whether it was there.", ("cache", "result")
)
# The sum over the processes that live.
sockets: Final = Gauge(
    "mss_sockets", "Clients' sockets that are open.", multiprocess_mode="livesum"
)
upstream_sockets: Final = Gauge(
    "mss_upstream_sockets", "Sockets that are open at ComfyUI.", multiprocess_mode="livesum"
)

# `labels` takes a lock and makes a key of the values each time: what is counted with every request
# is looked up once.
_request_of = cache(lambda lane, status: _requests.labels(lane, status))
_seconds_of = cache(_request_seconds.labels)
_upstream_of = cache(_upstream.labels)
_lookup_of = cache(_lookups.labels)

# Events of the audit log → the outcome of a login.
_LOGIN_EVENTS: Final = {
    "login.failed": "failed",
    "mfa.failed": "second_factor_failed",
    "lockout": "locked_out",
}


def request_answered(lane: str, status: int, seconds: float) -> None:
    """A request was answered; `seconds` until the answer began."""
    _request_of(lane, status).inc()
    _seconds_of(lane).observe(seconds)


def upstream_answered(status: int, seconds: float) -> None:
    """ComfyUI answered; `seconds` until its answer began."""
    _upstream_of(f"{status // 100}xx").inc()
    _upstream_seconds.observe(seconds)


def upstream_failed(how: str) -> None:
    """ComfyUI did not answer: `unreachable`, `timeout` or `broken_off`."""
    _upstream_of(how).inc()


def prompts_became(outcome: str, number: int = 1) -> None:
    """So many prompts were accepted, or ended: `success`, `error`, `interrupted`, `cancelled`,
    `lost`."""
    if number:
        _prompts.labels(outcome).inc(number)


def event_audited(event: str) -> None:
    """A row of the audit log was written; some tell of logins that failed."""
    outcome = _LOGIN_EVENTS.get(event)
    if outcome is not None:
        _logins.labels(outcome).inc()


def login_succeeded() -> None:
    """Somebody logged in with all that it takes, in a browser or to get a token."""
    _logins.labels("succeeded").inc()


def looked_up(what: str, *, was_there: bool) -> None:
    """Something kept was asked for: `identity`, `frontend`, `variant`, `catalog`, `history`,
    `object_info`."""
    _lookup_of(what, "hit" if was_there else "miss").inc()
