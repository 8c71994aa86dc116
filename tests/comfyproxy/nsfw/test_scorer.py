"""The scoring process: bounded, replaced when it fails, never waited for in vain."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from comfyproxy.nsfw import scorer as scorer_module
from comfyproxy.nsfw.config import ClassifierConfig
from comfyproxy.nsfw.errors import ClassifierBroken
from comfyproxy.nsfw.score import Reason, Scored
from comfyproxy.nsfw.scorer import Scorer
from tests.comfyproxy.nsfw.redness import Redness
from tests.comfyproxy.nsfw.samples import BLUE, RED, animation

READY = 'print(\'{"ready": {"name": "n", "version": "v"}}\', flush=True)'


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (64, 64), RED).save(path)
    return path


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    path = tmp_path / "blue.png"
    Image.new("RGB", (64, 64), BLUE).save(path)
    return path


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[Callable[..., Scorer]]:
    """Makes a scorer whose process runs some Python instead."""
    made = []

    def make(*lines: str, seconds: float = 1) -> Scorer:
        program = "\n".join(["import os, sys, time", *lines])
        found = Scorer(ClassifierConfig("http", url="http://127.0.0.1:1"), seconds=seconds)
        found._command = (sys.executable, "-c", program)
        made.append(found)
        return found

    yield make
    for scorer in made:
        scorer.close()


def value(scored: Scored) -> float:
    assert scored.score is not None, scored.reason
    return scored.score.value


def running(scorer: Scorer) -> psutil.Process:
    assert scorer.pid is not None
    return psutil.Process(scorer.pid)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_pictures_are_scored_each_gets_its_own_score(scorer: Scorer, red: Path, blue: Path) -> None:
    assert scorer.pid is None
    assert value(scorer.score(red)) > 0.9
    assert value(scorer.score(blue)) == 0
    assert scorer.identity() == ("http", "1")


def test_animation_has_one_red_frame_its_score_counts(scorer: Scorer, tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(animation("GIF", [BLUE, "lime", RED, BLUE]))
    scored = scorer.score(path)
    assert value(scored) > 0.9 and scored.frames == 4 and scored.score is not None
    assert scored.score.label == "red"


def test_name_is_odd_the_file_is_found(
    scorer: Scorer, red: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a b\n\"'\\.png", os.fsdecode(b"\xff.png"), "ü🙂.png"]
    for name in names:
        assert value(scorer.score(red.rename(red.with_name(name)))) > 0.9
        red = red.with_name(name)
    monkeypatch.chdir(red.parent)
    assert value(scorer.score(Path(red.name))) > 0.9


def test_file_is_gone_or_none_it_is_unreadable_not_harmless(scorer: Scorer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("gone.png", "pipe.png", "."):
        assert scorer.score(tmp_path / name).reason is Reason.UNREADABLE


def test_process_runs_it_has_no_secrets_and_narrow_limits(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "s3cret")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    scorer.identity()
    process = running(scorer)
    assert "s3cret" not in str(process.environ()) and "https_proxy" not in process.environ()
    assert "127.0.0.1" not in str(process.cmdline())
    assert process.rlimit(psutil.RLIMIT_AS)[1] == 2560 * 1024**2
    assert process.rlimit(psutil.RLIMIT_CORE)[1] == 0
    assert process.rlimit(psutil.RLIMIT_FSIZE)[1] == 0
    assert process.rlimit(psutil.RLIMIT_NOFILE)[1] <= 64
    assert process.nice() >= 10
    modules = Path(f"/proc/{process.pid}/maps").read_text()
    assert "django" not in modules and "psycopg" not in modules


def test_process_is_started_no_django_is_imported() -> None:
    program = "import sys, comfyproxy.nsfw.child, comfyproxy.nsfw.scorer, json;" + (
        "print(json.dumps([m for m in ('django', 'asyncio', 'numpy') if m in sys.modules]))"
    )
    told = subprocess.check_output([sys.executable, "-c", program])
    assert json.loads(told) == []


def test_classifier_takes_too_long_the_next_file_is_scored(
    scorer: Scorer, service: Redness, red: Path
) -> None:
    scorer.identity()
    service.release.clear()
    started = time.monotonic()
    assert scorer.score(red, seconds=0.3).reason is Reason.TIMEOUT
    assert time.monotonic() - started < 1.5
    assert scorer.pid is None
    service.release.set()
    assert value(scorer.score(red)) > 0.9


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_process_is_killed_on_a_file_the_next_one_is_scored(
    scorer: Scorer, service: Redness, red: Path, number: int
) -> None:
    process = scorer.identity() and running(scorer)
    service.asked.clear()
    service.release.clear()
    found: list[Scored] = []
    thread = threading.Thread(target=lambda: found.append(scorer.score(red)))
    thread.start()
    assert service.asked.wait(10)
    process.send_signal(number)
    thread.join(5)
    assert [scored.reason for scored in found] == [Reason.CRASHED]
    service.release.set()
    assert value(scorer.score(red)) > 0.9


def test_process_is_killed_between_files_the_next_one_is_scored(scorer: Scorer, red: Path) -> None:
    scorer.identity()
    process = running(scorer)
    process.kill()
    until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert value(scorer.score(red)) > 0.9


def test_process_is_stopped_the_file_times_out(scorer: Scorer, red: Path) -> None:
    scorer.identity()
    running(scorer).suspend()
    assert scorer.score(red, seconds=0.3).reason is Reason.TIMEOUT
    assert value(scorer.score(red)) > 0.9


def test_picture_needs_more_memory_than_allowed_the_next_file_is_scored(
    service: Redness, tmp_path: Path, red: Path
) -> None:
    scorer = Scorer(ClassifierConfig("http", url=service.url), memory_mb=300)
    large = tmp_path / "large.png"
    Image.new("RGB", (9000, 9000)).save(large, compress_level=1)
    assert scorer.score(large).reason is Reason.CRASHED
    assert value(scorer.score(red)) > 0.9
    scorer.close()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("time.sleep(60)", Reason.TIMEOUT),
        ("sys.stdout.write('{'); sys.stdout.flush(); time.sleep(60)", Reason.TIMEOUT),
        ("print('[]', flush=True); time.sleep(60)", Reason.CRASHED),
        ("print('nonsense')", Reason.CRASHED),
        ("print('[' * 60_000)", Reason.CRASHED),
        ("print('{}')", Reason.CRASHED),
        ("""print('{"reason": ""}')""", Reason.CRASHED),
        ("""print('{"reason": [], "frames": 1}')""", Reason.CRASHED),
        ("""print('{"reason": "", "label": "", "value": 7}')""", Reason.CRASHED),
        ("""print('{"reason": "timeout"}\\n{"reason": "timeout"}')""", Reason.CRASHED),
        ("while True: os.write(1, b'x' * 65536)", Reason.CRASHED),
        ("sys.exit(0)", Reason.CRASHED),
        ("os.abort()", Reason.CRASHED),
    ],
)
def test_process_is_asked_and_talks_nonsense_or_nothing_it_is_ended_in_time(
    acting: Callable[..., Scorer], red: Path, line: str, reason: Reason
) -> None:
    scorer = acting("sys.stdin.readline()", READY, "sys.stdin.readline()", line)
    scorer.identity()
    process = running(scorer)
    started = time.monotonic()
    assert scorer.score(red).reason is reason
    assert time.monotonic() - started < 2
    assert scorer.pid is None and not process.is_running()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("os.close(0); time.sleep(60)", Reason.CRASHED),
        ("os.close(1); time.sleep(60)", Reason.CRASHED),
        ("time.sleep(60)", Reason.TIMEOUT),
        ("while True: os.write(1, b'x' * 65536)", Reason.CRASHED),
    ],
)
def test_process_no_longer_listens_it_is_ended_in_time(
    acting: Callable[..., Scorer], red: Path, line: str, reason: Reason
) -> None:
    scorer = acting("sys.stdin.readline()", READY, "time.sleep(0.2)", line)
    scorer.identity()
    time.sleep(0.5)
    started = time.monotonic()
    assert scorer.score(red).reason is reason
    assert time.monotonic() - started < 2 and scorer.pid is None


def test_process_never_reads_and_the_pipe_is_full_it_is_ended_in_time(
    acting: Callable[..., Scorer],
) -> None:
    scorer = acting("sys.stdin.readline()", READY, "time.sleep(60)")
    scorer.identity()
    assert scorer.score(Path("/" + "x" * 1_000_000)).reason is Reason.TIMEOUT


def test_process_does_not_start_the_sentence_says_so_and_files_have_no_score(
    acting: Callable[..., Scorer], red: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer_module, "_START_SECONDS", 0.3)
    for lines in (["time.sleep(60)"], ["sys.exit(1)"], ["print('{}', flush=True)"]):
        scorer = acting(*lines)
        with pytest.raises(ClassifierBroken) as refused:
            scorer.identity()
        assert "did not start" in refused.value.sentence
        assert scorer.score(red).reason is Reason.CLASSIFIER_FAILED
        assert scorer.pid is None


def test_program_is_missing_the_sentence_says_so(acting: Callable[..., Scorer]) -> None:
    scorer = acting()
    scorer._command = ("/no/such/program",)
    with pytest.raises(ClassifierBroken, match="cannot be started"):
        scorer.identity()


def test_classifier_cannot_be_made_it_is_tried_again_later_only(
    service: Redness, red: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(ClassifierConfig("http", url=service.url))
    service.answer = b"{}"
    with pytest.raises(ClassifierBroken, match="without a score"):
        scorer.identity()
    service.answer = None
    assert scorer.score(red).reason is Reason.CLASSIFIER_FAILED
    assert len(service.sizes) == 1
    monkeypatch.setattr(scorer_module, "_RETRY_SECONDS", 0.0)
    scorer._broken = None
    assert value(scorer.score(red)) > 0.9
    scorer.close()


def test_service_fails_once_the_next_file_is_scored(
    scorer: Scorer, service: Redness, red: Path
) -> None:
    scorer.identity()
    service.status = 500
    assert scorer.score(red).reason is Reason.CLASSIFIER_FAILED
    service.status = 200
    assert value(scorer.score(red)) > 0.9


def test_service_becomes_another_version_so_does_the_identity(
    scorer: Scorer, service: Redness, red: Path
) -> None:
    assert scorer.identity() == ("http", "1")
    service.version = "2"
    assert scorer.score(red).reason is Reason.CLASSIFIER_FAILED
    assert scorer.identity() == ("http", "2")
    assert value(scorer.score(red)) > 0.9


def test_nobody_asks_for_a_while_the_process_is_ended(service: Redness, red: Path) -> None:
    scorer = Scorer(ClassifierConfig("http", url=service.url), idle_seconds=0.3)
    scorer.score(red)
    process = running(scorer)
    until(lambda: scorer.pid is None, 5)
    assert not process.is_running()
    assert value(scorer.score(red)) > 0.9
    scorer.close()


def test_process_served_many_files_it_is_replaced(
    scorer: Scorer, red: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer_module, "_FILES_PER_CHILD", 2)
    pids = [scorer.score(red) and scorer.pid for _ in range(4)]
    assert pids[1] is None and pids[3] is None and pids[0] != pids[2]


def test_process_grew_it_is_replaced(scorer: Scorer, red: Path) -> None:
    scorer._most_growth = -1
    assert value(scorer.score(red)) > 0.9
    assert scorer.pid is None


def test_many_threads_ask_each_gets_its_own_answer(scorer: Scorer, red: Path, blue: Path) -> None:
    found: dict[int, float] = {}

    def ask(number: int) -> None:
        found[number] = value(scorer.score(red if number % 2 else blue))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [found[number] > 0.5 for number in range(12)] == [False, True] * 6


def test_parent_is_killed_the_process_ends(service: Redness) -> None:
    program = (
        "import sys, time; from comfyproxy.nsfw.scorer import Scorer;"
        "from comfyproxy.nsfw.config import ClassifierConfig;"
        f"s = Scorer(ClassifierConfig('http', url={service.url!r})); s.identity();"
        "print(s.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(10)


def test_process_forks_both_halves_score_on(scorer: Scorer, red: Path) -> None:
    scorer.identity()
    mine = scorer.pid
    pid = os.fork()
    if pid == 0:
        scored = scorer.score(red)
        is_good = scored.score is not None and scorer.pid not in (None, mine)
        scorer.close()
        os._exit(0 if is_good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert value(scorer.score(red)) > 0.9 and scorer.pid == mine


def test_scorer_is_closed_the_next_file_starts_another_process(scorer: Scorer, red: Path) -> None:
    scorer.score(red)
    process = running(scorer)
    scorer.close()
    scorer.close()
    assert not process.is_running() and scorer.pid is None
    assert value(scorer.score(red)) > 0.9
