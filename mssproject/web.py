"""Start one web process: `python -m mssproject.web` (uvicorn; see DESIGN for why not daphne)."""

import sys

import uvicorn

from mssproject import env
from mssproject.logging import config as logging_config

# Events of ComfyUI may be larger, but what a client sends is small: ComfyUI cuts at 4 MiB.
MAX_SOCKET_MESSAGE_BYTES = 4 * 1024 * 1024
# A client silent for that long is asked whether it is still there.
PING_SECONDS = 30.0
GRACE_SECONDS = 25


def main() -> None:
    """Serve until SIGTERM or SIGINT; open requests get `GRACE_SECONDS` to finish."""
    try:
        settings = env.load()
    except env.EnvError as error:
        sys.exit(f"The environment needs a correction:\n{error}")
    uvicorn.run(
        "mssproject.asgi:application",
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        # Client addresses are the front's business, request lines hold query tokens.
        proxy_headers=False,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=logging_config(settings.log_level),
    )


if __name__ == "__main__":
    main()
