"""A file comes whole or not at all: cut, wrong, stalled and foreign answers."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloads.errors import (
    BlockedAddress,
    Cancelled,
    DiskFull,
    DownloadError,
    InUse,
    NeedsLogin,
    NotFound,
    SourceBusy,
    SourceDown,
    Stalled,
    UnsafeFormat,
    WrongContent,
)
from downloads.part import Part, part_path, sweep
from downloads.remote import RemoteFile
from downloads.transfer import Backoff, Done, Limits, transfer
from downloads.web import Web
from tests.downloads.servers import (
    Asked,
    Reply,
    Server,
    json_reply,
    ranged,
    redirect,
    safetensors,
    sha256,
)

MODEL = safetensors(3_000_000)
OTHER = safetensors(3_000_000, seed=2)
QUICK = Backoff(tries=4, first=0.01, most=0.02)
LIMITS = Limits(keep_free=0, stall_seconds=1, cancel_seconds=0.05, chunk=65536, backoff=QUICK)


def remote(site: Server, content: bytes | None = MODEL, **changes: Any) -> RemoteFile:
    """The model as the site describes it; without content, as a site that describes nothing."""
    values: dict[str, Any] = {
        "source": "civitai",
        "url": f"{site.url}/download",
        "filename": "model.safetensors",
        "size": len(content) if content is not None else None,
        "sha256": sha256(content) if content is not None else None,
        "folder_type": "loras",
        "headers": {"Authorization": "Bearer secret"},
        "origin_hosts": frozenset({site.host}),
        "page_url": "https://civitai.com/models/1",
    }
    return RemoteFile(**values | changes)


class Run:
    """Runs transfers into one folder, and remembers what was told of their progress."""

    def __init__(self, web: Web, folder: Path) -> None:
        self.web = web
        self.folder = folder
        self.target = folder / "model.safetensors"
        self.told: list[tuple[int, int | None]] = []
        self.cancelled: Callable[[], bool] = lambda: False

    def __call__(self, file: RemoteFile, **changes: Any) -> Done:
        values: dict[str, Any] = {
            "job": "job-1",
            "web": self.web,
            "progress": lambda done, total: self.told.append((done, total)),
            "cancelled": lambda: self.cancelled(),
            "allow_pickle": False,
            "limits": LIMITS,
        }
        target = changes.pop("target", self.target)
        return transfer(file, target, **values | changes)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def part(self) -> Path:
        return part_path(self.target, "job-1")


@pytest.fixture
def run(web: Web, tmp_path: Path) -> Run:
    return Run(web, tmp_path / "loras")


@pytest.fixture
def stored(site: Server, storage: Server) -> Server:
    """The storage, to which the site's download leads, holding the model at `/file`."""
    site.routes["/download"] = redirect(f"{storage.url}/file")
    storage.routes["/file"] = lambda asked: ranged(asked, MODEL)
    return storage


def first(reply: Callable[[Asked], Reply], times: int = 1, content: bytes = MODEL) -> Any:
    """A route that answers otherwise the first times, then properly."""
    return lambda asked: reply(asked) if asked.tries <= times else ranged(asked, content)


def test_a_model_arrives_whole_under_its_name(run: Run, site: Server, stored: Server) -> None:
    done = run(remote(site))
    assert done == Done(run.target, len(MODEL), sha256(MODEL))
    assert run.target.read_bytes() == MODEL
    assert run.names == ["model.safetensors"]
    assert run.told[0][1] == len(MODEL)
    assert run.told[-1] == (len(MODEL), len(MODEL))


def test_the_storage_never_sees_the_key(run: Run, site: Server, stored: Server) -> None:
    run(remote(site))
    assert site.asked[0].headers["Authorization"] == "Bearer secret"
    assert all("Authorization" not in asked.headers for asked in stored.asked)


def test_a_key_is_used_where_the_file_has_no_credentials(
    run: Run, site: Server, stored: Server
) -> None:
    run(remote(site, headers={}), key="other")
    assert site.asked[0].headers["Authorization"] == "Bearer other"


