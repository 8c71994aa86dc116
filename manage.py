#!/usr/bin/env python
"""Django's command line for this project; `./run manage …` calls it inside the environment."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mssproject.settings")
    from django.core.management import execute_from_command_line

    from mssproject.env import EnvError

    try:
        execute_from_command_line(sys.argv)
    except EnvError as error:
        sys.exit(f"The environment needs a correction:\n{error}")


if __name__ == "__main__":
    main()
