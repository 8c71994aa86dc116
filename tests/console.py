"""The other end of tests.gateway.Console: JSON lines in, JSON lines out."""

import json
import os
import sys
import traceback

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mssproject.settings")
    django.setup()
    from django.db import connection

    for line in sys.stdin:
        request = json.loads(line)
        names = {**request["names"], "result": None}
        if connection.connection is not None and not connection.is_usable():
            connection.close()  # its server was restarted
        try:
            exec(request["code"], names)
            answer = json.dumps({"result": names["result"]})
        except Exception:
            answer = json.dumps({"error": traceback.format_exc()})
        print(answer, flush=True)


if __name__ == "__main__":
    main()
