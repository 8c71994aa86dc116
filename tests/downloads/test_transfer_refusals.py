"""A file comes whole or not at all: wrong, stalled, refused and cancelled."""

import threading
import time
from typing import Any

import pytest

from downloads.errors import (
    Cancelled,
    DownloadError,
    NeedsLogin,
    NotFound,
    SourceBusy,
    Stalled,
    UnsafeFormat,
    WrongContent,
)
from downloads.transfer import Backoff, Limits
from tests.downloads.servers import (
    Asked,
    Reply,
    Server,
    json_reply,
    ranged,
    redirect,
    sha256,
)
from tests.downloads.transferring import MODEL, OTHER, Run, first, remote


def test_wrong_bytes_are_fetched_once_more_and_then_refused(
    run: Run, site: Server, stored: Server
) -> None:
    stored.routes["/file"] = lambda asked: ranged(asked, OTHER)
    with pytest.raises(WrongContent):
        run(remote(site))
    assert len(stored.asked) == 2
    assert run.names == []


def test_another_size_than_announced_is_refused(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = lambda asked: ranged(asked, MODEL + b"x")
    with pytest.raises(WrongContent):
        run(remote(site))
    assert run.names == []


def test_a_rounded_size_is_accepted(run: Run, site: Server, stored: Server) -> None:
    file = remote(site, size=len(MODEL) - 700, size_slack=1024)
    assert run(file).size == len(MODEL)


def test_more_bytes_than_a_file_has_are_refused(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = Reply(200, MODEL + b"x" * 100_000, length=None)
    with pytest.raises(WrongContent):
        run(remote(site))
    assert run.names == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<!DOCTYPE html><p>Hello", {"Content-Type": "text/html; charset=utf-8"}),
        Reply(200, b"<!DOCTYPE html><p>Hello", {"Content-Type": "application/octet-stream"}),
        json_reply({"error": "Unauthorized"}),
        Reply(200, b'{"error": "Unauthorized"}' * 40, {}),
        Reply(200, b'{"error": "no"}', {}, length=None),
        Reply(200, b""),
        Reply(200, b"\0" * 5000),
        Reply(200, b"compressed", {"Content-Encoding": "gzip"}),
    ],
)
def test_pages_and_messages_are_never_kept_as_a_model(
    run: Run, site: Server, stored: Server, reply: Reply
) -> None:
    stored.routes["/file"] = reply
    with pytest.raises(WrongContent):
        run(remote(site, None))
    assert run.names == []


@pytest.mark.parametrize("name", ["model.ckpt", "model.gguf"])
def test_messages_are_never_kept_under_other_formats(
    run: Run, site: Server, stored: Server, name: str
) -> None:
    stored.routes["/file"] = Reply(200, b' {"error": "no such thing"}' * 40)
    with pytest.raises(WrongContent):
        run(remote(site, None, filename=name), target=run.folder / name, allow_pickle=True)
    assert run.names == []


def test_a_login_page_asks_for_a_key(run: Run, site: Server) -> None:
    site.routes["/download"] = redirect("/login?returnUrl=/models/1")
    site.routes["/login"] = Reply(200, b"<html>", {"Content-Type": "text/html"})
    with pytest.raises(NeedsLogin):
        run(remote(site))


@pytest.mark.parametrize("name", ["model.ckpt", "model.PT", "x.bin", "x.pkl", "x.zip", "x"])
def test_formats_that_run_programs_are_refused_unasked(run: Run, site: Server, name: str) -> None:
    with pytest.raises(UnsafeFormat):
        run(remote(site, filename=name))
    assert site.asked == []


def test_a_pickle_is_taken_where_allowed(run: Run, site: Server, stored: Server) -> None:
    content = b"PK\x03\x04" + b"x" * 5000
    stored.routes["/file"] = lambda asked: ranged(asked, content)
    target = run.folder / "x.ckpt"
    done = run(remote(site, content, filename="x.ckpt"), target=target, allow_pickle=True)
    assert done.path == target


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, {"error": "Unauthorized"}, NeedsLogin, "NEEDS_LOGIN"),
        (403, {"error": "Early Access"}, DownloadError, "EARLY_ACCESS"),
        (403, {"error": "Forbidden"}, DownloadError, "SOURCE_REFUSED"),
        (410, {"error": "Archived"}, NotFound, "GONE"),
        (400, {"error": "Bad"}, DownloadError, "SOURCE_REFUSED"),
    ],
)
def test_a_refusal_of_the_site_is_final_and_leaves_nothing(
    run: Run, site: Server, status: int, body: Any, kind: type[DownloadError], code: str
) -> None:
    site.routes["/download"] = json_reply(body, status)
    with pytest.raises(kind) as caught:
        run(remote(site))
    assert (caught.value.code, caught.value.permanent) == (code, True)
    assert len(site.asked) == 1
    assert run.names == []


