"""The file of a backup: whole or refused, and nothing in it leads to another place."""

import gzip
import io
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mssproject.backup import archive, manifest, restoring, userfiles
from mssproject.backup.archive import Member, Writer
from mssproject.backup.errors import BackupError, Damaged
from mssproject.backup.manifest import Files, Key, Manifest, Table
from mssproject.backup.progress import Progress

QUIET = Progress(lambda text: None)
PIECE = b'[1,"x"]\n' * 1000


def stated(**changes: Any) -> Manifest:
    given: dict[str, Any] = {
        "format": manifest.FORMAT,
        "product": manifest.PRODUCT,
        "version": "1.2.3",
        "made_at": datetime(2026, 1, 2, tzinfo=UTC),
        "database": "sqlite",
        "migrations": {"accounts": ["0001_initial"]},
        "tables": {"t": Table(columns=["id", "name"], rows=1000)},
        "files": Files(number=1, size=5),
        "key": Key(kept="file", check="v1:"),
    }
    return Manifest(**given | changes)


def written(path: Path, manifest: Manifest | None = None) -> Path:
    with Writer(path) as writer:
        writer.add("database/t.000001.jsonl", PIECE)
        writer.add_file("userdata/u-a/files/Fü\n\\.json", io.BytesIO(b"12345"), 5, 1234.5)
        writer.add("keys/secret_key", b"k" * 64)
        writer.finish(manifest or stated())
    return path


@pytest.fixture(params=["b.tar", "b.tar.gz"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path / request.param)


def test_operator_reads_back_what_was_written(whole: Path) -> None:
    assert archive.verify(whole, QUIET) == stated()
    found = {
        member.name: (member.content.read(), member.modified) for member in archive.members(whole)
    }
    assert found["database/t.000001.jsonl"][0] == PIECE
    assert found["userdata/u-a/files/Fü\n\\.json"] == (b"12345", 1234.5)
    assert list(found)[-1] == "SHA256SUMS"


def test_operator_is_told_of_every_cut(whole: Path) -> None:
    data = whole.read_bytes()
    # Behind the last member a tar has nothing but zeros.
    end = len(data) - 1 if whole.suffix == ".gz" else data.rindex(b"manifest.json\n") + 13
    for size in (0, 1, 100, 512, end // 3, end // 2, end - 200, end):
        whole.write_bytes(data[:size])
        with pytest.raises(Damaged):
            archive.verify(whole, QUIET)


def test_operator_is_told_of_every_changed_byte(tmp_path: Path) -> None:
    whole = written(tmp_path / "b.tar")
    data = whole.read_bytes()
    places = (PIECE[:20], b"12345", b"k" * 64, b'"version": "1.2.3"', b"userdata/u-a")
    for place in (*map(data.index, places), data.rindex(b"  manifest.json") - 3):
        whole.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(Damaged):
            archive.verify(whole, QUIET)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        os.urandom(4096),
        gzip.compress(b"hello" * 500),
        b"\0" * 10240,
        b"\x1f\x8b" * 9,
    ],
    ids=["empty", "text", "noise", "gzip", "zeros", "half gzip"],
)
def test_operator_gives_another_file_and_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(content)
    with pytest.raises(Damaged):
        archive.verify(path, QUIET)


def hostile(path: Path, *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for info in infos:
            info.size = 1 if info.isreg() else 0
            tar.addfile(info, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "userdata/../../evil",
        "userdata/u-a/../../../evil",
        "userdata//evil",
        "userdata/./evil",
        "userdata/evil",
        "database/a/b.jsonl",
        "database",
        "keys/other",
        "keys/../keys/secret_key",
        "manifest.json/x",
        "gateway.sqlite3",
    ],
)
def test_attackers_names_are_refused(tmp_path: Path, name: str) -> None:
    path = hostile(tmp_path / "b.tar", tarfile.TarInfo(name))
    with pytest.raises(Damaged, match="which no backup does"):
        archive.verify(path, QUIET)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_attackers_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("userdata/u-a/files")
    info.type, info.linkname = kind, "/etc"
    with pytest.raises(Damaged, match="which no backup does"):
        archive.verify(hostile(tmp_path / "b.tar", info), QUIET)


def test_attackers_second_file_of_a_name_is_refused(tmp_path: Path) -> None:
    for name in ("userdata/u-a/x", "userdata/u-a/x", "userdata/u-a/x/y"):
        member = Member(name, 1, 1234.5, io.BytesIO(b"1"))
        if not (tmp_path / "u-a").exists():
            userfiles.extract(member, tmp_path)
            assert (tmp_path / "u-a" / "x").stat().st_mtime == 1234.5
            continue
        with pytest.raises(Damaged, match="twice"):
            userfiles.extract(member, tmp_path)


def test_attackers_huge_manifest_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    info = tarfile.TarInfo("manifest.json")
    info.size = 10**12
    path.write_bytes(info.tobuf() + b"\0" * 1024)
    with pytest.raises(Damaged, match="too large"):
        archive.verify(path, QUIET)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "made by a newer gateway"),
        ({"migrations": {"accounts": ["0001_initial", "9999_later"]}}, "made by a newer gateway"),
        ({"migrations": {"invoices": ["0001_initial"]}}, "made by a newer gateway"),
        ({"product": "another"}, "another program"),
        ({"key": Key(kept="environment", check="v1:x")}, "under another SECRET_KEY"),
    ],
)
def test_operator_is_told_what_does_not_fit_here(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BackupError, match=said):
        restoring.check(written(tmp_path / "b.tar", stated(**change)), QUIET)


def test_half_a_backup_is_never_there(tmp_path: Path) -> None:
    with (
        pytest.raises(BackupError, match="changed while it was read"),
        Writer(tmp_path / "b.tar.gz") as writer,
    ):
        writer.add_file("userdata/u-a/files/x", io.BytesIO(b"123"), 4)
    assert list(tmp_path.iterdir()) == []


def test_large_backup_takes_little_memory(tmp_path: Path) -> None:
    """tarfile, left to itself, keeps a record of each member: 2 kB for each of these."""
    import tracemalloc

    path = tmp_path / "b.tar"
    tracemalloc.start()
    try:
        with Writer(path) as writer:
            for number in range(1000):
                writer.add(f"userdata/u-a/files/{number:0200}", b"x")
            writer.finish(stated())
        archive.verify(path, QUIET)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000
