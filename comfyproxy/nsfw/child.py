"""The process that opens untrusted files: `python -m comfyproxy.nsfw.child`, started by scorer.py.

One JSON object a line, first what to be (on stdin, since addresses may hold passwords and the
arguments of a process are everybody's to read):

    > {"classifier": {"kind": …, "path": …, "url": …}, "limits": {…}, "memory_mb": 2560}
    < {"ready": {"name": …, "version": …}, "memory": bytes}    or {"error": "a sentence"}
    > {"path": "/a/file", "seconds": 30}
    < {"value": 0.1, "label": "sfw", "reason": "", "frames": 1, "memory": bytes, "leaves": false}

It ends when its stdin does.
"""

import json
import math
import os
import resource
import signal
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from comfyproxy.nsfw.classifiers import make
from comfyproxy.nsfw.config import ClassifierConfig, FrameLimits
from comfyproxy.nsfw.errors import (
    ClassifierBroken,
    ClassifierChanged,
    ClassifierFailed,
    Unscorable,
)
from comfyproxy.nsfw.score import Reason

if TYPE_CHECKING:
    from comfyproxy.nsfw.classifiers.base import Classifier

_OPEN_FILES: Final = 64
_NICE: Final = 10
# After what the parent waits for: this is for the case that there is no parent any more.
_GRACE_SECONDS: Final = 5


def main() -> None:
    """Answers until stdin ends."""
    answers = _own_stdout()
    lines = sys.stdin.buffer
    first = lines.readline()
    if not first:
        return
    settings = json.loads(first)
    _limit(settings["memory_mb"])
    limits = FrameLimits(**settings["limits"])
    try:
        classifier = make(ClassifierConfig(**settings["classifier"]))
    except ClassifierBroken as error:
        _say(answers, {"error": error.sentence})
        return
    except Exception as error:
        _say(answers, {"error": f"The classifier cannot be loaded: {error!r:.300}"})
        return
    ready = {"name": classifier.name, "version": classifier.version}
    _say(answers, {"ready": ready, "memory": _memory()})
    # From here on untrusted files decide what the libraries complain about.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for line in lines:
        request = json.loads(line)
        signal.alarm(math.ceil(request["seconds"]) + _GRACE_SECONDS)
        answer = _scored(Path(request["path"]), classifier, limits)
        signal.alarm(0)
        _say(answers, {**answer, "memory": _memory()})
        if answer["leaves"]:
            return


def _scored(path: Path, classifier: "Classifier", limits: FrameLimits) -> dict[str, Any]:
    from comfyproxy.nsfw.frames import frames

    best, shown, leaves = None, 0, False
    try:
        for picture in frames(path, limits):
            score = classifier.classify(picture)
            shown += 1
            if best is None or score.value > best.value:
                best = score
        reason = Reason.SCORED if best else Reason.UNDECODABLE
    except Unscorable as error:
        reason = error.reason
        if reason is Reason.UNDECODABLE and not path.is_file():
            reason = Reason.UNREADABLE
    except ClassifierFailed as error:
        reason, leaves = Reason.CLASSIFIER_FAILED, isinstance(error, ClassifierChanged)
    except MemoryError:
        # Perhaps because of what earlier files left behind.
        reason, leaves = Reason.CRASHED, True
    except OSError:
        reason = Reason.UNREADABLE
    except Exception:
        reason = Reason.CRASHED
    answer: dict[str, Any] = {"reason": reason, "frames": shown, "leaves": leaves}
    if best is not None and reason is Reason.SCORED:
        answer |= {"value": best.value, "label": best.label}
    return answer


def _own_stdout() -> BinaryIO:
    """What the parent reads; libraries that print to stdout print to stderr from here on."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(answers, "wb", buffering=0)


def _say(answers: BinaryIO, answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")


def _limit(memory_mb: int) -> None:
    memory = memory_mb * 1024**2
    if sys.platform != "darwin":
        # macOS knows the limit but refuses to set it.
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    # It has nothing to write to disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    os.nice(_NICE)
    warnings.simplefilter("ignore")
    # Without a parent's orders a signal of its terminal is none of its business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _memory() -> int:
    """Bytes of address space, which is what is limited; 0 where that cannot be told."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
