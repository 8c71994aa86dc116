"""How fast is the gateway? `python -m bench.gateway [--quick] [--markdown FILE]`.

Starts fakecomfy and the gateway, compares them in one run, prints figures and the targets'
verdicts. About three minutes; --quick takes 40 s and is good for a first look only.
"""

import argparse
import signal
import sys
from pathlib import Path

from bench import measures, report
from bench.crowd import crowd
from bench.downloads import downloads
from bench.idle import idle
from bench.models import models
from bench.pictures import pictures
from bench.stage import Stage


def main() -> None:
    """Measure and print; exit code 1 if something could not be measured."""
    arguments = _arguments()
    # So that a terminated run stops what it started as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = measures.QUICK if arguments.quick else measures.FULL
    where = report.machine()
    print(where, flush=True)
    with Stage() as stage:
        results = report.Results(
            requests=measures.small_requests(stage, plan),
            transfers=measures.transfers(stage, plan),
            relay=measures.relay(stage, plan),
            noticed=measures.noticed(stage, plan),
            idle=idle(stage),
            models=models(stage, plan),
            pictures=pictures(stage, plan),
            crowd=crowd(stage, plan),
            downloads=downloads(stage, plan),
        )
    tables = report.tables(results)
    for table in tables:
        print(f"\n{table.text()}")
    if arguments.markdown is not None:
        arguments.markdown.write_text(report.markdown(where, tables))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 s, rough figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