def test_a_404_right_after_publishing_passes(run: Run, site: Server, stored: Server) -> None:
    site.routes["/download"] = lambda asked: (
        json_reply({"error": "Not found"}, 404)
        if asked.tries < 3
        else redirect(f"{stored.url}/file")
    )
    assert run(remote(site)).sha256 == sha256(MODEL)


def test_a_lasting_404_is_asked_three_times(run: Run, site: Server) -> None:
    site.routes["/download"] = json_reply({"error": "Not found"}, 404)
    with pytest.raises(NotFound):
        run(remote(site))
    assert len(site.asked) == 3


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_passes(run: Run, site: Server, stored: Server, status: int) -> None:
    stored.routes["/file"] = first(lambda asked: Reply(status), times=2)
    assert run(remote(site)).sha256 == sha256(MODEL)


def test_a_busy_site_is_left_alone_as_long_as_it_asks(
    run: Run, site: Server, stored: Server
) -> None:
    site.routes["/download"] = lambda asked: (
        Reply(429, headers={"Retry-After": "1"})
        if asked.tries == 1
        else redirect(f"{stored.url}/file")
    )
    began = time.monotonic()
    run(remote(site))
    assert time.monotonic() - began >= 1


def test_a_site_busy_for_hours_is_not_waited_for(run: Run, site: Server) -> None:
    site.routes["/download"] = Reply(429, headers={"Retry-After": "7200"})
    with pytest.raises(SourceBusy) as caught:
        run(remote(site))
    assert caught.value.retry_after == 7200
    assert len(site.asked) == 1


def test_an_expired_leave_to_read_the_storage_is_renewed(
    run: Run, site: Server, stored: Server
) -> None:
    stored.routes["/file"] = first(lambda asked: Reply(403, b"<Error>expired</Error>"))
    assert run(remote(site)).sha256 == sha256(MODEL)
    assert len(site.asked) == 2


def test_a_stalled_connection_is_given_up_and_resumed(
    run: Run, site: Server, stored: Server
) -> None:
    def stall(asked: Asked) -> Reply:
        return ranged(asked, MODEL, pause=3, piece=2_000_000) if asked.tries == 1 else later(asked)

    def later(asked: Asked) -> Reply:
        return ranged(asked, MODEL)

    stored.routes["/file"] = stall
    began = time.monotonic()
    assert run(remote(site)).sha256 == sha256(MODEL)
    assert time.monotonic() - began < 2.9


def test_a_trickle_below_the_least_rate_is_given_up(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = lambda asked: ranged(asked, MODEL, pause=0.05, piece=100)
    slow = Limits(
        keep_free=0, min_rate=100_000, rate_seconds=0.5, backoff=Backoff(tries=1), stall_seconds=5
    )
    with pytest.raises(Stalled):
        run(remote(site), limits=slow)
    assert run.names[-1].endswith(".part.json")


@pytest.mark.parametrize("when", ["while it sends", "while nothing comes", "between tries"])
def test_cancelling_stops_within_a_second_and_leaves_nothing(
    run: Run, site: Server, stored: Server, when: str
) -> None:
    stored.routes["/file"] = {
        "while it sends": lambda asked: ranged(asked, MODEL, pause=0.05, piece=2000),
        "while nothing comes": lambda asked: ranged(asked, MODEL, pause=5, piece=2_000_000),
        "between tries": Reply(503, headers={"Retry-After": "60"}),
    }[when]
    stop = threading.Event()
    run.cancelled = stop.is_set
    timer = threading.Timer(0.6, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run(remote(site), limits=Limits(keep_free=0, cancel_seconds=0.05))
    assert time.monotonic() - began < 1.6
    assert run.names == []
    timer.join()
