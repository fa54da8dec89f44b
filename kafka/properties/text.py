"""The format of properties files, as `java.util.Properties.load` reads it, and of what stands in `sasl.jaas.config`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANK = " \t\f"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_HEX = re.compile("[0-9a-fA-F]{4}")

# Of JAAS: what Java's StreamTokenizer makes of it, as Kafka sets it up.
_TOKEN = re.compile(
    r"""\s+|//[^\r\n]*|/\*.*?\*/|(?P<sign>[=;])|"(?P<double>(?:[^"\\\r\n]|\\.)*)"|'(?P<single>(?:[^'\\\r\n]|\\.)*)'"""
    r"""|(?P<word>[^\s=;"'/]+)""",
    re.DOTALL,
)
_JAAS_ESCAPE = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?|.)", re.DOTALL)
_JAAS_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_FLAGS = ("required", "requisite", "sufficient", "optional")


def properties(text: str) -> Iterator[tuple[str, str, int]]:
    """(name, value, number of its first line) in the order of the file, repeated names too.

    Raises ValueError(line, what is wrong), without the value.
    """
    for line, number in _logical_lines(text):
        end = 0
        while end < len(line) and line[end] not in "=:" + _BLANK:
            end += 2 if line[end] == "\\" else 1
        rest = line[end:].lstrip(_BLANK)
        if rest[:1] in ("=", ":"):
            rest = rest[1:].lstrip(_BLANK)
        yield _unescaped(line[:end], number), _unescaped(rest, number), number


def _logical_lines(text: str) -> Iterator[tuple[str, int]]:
    """Lines that go on after a backslash are one; blank lines and comments are none."""
    begun: str | None = None
    first = 0
    for number, found in enumerate(_LINE.findall(text), 1):
        line = found.rstrip("\r\n").lstrip(_BLANK)
        if begun is None:
            if not line or line[0] in "#!":
                continue
            begun, first = "", number
        begun += line
        if (len(line) - len(line.rstrip("\\"))) % 2:
            begun = begun[:-1]
            continue
        if begun:
            yield begun, first
        begun = None
    if begun:
        yield begun, first


def _unescaped(text: str, line: int) -> str:
    parts = []
    at = 0
    while (found := text.find("\\", at)) >= 0:
        parts.append(text[at:found])
        letter = text[found + 1 : found + 2]
        at = found + 2
        if letter == "u":
            if not _HEX.match(text, at):
                raise ValueError(line, "\\u is not followed by four hexadecimal digits; a backslash is written \\\\")
            parts.append(chr(int(text[at : at + 4], 16)))
            at += 4
        else:
            parts.append(_ESCAPES.get(letter, letter))
    parts.append(text[at:])
    # Java's characters are UTF-16: two escapes may be one of ours.
    return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def login_module(text: str) -> tuple[str, dict[str, str]]:
    """(class, options) of a line of JAAS: `class required name="value" ...;`. ValueError(what is wrong)."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError("has a quote that does not end" if text[at] in "\"'" else "has a / outside of quotes")
        at = found.end()
        for kind in ("sign", "word"):
            if found[kind] is not None:
                tokens.append((kind, found[kind]))
        for kind in ("double", "single"):
            if found[kind] is not None:
                tokens.append(("word", _JAAS_ESCAPE.sub(_jaas_character, found[kind])))
    form = 'must be: CLASS required NAME="VALUE" ...; as in Java'
    if len(tokens) < 3 or tokens[0][0] != "word" or tokens[1][1].lower() not in _FLAGS:
        raise ValueError(form)
    if tokens[-1] != ("sign", ";"):
        raise ValueError("must end with a semicolon")
    options: dict[str, str] = {}
    rest = tokens[2:-1]
    if ("sign", ";") in rest:
        raise ValueError("must have one login module")
    if len(rest) % 3:
        raise ValueError(form)
    for name, equals, value in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        if (name[0], equals, value[0]) != ("word", ("sign", "="), "word"):
            raise ValueError(form)
        options[name[1]] = value[1]
    return tokens[0][1], options


def _jaas_character(found: re.Match[str]) -> str:
    escaped = found[1]
    return chr(int(escaped, 8)) if escaped[0] in "01234567" else _JAAS_ESCAPES.get(escaped, escaped)
