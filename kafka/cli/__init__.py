"""The command line: `kafka-turbo produce` and `kafka-turbo consume`, also as `python -m kafka ...`."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from kafka.version import __version__

#: Exit codes: all good, something failed, Ctrl-C. Wrong arguments end with argparse's own, 2.
OK, FAILED, INTERRUPTED = 0, 1, 130


class Failure(Exception):
    """Ends the command with this message, one line on standard error, and exit code 1."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kafka-turbo", description="Writes to Kafka topics and reads from them.")
    parser.add_argument("--version", action="version", version=f"kafka-turbo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("topic", metavar="TOPIC")
    common.add_argument(
        "-b",
        "--bootstrap",
        default="localhost:9092",
        metavar="HOST:PORT[,...]",
        help="one or more brokers of the cluster (localhost:9092)",
    )
    common.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary of success")
    _add_produce(commands.add_parser("produce", parents=[common], help="write records from files or standard input"))
    _add_consume(commands.add_parser("consume", parents=[common], help="print the records of a topic"))
    return parser


def _add_produce(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Sends each line of text, row of CSV or line of JSON as one record, whose value is the raw line or row. Ends "
        "with 0 when every record was acknowledged, else with 1 and a summary. Progress is shown on a terminal only."
    )
    parser.add_argument("files", nargs="*", default=["-"], metavar="FILE", help="- or none: standard input")
    parser.add_argument(
        "-f", "--format", choices=("lines", "csv", "json"), default="lines", help="what a record is (lines)"
    )
    parser.add_argument(
        "-k", "--key", metavar="COLUMN", help="csv: name or index (from 0) of the key's column; json: field of the key"
    )
    parser.add_argument("--delimiter", default=",", metavar="C", help="between the columns of CSV (a comma)")
    parser.add_argument(
        "--no-header", action="store_true", help="the first row of CSV is a record too, no file has a row of names"
    )
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any of KafkaProducer's arguments, e.g. compression_type=zstd; may be repeated",
    )


def _add_consume(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints records from the topic's beginning to where it ends now, partition by partition as they come. It reads "
        "without a consumer group and commits nothing."
    )
    parser.add_argument("-p", "--partition", type=int, action="append", metavar="N", help="only this one (repeatable)")
    parser.add_argument(
        "-o", "--offset", default="beginning", metavar="O", help="where to begin: beginning (default), end or a number"
    )
    parser.add_argument("-n", "--max", type=int, metavar="N", help="stop after so many records")
    parser.add_argument("--follow", action="store_true", help="wait for more at the end, until Ctrl-C")
    parser.add_argument(
        "-f",
        "--format",
        choices=("values", "pairs", "json"),
        default="values",
        help="values, a line each (default); key, tab and value; or JSON with everything",
    )


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and gives its exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    prog = f"kafka-turbo {options.command}"
    # Standard error is for what ended the command, not for what the client went on trying.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    try:
        if options.command == "produce":
            from kafka.cli.produce import run
        else:
            from kafka.cli.consume import run
        return run(options)
    except Failure as failure:
        print(f"{prog}: {' '.join(str(failure).split())}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
