"""Scores files in a child process that is started when needed and replaced when it fails."""

import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from comfyproxy.nsfw.config import ClassifierConfig, FrameLimits
from comfyproxy.nsfw.errors import ClassifierBroken
from comfyproxy.nsfw.process import COMMAND, ChildProcess, Died, TooSlow
from comfyproxy.nsfw.score import Reason, Score, Scored

_START_SECONDS: Final = 60.0
# A classifier that could not be made is not tried again before.
_RETRY_SECONDS: Final = 30.0
# What libraries leak, and what a file may have done to the process, lasts no longer.
_FILES_PER_CHILD: Final = 1000
# Of the allowed memory, beyond what there was at the start.
_GROWTH: Final = 0.25
_MAX_CHARS: Final = 200
_DID_NOT_START: Final = "The scoring process did not start; its last words are in the log."


class Scorer:
    """Scores one file at a time; any thread may ask.

    Args:
        seconds: for one file; then the process is killed
        memory_mb: address space of the process. With OpenNSFW it starts at 0.25 GB; the largest
            allowed picture (100 million pixels with alpha) takes it to 1.4 GB, an animation of
            such to more
        idle_seconds: after this time without a file the process is ended
    """

    def __init__(
        self,
        config: ClassifierConfig,
        *,
        seconds: float = 30,
        memory_mb: int = 2560,
        idle_seconds: float = 300,
        limits: FrameLimits | None = None,
    ) -> None:
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._settings = {
            "classifier": asdict(config),
            "limits": asdict(limits or FrameLimits()),
            "memory_mb": memory_mb,
        }
        self._most_growth = memory_mb * 1024**2 * _GROWTH
        # What is run; the tests have others.
        self._command = COMMAND
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._child: ChildProcess | None = None
        self._identity = ("", "")
        self._memory_at_start = 0
        self._files = 0
        self._used = 0.0
        self._timer: threading.Timer | None = None
        self._broken: tuple[str, float] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one now."""
        child = self._child
        return child.pid if child else None

    def score(self, path: Path, *, seconds: float | None = None) -> Scored:
        """What a file shows. `seconds`: another limit than the usual; waiting for one's turn and
        for the process to start is not counted.

        Never raises for a file, whatever is in it.
        """
        self._notice_fork()
        with self._lock:
            try:
                child = self._running()
            except ClassifierBroken:
                return Scored(None, Reason.CLASSIFIER_FAILED)
            limit = self._seconds if seconds is None else seconds
            request = {"path": str(path.absolute()), "seconds": limit}
            try:
                answer = child.ask(request, limit)
                scored = _scored(answer)
                self._files += 1
                if self._is_worn(answer):
                    self._end()
            except TooSlow:
                self._end()
                scored = Scored(None, Reason.TIMEOUT)
            except Died:
                self._end()
                scored = Scored(None, Reason.CRASHED)
            self._note_use()
            return scored

    def identity(self) -> tuple[str, str]:
        """Name and version of the classifier: what it said of a file is valid for these only.

        Raises:
            ClassifierBroken: it cannot be made; tried again after half a minute at the earliest
        """
        self._notice_fork()
        with self._lock:
            self._running()
            self._note_use()
            return self._identity

    def close(self) -> None:
        """Ends the process. The next file starts another."""
        self._notice_fork()
        with self._lock:
            self._end()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _running(self) -> ChildProcess:
        if self._child is not None and self._child.is_running():
            return self._child
        self._end()
        if self._broken is not None:
            sentence, until = self._broken
            if time.monotonic() < until:
                raise ClassifierBroken(sentence)
        try:
            self._child = self._started()
        except ClassifierBroken as error:
            self._broken = (error.sentence, time.monotonic() + _RETRY_SECONDS)
            self._end()
            raise
        self._broken = None
        return self._child

    def _started(self) -> ChildProcess:
        try:
            child = ChildProcess(self._command)
        except OSError as error:
            raise ClassifierBroken(f"The scoring process cannot be started: {error}.") from error
        # So that whatever happens it is ended.
        self._child, self._files = child, 0
        try:
            answer = child.ask(self._settings, _START_SECONDS)
        except (TooSlow, Died) as error:
            raise ClassifierBroken(_DID_NOT_START) from error
        ready = answer.get("ready")
        if not isinstance(ready, dict):
            raise ClassifierBroken(str(answer.get("error") or _DID_NOT_START))
        self._identity = (_text(ready.get("name")), _text(ready.get("version")))
        self._memory_at_start = _whole(answer.get("memory"))
        return child

    def _is_worn(self, answer: dict[str, Any]) -> bool:
        growth = _whole(answer.get("memory")) - self._memory_at_start
        is_old = self._files >= _FILES_PER_CHILD or growth > self._most_growth
        return is_old or answer.get("leaves") is True

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _note_use(self) -> None:
        self._used = time.monotonic()
        if self._timer is None and self._child is not None:
            self._wait_idle(self._idle_seconds)

    def _wait_idle(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._end_if_idle)
        self._timer.daemon = True
        self._timer.start()

    def _end_if_idle(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return
            left = self._used + self._idle_seconds - time.monotonic()
            self._timer = None
            if left <= 0:
                self._end()
            elif self._child is not None:
                self._wait_idle(left)

    def _notice_fork(self) -> None:
        """A fork of this process shares the pipes, and threads it does not have hold the lock."""
        if self._owner == os.getpid():
            return
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._timer = None
        if self._child is not None:
            self._child.forget()
            self._child = None


def _scored(answer: dict[str, Any]) -> Scored:
    """Raise Died for an answer that is none."""
    try:
        reason = Reason(answer["reason"])
        frames = _whole(answer.get("frames"))
        if reason is not Reason.SCORED:
            return Scored(None, reason, frames)
        return Scored(Score(float(answer["value"]), _text(answer["label"])), reason, frames)
    except (KeyError, TypeError, ValueError) as error:
        raise Died from error


def _text(value: Any) -> str:
    return value[:_MAX_CHARS] if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0
