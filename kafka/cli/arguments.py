"""What the command line understands, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from kafka.cli.exits import WRONG_ARGUMENTS
from kafka.cli.streams import Output, say
from kafka.version import __version__

_EXITS = """\
Exit codes: 0 all good, 1 something failed, 2 wrong arguments, 130 Ctrl-C, 141 nobody read standard output any more."""

_SETTINGS = """\
Options win over environment variables (KAFKA_TURBO_CONFIG_ and a NAME, e.g. KAFKA_TURBO_CONFIG_SASL_PLAIN_PASSWORD),
and these over the file of --command-config.

"""

_PRODUCE = """\
Sends each line of text, row of CSV or line of JSON as one record, whose value is the raw line or row. TOPIC comes
first, then the files; - or none is standard input. Options may stand anywhere, and -- ends them.

Ends with 0 when every record was acknowledged. At the first failure reading stops, what was sent before is waited for,
and one line says how many records were acknowledged. Progress is shown on a terminal only."""

_PRODUCE_EXAMPLES = (
    """\
examples:
  kafka-turbo produce -b broker:9092 events < events.txt
  kafka-turbo produce flights *.csv -f csv -k carrier -c compression_type=zstd
  zcat orders.json.gz | kafka-turbo produce orders -f json -k customer_id
  printf 'k1:new\\nk2:\\n' | kafka-turbo produce users -K: -Z    # sets k1, deletes k2

"""
    + _SETTINGS
    + _EXITS
)

_CONSUME = """\
Prints records from the topic's beginning to where it ends now, each partition in order. Without --group it reads
outside of all groups and commits nothing; with it, it shares the topic with the other members. Of transactions only
those are printed that were committed."""

_CONSUME_EXAMPLES = (
    """\
examples:
  kafka-turbo consume -b broker:9092 events | head
  kafka-turbo consume events --follow -o end
  kafka-turbo consume users -f json | jq .value
  kafka-turbo consume events -G audit -e    # what has come since the last time

"""
    + _SETTINGS
    + _EXITS
)


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: object = None) -> None:
        """Help and the version. argparse says nothing where they cannot be written."""
        out = Output()
        out.write(message.encode(errors="backslashreplace"))
        out.flush()

    def error(self, message: str) -> NoReturn:
        say(f"{self.format_usage()}{self.prog}: {message}; --help says more")
        raise SystemExit(WRONG_ARGUMENTS)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """`topic` and, of produce, `files` are what is no option, in their order. SystemExit where that was all."""
    parser = _Parser(
        prog="kafka-turbo",
        description="Writes to Kafka topics and reads from them.",
        epilog="kafka-turbo COMMAND --help says what a command can do.\n" + _EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kafka-turbo {__version__}")
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    commands = {"produce": _add_produce(added), "consume": _add_consume(added)}
    if arguments and arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version"):
        parser.error(f"COMMAND comes first, then {arguments[0]} and the other options")
    # argparse wants what is no option in one piece. So it is given the options, and what it leaves is the rest.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options, operands = parser.parse_known_args(arguments[:end])
    command = commands[options.command]
    for operand in operands:
        if operand.startswith("-") and operand != "-":
            command.error(f"there is no option {operand} (names that begin like one go behind --)")
    operands += arguments[end + 1 :]
    if not operands:
        command.error("TOPIC is missing")
    options.topic, *files = operands
    if options.command == "produce":
        options.files = files or ["-"]
    elif files:
        command.error(f"there is one TOPIC, {options.topic}, so {files[0]} is too much")
    return options


def _add(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    operands: str,
    help: str,
    description: str,
    examples: str,
    client: str,
    example: str,
) -> _Parser:
    parser = commands.add_parser(
        name,
        usage=f"kafka-turbo {name} [OPTION ...] {operands}",
        help=help,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-b",
        "--bootstrap",
        metavar="HOST:PORT[,...]",
        help="one or more brokers of the cluster (localhost:9092)",
    )
    parser.add_argument(
        "-X",
        *(("-c", "--config") if name == "produce" else ("--config",)),
        action="append",
        default=[],
        dest="config",
        metavar="NAME=VALUE",
        help=f"any of {client}'s arguments, or Java's name of it, e.g. {example}; NAME=@FILE has the value in a file, "
        "which keeps passwords off the command line; may be repeated",
    )
    parser.add_argument(
        "--command-config",
        metavar="FILE",
        help="a properties file as Java's tools read it, e.g. client.properties",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary of success")
    return parser


def _add_produce(commands: argparse._SubParsersAction[_Parser]) -> _Parser:
    parser = _add(
        commands,
        "produce",
        "TOPIC [FILE ...]",
        "write records from files or standard input",
        _PRODUCE,
        _PRODUCE_EXAMPLES,
        "KafkaProducer",
        "compression_type=zstd",
    )
    parser.add_argument(
        "-f", "--format", choices=("lines", "csv", "json"), default="lines", help="what a record is (lines)"
    )
    parser.add_argument(
        "-k",
        "--key",
        metavar="COLUMN",
        help="csv: name or index (from 0) of the key's column; json: field of the key, of which a string is its text, "
        "null is no key, and anything else the JSON as it stands there",
    )
    parser.add_argument(
        "-K",
        "--key-delimiter",
        metavar="D",
        help=r"lines: each begins with its key, up to the first D (such as : or \t)",
    )
    parser.add_argument(
        "-Z", "--tombstones", action="store_true", help="with -K: an empty value is null, which deletes its key"
    )
    parser.add_argument("--delimiter", default=",", metavar="C", help=r"between the columns of CSV (a comma); or \t")
    parser.add_argument(
        "--no-header", action="store_true", help="the first row of CSV is a record too, no file has a row of names"
    )
    parser.add_argument(
        "-p",
        "--partition",
        type=int,
        metavar="N",
        help="where all records go, which has to be there already (without: where their keys say)",
    )
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a header of every record; without = its value is null; may be repeated",
    )
    return parser


def _add_consume(commands: argparse._SubParsersAction[_Parser]) -> _Parser:
    parser = _add(
        commands,
        "consume",
        "TOPIC",
        "print the records of a topic",
        _CONSUME,
        _CONSUME_EXAMPLES,
        "KafkaConsumer",
        "fetch_max_bytes=1000000",
    )
    parser.add_argument("-p", "--partition", type=int, action="append", metavar="N", help="only this one (repeatable)")
    parser.add_argument(
        "-o",
        "--offset",
        metavar="O",
        help="where to begin: beginning (default), end, a number, -N for the last N of each partition, or @TIME, in "
        "milliseconds since 1970 or as 2026-11-29T03:00",
    )
    parser.add_argument("-n", "-c", "--max", "--count", type=int, metavar="N", help="stop after so many records")
    parser.add_argument(
        "-G",
        "--group",
        metavar="GROUP",
        help="read what this consumer group gives us, commit what was printed, and wait for more",
    )
    parser.add_argument("-e", "--exit", action="store_true", help="end where the topic ends now (default without -G)")
    parser.add_argument("--follow", action="store_true", help="wait for more at the end, until Ctrl-C")
    parser.add_argument(
        "--read-uncommitted",
        action="store_true",
        help="also records of transactions that were aborted, or have not ended (isolation_level)",
    )
    parser.add_argument("--base64", action="store_true", help="keys, values and headers in base64")
    parser.add_argument(
        "-f",
        "--format",
        choices=("values", "pairs", "json"),
        default="values",
        help="values, a line each (default); key, tab and value; or JSON with everything",
    )
    return parser
