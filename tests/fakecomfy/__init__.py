"""A simulated ComfyUI 0.3.64 server for tests, demo and benchmarks: same behaviour on the wire.

In an event loop: `async with FakeComfy(tmp_path, seed=True) as comfy: … comfy.url …`.
In synchronous tests: `with FakeComfyThread(tmp_path) as comfy: … comfy.requests …`.
As a program: `python -m tests.fakecomfy --port 8188 --base-dir DIR --seed --frontend auto`.
"""

from .record import RequestRecord
from .server import FakeComfy
from .thread import FakeComfyThread

__all__ = ["FakeComfy", "FakeComfyThread", "RequestRecord"]
