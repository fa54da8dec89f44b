"""Runs a cluster until it is told to stop: `python -m kafka.testing --nodes 3 --topics flights:6`.

Prints the bootstrap address on standard output, one line, when clients can connect. Ends with Ctrl-C, with SIGTERM and,
where `--until-eof` is given, when standard input ends (so also when the process that started it dies).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from kafka.errors import KafkaError
from kafka.testing.cluster import EmbeddedCluster


def _topic(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    if not EmbeddedCluster.is_valid_name(name) or not (count or "1").isdecimal() or int(count or "1") < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME or NAME:PARTITIONS")
    return name, int(count or "1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kafka.testing", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="number of brokers (1)")
    parser.add_argument(
        "--topics", type=_topic, nargs="+", default=[], metavar="NAME:PARTITIONS", help="topics that are there at once"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on and to advertise (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port of the first broker, the others follow (free ones)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--folder", metavar="F", help="keep the log in segment files there; without: in memory")
    where.add_argument("--discard", action="store_true", help="check and count records, then throw them away")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    return parser


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        cluster = EmbeddedCluster(
            options.nodes,
            topics=dict(options.topics),
            host=options.host,
            port=options.port,
            folder=options.folder,
            discard=options.discard,
        ).start()
    except (ValueError, OSError, KafkaError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    if options.until_eof:
        threading.Thread(target=_await_eof, args=(stopped,), daemon=True).start()
    print(cluster.bootstrap, flush=True)
    stopped.wait()
    cluster.stop()
    return 0


def _await_eof(stopped: threading.Event) -> None:
    # Not sys.stdin: a thread that waits in it keeps its lock, which the interpreter's end would wait for.
    while os.read(0, 4096):
        pass
    stopped.set()


if __name__ == "__main__":
    sys.exit(main())
