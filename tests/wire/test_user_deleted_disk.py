"""A user is deleted with their files on a machine that has ComfyUI's folders: they go from the
disk, whatever comes in between, and nobody else's do."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cast import ADMIN, BOB, OWNER
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.leavers import Leaver, clear, delete, former
from tests.ownfiles import upload
from tests.prompts import (
    calm_down,
    file_of,
    preview,
    run,
    save,
    slow,
    submit,
    wait_running,
)
from tests.refusals import check_refusal, wait_until

KINDS = ("input", "output", "temp")
# The process ends after the deletion is certain and before the worker is told.
DIES = """
from accounts import services
from accounts.models import User
from comfyproxy import former

def die(prompt_ids):
    raise KeyboardInterrupt

former._committed, kept = die, former._committed
try:
    services.delete_user(User.objects.get(username=username), actor=None, keep_files=False)
except KeyboardInterrupt:
    result = "died"
former._committed = kept
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeComfyThread]:
    """A ComfyUI of these tests' own: they take it down."""
    with FakeComfyThread(tmp_path_factory.mktemp("place"), seed=True) as server:
        yield server


@pytest.fixture(scope="module")
def erasing(tmp_path_factory: pytest.TempPathFactory, place: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway on the machine that has ComfyUI's folders."""
    base = Path(place.base_dir)
    folders = {f"COMFYUI_{kind.upper()}_DIR": str(base / kind) for kind in KINDS}
    for kind in KINDS:
        (base / kind).mkdir(exist_ok=True)
    folder, cast = tmp_path_factory.mktemp("erasing"), (OWNER, ADMIN, BOB)
    with serving(folder, place.url, cast, **folders) as server:
        yield server


@pytest.fixture(scope="module")
def erasing_people(erasing: Gateway) -> People:
    return People(erasing)


@pytest.fixture
def adam(erasing_people: People) -> Client:
    return erasing_people.client(ADMIN)


@pytest.fixture
def bob(erasing_people: People) -> Client:
    return erasing_people.client(BOB)


@pytest.fixture
def lena(erasing: Gateway, place: FakeComfyThread) -> Iterator[Leaver]:
    yield Leaver(erasing)
    if not place.listening:
        place.come_back()
    calm_down(place)


def path_of(place: FakeComfyThread, entry: dict[str, Any]) -> Path:
    file = file_of(entry)
    return Path(place.base_dir) / file["type"] / file["subfolder"] / file["filename"]


def make_files(place: FakeComfyThread, client: Client) -> list[Path]:
    """An output, a preview outside all users' folders, an upload: of the same names for all."""
    name = upload(client, "same.png", (1, 2, 3))
    made = [path_of(place, run(client, graph)) for graph in (save("same"), preview())]
    files = [*made, Path(place.base_dir) / "input" / name]
    assert all(path.is_file() for path in files)
    return files


def age(files: list[Path]) -> None:
    """Written a minute ago: what is written within seconds may yet become somebody else's."""
    for path in files:
        seconds = path.stat().st_mtime - 60
        os.utime(path, (seconds, seconds))


def there(files: list[Path]) -> list[bool]:
    return [path.exists() for path in files]


def folders(place: FakeComfyThread, namespace: str) -> list[bool]:
    return [(Path(place.base_dir) / kind / namespace).exists() for kind in KINDS]


def test_files_go_from_the_disk_and_bobs_of_the_same_names_stay(
    erasing: Gateway, place: FakeComfyThread, lena: Leaver, adam: Client, bob: Client
) -> None:
    files, theirs = make_files(place, lena), make_files(place, bob)
    age(files)
    before = [path.read_bytes() for path in theirs]
    assert delete(adam, lena, "delete") == {"message": "The account is deleted."}
    clear(erasing)
    assert (there(files), folders(place, lena.namespace)) == ([False] * 3, [False] * 3)
    assert [path.read_bytes() for path in theirs] == before
    assert former(erasing, lena) == [lena.person.username, False, 0, True]


def test_kept_files_stay_on_the_disk(
    erasing: Gateway, place: FakeComfyThread, lena: Leaver, adam: Client
) -> None:
    files = make_files(place, lena)
    age(files)
    delete(adam, lena, "keep")
    clear(erasing)
    assert there(files) == [True] * 3
    assert former(erasing, lena) == [lena.person.username, True, 0, True]


def test_comfyui_that_is_down_meanwhile_is_cleared_when_it_is_back(
    erasing: Gateway, place: FakeComfyThread, lena: Leaver, adam: Client
) -> None:
    files = make_files(place, lena)
    age(files)
    place.stop_listening()
    delete(adam, lena, "delete")
    clear(erasing)
    # The preview went with ComfyUI's temp folder, which is there only as long as ComfyUI is.
    assert there(files) == [False] * 3
    assert former(erasing, lena) == [lena.person.username, False, 2, False]
    place.come_back()
    clear(erasing)
    assert former(erasing, lena) == [lena.person.username, False, 0, True]


def test_what_a_prompt_wrote_while_it_was_stopped_goes_with_the_next_run(
    erasing: Gateway, place: FakeComfyThread, lena: Leaver, adam: Client
) -> None:
    running = submit(lena, slow())
    wait_running(place, running)
    delete(adam, lena, "delete")
    clear(erasing)
    assert former(erasing, lena) == [lena.person.username, False, 0, True]
    assert folders(place, lena.namespace) == [False] * 3
    wait_until(lambda: Client(place.url).get("/queue").json()["queue_running"] == [])
    assert Client(place.url).get(f"/history/{running}").json() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_link_in_place_of_the_folder_is_not_followed(
    erasing: Gateway, place: FakeComfyThread, lena: Leaver, adam: Client, bob: Client, kind: str
) -> None:
    theirs = make_files(place, bob)
    age(theirs)
    link = Path(place.base_dir) / kind / lena.namespace
    link.symlink_to(Path(place.base_dir) / kind / bob.namespace)
    delete(adam, lena, "delete")
    clear(erasing)
    assert (there(theirs), link.is_symlink(), former(erasing, lena)[3]) == ([True] * 3, True, False)
    owned_by_bob = {"filename": "same.png", "subfolder": lena.namespace, "type": "input"}
    check_refusal(adam.get("/view", params=owned_by_bob), 404, "NOT_FOUND")
    link.unlink()
    clear(erasing)
    assert former(erasing, lena)[3]


def test_server_that_dies_before_it_tells_the_worker_loses_nothing(
    erasing: Gateway, place: FakeComfyThread, lena: Leaver
) -> None:
    files = make_files(place, lena)
    age(files)
    assert erasing.run(DIES, username=lena.person.username) == "died"
    assert (there(files), former(erasing, lena)[3]) == ([True] * 3, False)
    # As beat has it run.
    clear(erasing)
    assert (there(files), former(erasing, lena)[3]) == ([False] * 3, True)


def test_preview_that_may_yet_become_anothers_waits_for_a_quiet_moment(
    erasing: Gateway, place: FakeComfyThread, lena: Leaver, adam: Client, bob: Client
) -> None:
    shown = path_of(place, run(lena, preview()))
    wait_running(place, submit(bob, slow()))
    # Written after Bob's prompt was queued: it could be his.
    os.utime(shown)
    delete(adam, lena, "delete")
    clear(erasing)
    assert (shown.exists(), former(erasing, lena)[3]) == (True, False)
    calm_down(place)
    age([shown])
    clear(erasing)
    assert (shown.exists(), former(erasing, lena)[3]) == (False, True)
