"""How a command ends."""

from __future__ import annotations

#: Exit codes: all good, something failed, wrong arguments, and as a shell tells of SIGINT and SIGPIPE.
OK, FAILED, WRONG_ARGUMENTS, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

_LONGEST = 1200


class Failure(Exception):
    """Ends the command with this message, one line on standard error, and exit code 1."""

    code = FAILED


class Usage(Failure):
    """Arguments that make no sense, alone or together: exit code 2."""

    code = WRONG_ARGUMENTS


def in_one_line(text: str) -> str:
    """For a person to read: without line ends, and no longer than a screen."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST * 2 // 3]} ... {line[-_LONGEST // 3 :]}"
