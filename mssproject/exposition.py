"""The text of `GET /metrics`: what the processes counted, and what the database tells now.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import logging
import os
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any, Final

from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Count
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from comfyproxy.models import PromptRecord
from downloads.models import DownloadJob
from mssproject.supervisor import METRICS_FOLDER

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
# However often it is asked, the database is asked once in so long.
KEPT_SECONDS: Final = 5.0

_kept: tuple[float, dict[str, dict[str, int]]] | None = None


def text(parts: Mapping[str, str]) -> bytes:
    """The whole text. For a thread: it reads the database and files. `parts`: as /readyz names
    them."""
    registry = CollectorRegistry()
    if METRICS_FOLDER in os.environ:
        MultiProcessCollector(registry)
        counted = generate_latest(registry)
    else:
        counted = generate_latest(REGISTRY)
    now = CollectorRegistry()
    now.register(_Now(parts))
    return counted + generate_latest(now)


class _Now(Collector):
    """What is so at this moment."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Any]:
        up = GaugeMetricFamily("mss_up", "1 if that part works, as /readyz tells.", labels=["part"])
        for name, said in self._parts.items():
            up.add_metric([name], float(said == "ok"))
        yield up
        told = {
            "mss_queue_prompts": ("Prompts whose end was not seen yet.", "state"),
            "mss_downloads": ("Model downloads, by status.", "status"),
        }
        found = _records()
        for name, (meaning, label) in told.items():
            family = GaugeMetricFamily(name, meaning, labels=[label])
            for value, number in found.get(name, {}).items():
                family.add_metric([value], float(number))
            yield family


def _records() -> dict[str, dict[str, int]]:
    global _kept
    if _kept is None or monotonic() - _kept[0] > KEPT_SECONDS:
        try:
            _kept = monotonic(), _counted()
        except DatabaseError as error:
            logger.warning("the metrics lack what the database tells: %s", error)
            return {}
        finally:
            # This thread's: the next question may come from another.
            connection.close()
    return _kept[1]


def _counted() -> dict[str, dict[str, int]]:
    # Only what is unfinished has an index of its own, and stays small.
    states = [str(state) for state in PromptRecord.UNFINISHED]
    prompts = PromptRecord.objects.filter(state__in=states).order_by()
    downloads = DownloadJob.objects.order_by()
    return {
        "mss_queue_prompts": dict.fromkeys(states, 0)
        | dict(prompts.values_list("state").annotate(Count("pk"))),
        "mss_downloads": {str(status): 0 for status in DownloadJob.Status}
        | dict(downloads.values_list("status").annotate(Count("pk"))),
    }
