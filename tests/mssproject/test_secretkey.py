"""secretkey: made once, readable by its owner only, the same for all who start at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mssproject.secretkey import FILE_NAME, read_or_create


def test_first_start_makes_a_long_key_for_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "data"
    key = read_or_create(folder)
    file = folder / FILE_NAME
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (file.read_text(), len(key)) == (key, 64)
    assert list(folder.iterdir()) == [file]


def test_later_starts_read_the_same_key(tmp_path: Path) -> None:
    key = read_or_create(tmp_path)
    assert [read_or_create(tmp_path) for _ in range(3)] == [key] * 3
    assert read_or_create(tmp_path / "other") != key


def test_key_of_the_administrator_is_kept_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("chosen by hand\n")
    assert read_or_create(tmp_path) == "chosen by hand"


def test_many_threads_starting_at_once_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: read_or_create(tmp_path), range(64)))
    assert keys == {(tmp_path / FILE_NAME).read_text()}
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_many_processes_starting_at_once_get_one_key(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from mssproject.secretkey import *;"
    code += "sys.stdin.read(1); print(read_or_create(Path(sys.argv[1])))"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("!")
        racer.stdin.flush()
    keys = {racer.communicate(timeout=20)[0].strip() for racer in racers}
    assert keys == {(tmp_path / FILE_NAME).read_text()}


def test_what_a_crashed_start_left_behind_stops_nobody(tmp_path: Path) -> None:
    # In a container the process id is the same at every start.
    import os

    (tmp_path / f"{FILE_NAME}.{os.getpid()}").write_text("half")
    key = read_or_create(tmp_path)
    assert key != "half" and (tmp_path / FILE_NAME).read_text() == key
