"""A simulated ComfyUI 0.3.64 server for tests, demo and benchmarks: same behaviour on the wire."""

from .record import RequestRecord
from .server import FakeComfy
from .thread import FakeComfyThread

__all__ = ["FakeComfy", "FakeComfyThread", "RequestRecord"]
