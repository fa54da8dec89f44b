"""Ranges of versions: `"3"`, `"3-7"`, `"3+"`, `"none"`."""

from __future__ import annotations

import re
from dataclasses import dataclass

HIGHEST = 32767  # versions are int16; "3+" ends here


@dataclass(frozen=True)
class Versions:
    """All versions from `lowest` to `highest`; empty where `lowest > highest`."""

    lowest: int
    highest: int

    @classmethod
    def parse(cls, text: str) -> Versions:
        if text == "none":
            return NONE
        match = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text)
        if match is None:
            raise ValueError(f"versions {text!r} are not one of 'none', 'N', 'N-M', 'N+'")
        lowest = int(match[1])
        highest = HIGHEST if match[2] else int(match[3] or lowest)
        if lowest > highest or highest > HIGHEST:
            raise ValueError(f"versions {text!r} are not a range")
        return cls(lowest, highest)

    def __bool__(self) -> bool:
        return self.lowest <= self.highest

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.lowest <= version <= self.highest

    def __and__(self, other: Versions) -> Versions:
        both = Versions(max(self.lowest, other.lowest), min(self.highest, other.highest))
        return both if both else NONE

    def covers(self, other: Versions) -> bool:
        return not other or (self.lowest <= other.lowest and other.highest <= self.highest)

    def __str__(self) -> str:
        if not self:
            return "none"
        if self.highest == HIGHEST:
            return f"{self.lowest}+"
        return str(self.lowest) if self.lowest == self.highest else f"{self.lowest}-{self.highest}"


NONE = Versions(0, -1)
