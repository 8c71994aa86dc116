"""nginx as a plain reverse proxy before the same ComfyUI: what a proxy that judges nothing costs.

One worker process, as the gateway has, with kept-alive connections to ComfyUI, nothing logged.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.rawhttp import connect
from tests.gateway import free_port

START_SECONDS: Final = 5.0
_CONFIG: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream comfyui {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://comfyui;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """The port where it listens. Raises RuntimeError if it is not installed or does not start."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise RuntimeError("nginx is not installed, and is to be compared with")
    folder.mkdir()
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, upstream=upstream, port=port))
    process = subprocess.Popen([program, "-c", str(config), "-e", str(folder / "start.log")])
    try:
        _wait(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            connect(port).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("nginx did not start")
