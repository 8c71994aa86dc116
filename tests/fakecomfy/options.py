"""The settings of one simulated server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What a simulated server is to do; see FakeComfy for the meaning of each."""

    base_dir: str
    port: int = 0
    host: str = "127.0.0.1"
    frontend: str | None = None
    bench: bool = False
    max_upload_size: int = 104857600
    control: bool = False
    seed: bool = False
    verbose: bool = False
    multi_user: bool = False
    record: bool = True
    jobs: bool = True
