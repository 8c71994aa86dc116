"""A model comes whole, and goes on where it broke off."""

import pytest

from downloads.errors import (
    SourceDown,
)
from downloads.part import Part
from downloads.transfer import Backoff, Done, Limits
from tests.downloads.servers import (
    Asked,
    Reply,
    Server,
    ranged,
    sha256,
)
from tests.downloads.transferring import MODEL, OTHER, Run, first, remote


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
