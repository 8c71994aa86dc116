"""Command line: python -m tests.fakecomfy --port N --base-dir DIR …"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from .server import FakeComfy


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fakecomfy", description="A simulated ComfyUI server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8188, help="0: any free port")
    parser.add_argument("--base-dir", required=True)
    parser.add_argument("--frontend", default="none", help="auto, none or a folder")
    parser.add_argument("--max-upload-size", type=int, default=104857600, help="bytes")
    parser.add_argument("--bench", action="store_true", help="run nothing; offer /_bench/")
    parser.add_argument("--control", action="store_true", help="offer /_fake/")
    parser.add_argument("--seed", action="store_true", help="plant demo models and files")
    parser.add_argument("--multi-user", action="store_true")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--jobs", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--verbose", action="store_true", help="print the log to stderr")
    return parser.parse_args()


async def _serve(args: argparse.Namespace) -> int:
    server = FakeComfy(
        args.base_dir,
        port=args.port,
        frontend=args.frontend,
        bench=args.bench,
        max_upload_size=args.max_upload_size,
        host=args.host,
        control=args.control,
        seed=args.seed,
        verbose=args.verbose,
        multi_user=args.multi_user,
        record=args.record,
        jobs=args.jobs,
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await server.start()
    print(f"fakecomfy listening on {server.url}", flush=True)
    waits = [asyncio.create_task(e.wait()) for e in (ended, server.died)]
    _, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    died = server.died.is_set()
    await server.stop()
    return 1 if died else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(_arguments())))
