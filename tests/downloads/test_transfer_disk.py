"""Where a model is written to: names that are taken, disks, links, other workers, old parts."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from downloads.errors import (
    BlockedAddress,
    DiskFull,
    DownloadError,
    InUse,
    SourceDown,
)
from downloads.part import Part, sweep
from downloads.transfer import Backoff, Done, Limits
from tests.downloads.servers import (
    Server,
    ranged,
    redirect,
    sha256,
)
from tests.downloads.transferring import MODEL, OTHER, QUICK, Run, remote


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
