"""The command line: `kafka-turbo produce` and `kafka-turbo consume`, also as `python -m kafka ...`."""

from __future__ import annotations

import logging
import signal
import sys
from typing import NoReturn

from kafka.cli.arguments import parse
from kafka.cli.exits import BROKEN_PIPE, FAILED, INTERRUPTED, Failure, in_one_line
from kafka.cli.streams import occupy, say


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and gives its exit code; what went wrong is said on standard error, in one line."""
    prog = "kafka-turbo"
    try:
        occupy()
        try:
            options = parse(sys.argv[1:] if arguments is None else arguments)
        except SystemExit as end:  # usage or help, which is written already
            return int(end.code or 0)
        prog = f"kafka-turbo {options.command}"
        # Standard error is for what ended the command, not for what the client went on trying.
        logging.getLogger("kafka").addHandler(logging.NullHandler())
        if options.command == "produce":
            from kafka.cli.produce import run
        else:
            from kafka.cli.consume import run
        return run(options)
    except Failure as failure:
        say(f"{prog}: {in_one_line(str(failure))}")
        return failure.code
    except BrokenPipeError:  # whoever read our output has had enough
        return BROKEN_PIPE
    except KeyboardInterrupt:
        say(f"{prog}: interrupted")
        return INTERRUPTED
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        shown = in_one_line(f"{type(error).__name__}: {error}")
        say(f"{prog}: this should not happen, please report it: {shown} (python -X dev -m kafka ... shows where)")
        return FAILED


def command() -> NoReturn:
    """Runs a command as a process: `main`, and then nothing that Ctrl-C could still make a traceback of."""
    try:
        code = main()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
