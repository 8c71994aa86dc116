"""That a worker still has its job, how far it is, and why it has to stop."""

import logging
import threading
from time import monotonic
from typing import Final

from django.db import close_old_connections

from accounts.sentences import english
from downloads import queue, rights
from downloads.errors import DownloadError, NotAllowed
from downloads.models import DownloadJob
from downloads.queue import Progress, Sign

logger = logging.getLogger(__name__)

# Also the longest that a cancelled job goes on.
BEAT_SECONDS: Final = 1.0
# Whoever is disabled or loses a right has their downloads stopped after so many.
BEATS_PER_LOOK: Final = 10

# Set when the worker process ends: its jobs go back into the queue.
_stopping = threading.Event()


class Interrupted(DownloadError):
    """This worker ends, or is not the job's any more. What has arrived stays."""

    code = "INTERRUPTED"
    sentence = english("The download was interrupted and goes on soon.")


def stop() -> None:
    """Have all transfers of this process end soon, and their jobs put back."""
    _stopping.set()


def is_stopping() -> bool:
    return _stopping.is_set()


class Lease:
    """Says that the job lives, once a second, and hears whether it is to stop."""

    def __init__(self, job: DownloadJob, worker: str) -> None:
        self._job, self._worker = job, worker
        self._progress = Progress(job.bytes_done, job.total_bytes, 0.0)
        self._seen = (monotonic(), job.bytes_done)
        self._over = threading.Event()
        self._denied: str | None = None
        self.sign = Sign.GO_ON
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.job_id}", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, done: int, total: int | None) -> None:
        """How far the transfer is; written down with the next beat."""
        then, before = self._seen
        passed = monotonic() - then
        speed = self._progress.speed_bps
        if passed >= BEAT_SECONDS:
            self._seen = monotonic(), done
            now = max(0, done - before) / passed
            speed = now if speed == 0 else 0.7 * speed + 0.3 * now
        self._progress = Progress(done, total, speed)

    def is_cancelled(self) -> bool:
        """Whether the transfer is to end for good.

        Raises:
            NotAllowed: it is, as somebody's rights have ended
            Interrupted: it is to end here, and to go on elsewhere or later
        """
        if self.sign is Sign.LOST or is_stopping():
            raise Interrupted
        if self._denied is not None:
            raise NotAllowed(self._denied)
        return self.sign is Sign.CANCEL

    def _beat(self) -> None:
        beats = 0
        try:
            while not self._over.wait(BEAT_SECONDS):
                self.sign = queue.alive(self._job.job_id, self._worker, self._progress)
                if self.sign is Sign.LOST:
                    return
                beats += 1
                if beats % BEATS_PER_LOOK == 0:
                    self._denied = rights.may_run(self._job)
        except Exception:
            # Without a lease another worker takes the job: this one must not go on.
            logger.exception("the lease of download %s could not be extended", self._job.job_id)
            self.sign = Sign.LOST
        finally:
            close_old_connections()
