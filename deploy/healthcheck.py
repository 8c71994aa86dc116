"""Whether the web process of this container answers: exit code 0 or 1."""

import http.client
import os
import sys

SECONDS = 5


def main() -> int:
    """Ask `/healthz`, which needs no login, no database, no https and no name of the gateway's."""
    port = int(os.environ.get("MSS_PORT") or 8000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
