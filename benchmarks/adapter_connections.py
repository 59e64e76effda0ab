"""The adapter's memory under thousands of idle connections, and the callers that still get answers.

The adapter is a process of its own with one pod behind it, asked over TLS. Each kind of connection is
opened in turn and left open; then the API server's aggregation layer (by its certificate) and a caller
with a token open connections of their own and ask.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.adapter.crowd import KINDS, Alone, alone, crowd, may_open

CALLS = 20


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000, help="of each kind (default: %(default)s)")
    count = may_open(parser.parse_args().connections)
    with tempfile.TemporaryDirectory() as name, alone(Path(name)) as server:
        print(f"{count} connections of each kind; before: {server.resident():.0f} MiB")
        for kind in KINDS:
            began = time.perf_counter()
            with crowd(server.port, kind, count):
                seconds = time.perf_counter() - began
                print(f"{kind.__name__}: opened in {seconds:.1f} s; {_found(server)}", flush=True)
            time.sleep(2)
            print(f"  closed: {server.resident():.0f} MiB, {server.sockets()} sockets", flush=True)


def _found(server: Alone) -> str:
    """Memory and sockets, and the worst answer of several."""
    memory = f"{server.resident():.0f} MiB, {server.sockets()} sockets"
    answers = []
    for ask in (server.as_the_api_server, server.with_a_token):
        lines, seconds = zip(*(ask() for _ in range(CALLS)), strict=True)
        answers.append(f"{'/'.join(sorted(set(lines)))} within {max(seconds) * 1000:.0f} ms")
    return f"{memory}; the API server: {answers[0]}; with a token: {answers[1]}"


if __name__ == "__main__":
    main()
