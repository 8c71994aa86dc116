"""ComfyUI's frontend out of the gateway's memory: compressed, told apart, never an old one."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brotli
import pytest

from tests.client import Client, RawAnswer, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

SCRIPT = b"export const answer = 42; // \xc3\xa4\n" * 400
# As old may a file be (comfyproxy.frontendfiles).
FRESH_SECONDS = 5.0


@pytest.fixture
def script(comfy: FakeComfyThread, request: pytest.FixtureRequest) -> Path:
    """A file of ComfyUI's frontend that no other test asks for."""
    name = request.node.originalname.replace("_", "-")[:60]
    path = Path(comfy.base_dir) / "custom_nodes" / "fake_pack" / "web" / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SCRIPT)
    return path


def address(script: Path) -> str:
    return f"/extensions/fake_pack/{script.name}"


def fetch(client: Client, path: str, method: str = "GET", **headers: str) -> RawAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw_request(
        client.base_url, method, path, {"Authorization": f"Bearer {client.token}", **named}
    )


def test_each_client_gets_the_encoding_it_takes_and_the_same_file(
    alice: Client, script: Path
) -> None:
    path = address(script)
    plain = fetch(alice, path)
    packed = {
        name: fetch(alice, path, Accept_Encoding=accepted)
        for name, accepted in {"gzip": "gzip, deflate", "br": "gzip, deflate, br, zstd"}.items()
    }
    assert (plain.status, plain.body, plain.header("content-encoding")) == (200, SCRIPT, None)
    assert gzip.decompress(packed["gzip"].body) == SCRIPT
    assert brotli.decompress(packed["br"].body) == SCRIPT
    for name, answer in packed.items():
        assert answer.header("content-encoding") == name
        assert len(answer.body) < len(SCRIPT) / 4
        assert answer.header("vary") == "Accept-Encoding"
        assert answer.header("content-type") == plain.header("content-type")
    tags = {answer.header("etag") for answer in (plain, *packed.values())}
    assert len(tags) == 3


def test_who_has_it_is_told_so(alice: Client, script: Path) -> None:
    path = address(script)
    had = fetch(alice, path, Accept_Encoding="br")
    tag, modified = had.header("etag"), had.header("last-modified")
    assert tag is not None and modified is not None
    for known in (tag, f'"other", W/{tag}', "*"):
        again = fetch(alice, path, Accept_Encoding="br", If_None_Match=known)
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
    assert fetch(alice, path, If_Modified_Since=modified).status == 304
    # Of another encoding it is another thing; and the tag counts more than the time.
    assert fetch(alice, path, Accept_Encoding="gzip", If_None_Match=tag).status == 200
    other = fetch(alice, path, If_None_Match='"other"', If_Modified_Since=modified)
    assert other.status == 200


def test_head_tells_the_same_and_sends_nothing(alice: Client, script: Path) -> None:
    got = fetch(alice, address(script), Accept_Encoding="gzip")
    head = fetch(alice, address(script), "HEAD", Accept_Encoding="gzip")
    assert (head.status, head.body) == (200, b"")
    for name in ("etag", "content-encoding", "content-length", "content-type"):
        assert head.header(name) == got.header(name), name


def test_part_of_a_file_is_comfyuis_to_cut(alice: Client, script: Path) -> None:
    part = fetch(alice, address(script), Range="bytes=0-9", Accept_Encoding="br")
    assert (part.status, part.body) == (206, SCRIPT[:10])


def test_many_who_come_at_once_cost_comfyui_one_question(
    alice: Client, forwarded: FakeComfyThread, script: Path
) -> None:
    def ask(_: int) -> int:
        return fetch(alice, address(script), Accept_Encoding="br").status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {200}
    asked = [record for record in forwarded.requests if record.path == address(script)]
    # Each web process asks for itself.
    assert 1 <= len(asked) <= 2
    assert {record.header("accept-encoding") for record in asked} == {None}


def test_changed_file_is_seen_within_seconds(alice: Client, script: Path) -> None:
    before = fetch(alice, address(script), Accept_Encoding="br")
    script.write_bytes(SCRIPT + b"// new\n")
    time.sleep(FRESH_SECONDS + 0.2)
    tag = str(before.header("etag"))
    after = fetch(alice, address(script), Accept_Encoding="br", If_None_Match=tag)
    assert after.status == 200
    assert brotli.decompress(after.body) == SCRIPT + b"// new\n"
    script.unlink()
    time.sleep(FRESH_SECONDS + 0.2)
    assert fetch(alice, address(script)).status == 404


def test_nobody_gets_it_without_a_login(anonymous: Client, alice: Client, script: Path) -> None:
    assert fetch(alice, address(script)).status == 200
    check_refusal(anonymous.get(address(script)), 401, "AUTH_REQUIRED")