def test_a_cut_connection_is_resumed_where_it_broke(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = first(lambda asked: ranged(asked, MODEL, cut=1_000_000), times=2)
    assert run(remote(site)).sha256 == sha256(MODEL)
    second = stored.asked[1].headers
    assert int(second["Range"].removeprefix("bytes=").removesuffix("-")) > 500_000
    assert second["If-Range"] == '"v1"'


def test_an_early_end_without_a_length_is_resumed(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = first(
        lambda asked: Reply(200, MODEL[:1_000_000], {"ETag": '"v1"'}, length=None)
    )
    assert run(remote(site)).sha256 == sha256(MODEL)
    assert stored.asked[1].headers["Range"] == "bytes=1000000-"


def test_a_changed_etag_starts_anew(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = lambda asked: (
        ranged(asked, OTHER, '"old"', cut=1_000_000)
        if asked.tries == 1
        else ranged(asked, MODEL, '"new"')
    )
    assert run(remote(site)).sha256 == sha256(MODEL)


def test_a_206_of_another_version_starts_anew(run: Run, site: Server, stored: Server) -> None:
    def careless(asked: Asked) -> Reply:
        headers = {name: value for name, value in asked.headers.items() if name != "If-Range"}
        etag = '"old"' if asked.tries == 1 else '"new"'
        content, cut = (OTHER, 1_000_000) if asked.tries == 1 else (MODEL, None)
        bare = Asked(asked.method, asked.path, asked.query, headers, asked.tries)
        return ranged(bare, content, etag, cut=cut)

    stored.routes["/file"] = careless
    assert run(remote(site, None)).sha256 == sha256(MODEL)
    assert "Range" not in stored.asked[2].headers


def test_a_206_that_starts_elsewhere_starts_anew(run: Run, site: Server, stored: Server) -> None:
    def shifted(asked: Asked) -> Reply:
        if asked.tries == 1:
            return ranged(asked, MODEL, cut=1_000_000)
        reply = ranged(asked, MODEL)
        if asked.tries == 2:
            reply.headers["Content-Range"] = f"bytes 5-{len(MODEL) - 1}/{len(MODEL)}"
        return reply

    stored.routes["/file"] = shifted
    assert run(remote(site)).sha256 == sha256(MODEL)


def test_a_200_instead_of_206_starts_anew(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = lambda asked: Reply(
        200, MODEL, {"ETag": '"v1"'}, cut=1_000_000 if asked.tries == 1 else None
    )
    assert run(remote(site)).sha256 == sha256(MODEL)
    assert run.target.read_bytes() == MODEL


def test_a_part_of_an_earlier_run_is_resumed(run: Run, site: Server, stored: Server) -> None:
    once = Limits(keep_free=0, stall_seconds=1, backoff=Backoff(tries=1))
    stored.routes["/file"] = first(lambda asked: ranged(asked, MODEL, cut=2_000_000))
    with pytest.raises(SourceDown):
        run(remote(site), limits=once)
    left = run.part().stat().st_size
    # What the system had taken when the connection was cut is lost, on a busy machine nearly all.
    assert left > 0
    assert run(remote(site)).sha256 == sha256(MODEL)
    assert stored.asked[1].headers["Range"] == f"bytes={left}-"
    assert run.names == ["model.safetensors"]


def test_a_complete_part_is_only_verified(run: Run, site: Server, stored: Server) -> None:
    file = remote(site)
    part = Part(run.target, "job-1", file.identity)
    part.describe('"v1"', len(MODEL))
    part.write(MODEL)
    part.close()
    assert run(file).sha256 == sha256(MODEL)
    assert stored.asked == []


def test_a_part_of_another_file_is_not_continued(run: Run, site: Server, stored: Server) -> None:
    part = Part(run.target, "job-1", "sha256:other")
    part.describe('"v1"', len(MODEL))
    part.write(OTHER[:1_000_000])
    part.close()
    assert run(remote(site)).sha256 == sha256(MODEL)
    assert "Range" not in stored.asked[0].headers


@pytest.mark.parametrize("note", [b"", b"[]", b'{"identity": 5}', b"\xff", b'{"x": 1}'])
def test_a_damaged_note_starts_anew(run: Run, site: Server, stored: Server, note: bytes) -> None:
    run.folder.mkdir()
    run.part().write_bytes(OTHER[:1000])
    run.part().with_name(run.part().name + ".json").write_bytes(note)
    assert run(remote(site)).sha256 == sha256(MODEL)


def test_damaged_bytes_of_a_part_start_anew(run: Run, site: Server, stored: Server) -> None:
    file = remote(site)
    part = Part(run.target, "job-1", file.identity)
    part.describe('"v1"', len(MODEL))
    part.write(OTHER[:1_000_000])
    part.close()
    assert run(file).sha256 == sha256(MODEL)
    assert len(stored.asked) == 2


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


def test_the_same_content_already_there_needs_no_download(
    run: Run, site: Server, stored: Server
) -> None:
    run.folder.mkdir()
    run.target.write_bytes(MODEL)
    assert run(remote(site)) == Done(run.target, len(MODEL), sha256(MODEL), already_there=True)
    assert site.asked == []


def test_the_same_content_under_a_numbered_name_is_found(
    run: Run, site: Server, stored: Server
) -> None:
    run.folder.mkdir()
    run.target.write_bytes(OTHER)
    second = run.folder / "model (1).safetensors"
    second.write_bytes(MODEL)
    assert run(remote(site)).path == second


def test_the_same_content_found_after_the_download_is_the_result(
    run: Run, site: Server, stored: Server
) -> None:
    run.folder.mkdir()
    run.target.write_bytes(MODEL)
    done = run(remote(site, None))
    assert (done.path, done.already_there) == (run.target, True)
    assert run.names == ["model.safetensors"]


def test_another_content_of_the_name_is_never_overwritten(
    run: Run, site: Server, stored: Server
) -> None:
    run.folder.mkdir()
    run.target.write_bytes(OTHER)
    (run.folder / "MODEL (1).safetensors").write_bytes(b"x")
    done = run(remote(site))
    assert done.path.name == "model (2).safetensors"
    assert run.target.read_bytes() == OTHER


@pytest.mark.parametrize("name", ["model.safetensors", "MODEL.safetensors"])
def test_a_name_in_a_folder_that_shares_its_names_is_taken(
    run: Run, site: Server, stored: Server, tmp_path: Path, name: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / name).write_bytes(OTHER)
    done = run(remote(site), others=[tmp_path / "missing", other])
    assert done.path == run.folder / "model (1).safetensors"
    assert run(remote(site), others=[other]).already_there


def test_a_content_in_a_folder_that_shares_its_names_is_there_already(
    run: Run, site: Server, stored: Server, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run.folder.mkdir()
    run.target.write_bytes(OTHER)
    (other / "model (1).safetensors").write_bytes(MODEL)
    done = run(remote(site), others=[other])
    assert done.already_there and done.path == other / "model (1).safetensors"
    assert run(remote(site, None), others=[other]).path == done.path


def test_a_file_system_without_hard_links_serves_too(
    run: Run, site: Server, stored: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    run.folder.mkdir()
    run.target.write_bytes(OTHER)
    assert run(remote(site)).path.read_bytes() == MODEL


def test_a_full_disk_is_told_before_anything_is_fetched(
    run: Run, site: Server, stored: Server
) -> None:
    with pytest.raises(DiskFull):
        run(remote(site), limits=Limits(keep_free=2**60))
    assert run.names == []


def test_a_disk_that_fills_up_stops_the_download_and_is_left_as_it_was(
    run: Run, site: Server, stored: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([2**40, 0])
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": next(free)}))
    with pytest.raises(DiskFull):
        run(remote(site), limits=Limits(keep_free=1, space_every=500_000, chunk=65536))
    assert run.names == []


def test_a_folder_that_may_not_be_written_is_told(run: Run, site: Server, stored: Server) -> None:
    run.folder.write_text("a file where the folder should be")
    with pytest.raises(DownloadError) as caught:
        run(remote(site))
    assert caught.value.code == "NOT_WRITABLE"


def test_two_workers_never_write_one_part(run: Run, site: Server, stored: Server) -> None:
    part = Part(run.target, "job-1", remote(site).identity)
    with pytest.raises(InUse) as caught:
        run(remote(site))
    assert not caught.value.permanent
    part.close()
    assert run(remote(site)).sha256 == sha256(MODEL)


def test_a_part_that_is_still_held_is_waited_for(run: Run, site: Server, stored: Server) -> None:
    part = Part(run.target, "job-1", remote(site).identity)
    timer = threading.Timer(0.3, part.close)
    timer.start()
    patient = Limits(keep_free=0, backoff=Backoff(first=0.1, most=0.2, tries=20))
    assert run(remote(site), limits=patient).sha256 == sha256(MODEL)
    timer.join()


def test_a_model_that_is_also_a_part_by_a_crash_is_not_touched(
    run: Run, site: Server, stored: Server
) -> None:
    run.folder.mkdir()
    run.target.write_bytes(OTHER)
    run.part().hardlink_to(run.target)
    assert run(remote(site)).path.name == "model (1).safetensors"
    assert run.target.read_bytes() == OTHER
    assert run.names == ["model (1).safetensors", "model.safetensors"]


def test_a_link_in_the_parts_place_is_not_followed(
    run: Run, site: Server, stored: Server, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep me")
    run.folder.mkdir()
    run.part().symlink_to(victim)
    with pytest.raises(DownloadError):
        run(remote(site))
    assert victim.read_text() == "keep me"


def test_a_redirect_to_a_private_address_is_blocked(run: Run, site: Server) -> None:
    for url in ("https://10.0.0.1/x", "http://192.168.1.1/", "https://169.254.169.254/latest"):
        site.routes["/download"] = redirect(url)
        with pytest.raises(BlockedAddress):
            run(remote(site))


def test_redirects_in_circles_end(run: Run, site: Server) -> None:
    site.routes["/download"] = redirect(f"{site.url}/download")
    with pytest.raises(DownloadError) as caught:
        run(remote(site))
    assert caught.value.code == "TOO_MANY_REDIRECTS"


def test_progress_is_told_no_more_than_four_times_a_second(
    run: Run, site: Server, stored: Server
) -> None:
    stored.routes["/file"] = lambda asked: ranged(asked, MODEL, pause=0.01, piece=30_000)
    began = time.monotonic()
    run(remote(site))
    assert len(run.told) <= 4 * (time.monotonic() - began) + 3
    assert [done for done, _ in run.told] == sorted(done for done, _ in run.told)


def test_old_parts_are_swept_and_those_in_use_are_not(run: Run) -> None:
    old = Part(run.target, "old", "x")
    old.close()
    used = Part(run.target, "used", "x")
    assert sweep(run.folder, 3600) == 0
    assert sweep(run.folder, -1) == 1
    assert run.names == [used.path.name, f"{used.path.name}.json"]
    used.path.unlink()
    assert sweep(run.folder, -1) == 0
    assert run.names == []
    used.close()


def test_a_site_that_sends_a_little_each_time_is_given_up(
    run: Run, site: Server, stored: Server
) -> None:
    stored.routes["/file"] = lambda asked: ranged(asked, MODEL, cut=600)
    with pytest.raises(SourceDown):
        run(remote(site))
    assert len(stored.asked) == QUICK.tries


def test_a_note_never_holds_the_key(run: Run, site: Server, stored: Server) -> None:
    stored.routes["/file"] = lambda asked: ranged(asked, MODEL, cut=1_000_000)
    with pytest.raises(SourceDown):
        run(remote(site), limits=Limits(keep_free=0, backoff=Backoff(tries=1)))
    note = run.part().with_name(run.part().name + ".json").read_text()
    assert json.loads(note)["size"] == len(MODEL)
    assert "secret" not in note
    assert "secret" not in repr(remote(site))


WORKER = """
import sys
from pathlib import Path
from downloads.remote import RemoteFile
from downloads.transfer import Limits, transfer
from downloads.web import Web
base, host, size, sha256, target = sys.argv[1:]
remote = RemoteFile("civitai", base + "/download", "model.safetensors", int(size), sha256, None,
                    {}, frozenset({host}), base)
web = Web([base], user_agent="worker", allow_loopback_http=True)
transfer(remote, Path(target), job="job-1", web=web, progress=lambda done, total: None,
         cancelled=lambda: False, allow_pickle=False, limits=Limits(keep_free=0))
"""


def test_a_killed_workers_part_is_finished_by_the_next(
    run: Run, site: Server, stored: Server
) -> None:
    stored.routes["/file"] = lambda asked: ranged(
        asked, MODEL, pause=0.05 if asked.tries == 1 else 0, piece=100_000
    )
    arguments = [site.url, site.host, str(len(MODEL)), sha256(MODEL), str(run.target)]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *arguments])
    until = time.monotonic() + 30
    while not run.part().exists() or run.part().stat().st_size < 500_000:
        assert worker.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    left = run.part().stat().st_size
    assert run(remote(site)) == Done(run.target, len(MODEL), sha256(MODEL))
    assert run.names == ["model.safetensors"]
    assert stored.asked[1].headers["Range"] == f"bytes={left}-"
