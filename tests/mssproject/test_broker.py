"""The embedded broker: many write, many read, and every message arrives whole and once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection, Queue
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES

from mssproject import broker


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    before = TRANSPORT_ALIASES["filesystem"]
    broker.use()
    yield
    TRANSPORT_ALIASES["filesystem"] = before


def connection(folder: Path) -> Connection:
    for name in ("queue", "control"):
        (folder / name).mkdir(exist_ok=True)
    options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
    }
    return Connection("filesystem://localhost/", transport_options=options)


def test_worker_takes_every_message_whole_while_others_are_written(tmp_path: Path) -> None:
    """Of kombu's own transport, which makes a file and then fills it, some came out empty."""
    sent, got, failed = 40, [], []
    # Takes a while to be written.
    weight = ["0123456789"] * 20_000
    late = time.monotonic() + 30

    def send(start: int) -> None:
        with connection(tmp_path) as link, link.SimpleQueue("work") as queue:
            for number in range(start, start + sent):
                queue.put({"number": number, "weight": weight})

    def take() -> None:
        with connection(tmp_path) as link, link.SimpleQueue("work") as queue:
            while True:
                try:
                    message = queue.get(block=False)
                except Empty:
                    if len(got) >= 3 * sent or time.monotonic() > late:
                        return
                except Exception as error:
                    failed.append(error)
                    return
                else:
                    message.ack()
                    got.append(message.payload["number"])

    # kombu keeps in memory what one connection binds before it is on disk; as after any start.
    with connection(tmp_path) as link, link.SimpleQueue("work"):
        pass
    senders = [threading.Thread(target=send, args=(n * sent,)) for n in range(3)]
    takers = [threading.Thread(target=take) for _ in range(3)]
    for thread in (*takers, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    for thread in takers:
        thread.join()
    assert failed == []
    assert list((tmp_path / "queue").iterdir()) == []
    assert sorted(got) == list(range(3 * sent))


def test_first_senders_of_an_exchange_find_its_table_whole(tmp_path: Path) -> None:
    failed = []

    def bind(number: int) -> None:
        try:
            with connection(tmp_path) as link:
                channel = link.default_channel
                for turn in range(20):
                    Queue(f"q{number}", f"x{turn}", channel=channel).declare()
                    assert channel.get_table(f"x{turn}")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=bind, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_message_that_cannot_be_written_leaves_no_empty_one(tmp_path: Path) -> None:
    """kombu's own transport leaves an empty file, which ends the worker that takes it."""
    with connection(tmp_path) as link, pytest.raises(Exception, match="not JSON serializable"):
        link.default_channel._put("work", {"number": object()})
    assert list((tmp_path / "queue").iterdir()) == []


def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, connection(tmp_path) as link:
        patch.setattr(Path, "replace", fill)
        with pytest.raises(ChannelError, match="Cannot write"):
            link.default_channel._put("work", {"number": 1})
    assert list((tmp_path / "queue").iterdir()) == []
    # A name of its own: kombu remembers for the whole process what it bound in other folders.
    with connection(tmp_path) as link, link.SimpleQueue("later") as queue:
        queue.put({"number": 2})
        assert queue.get(timeout=5).payload == {"number": 2}
