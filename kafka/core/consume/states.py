"""The life of a partition that is read, as a table.

UNPLACED    where to begin is not known; whoever assigned it will say (committed offsets are being asked for)
LOOKING_UP  where to begin is asked of its leader, by time: the start, the end, or a timestamp
FETCHING    records are fetched
CHECKING    its new leader is asked whether it has what was read; old brokers say so only then
STUCK       nothing is fetched until somebody seeks: the reader has been told why

Whether it is paused has nothing to do with that.
"""

from __future__ import annotations

import enum


class FetchState(enum.Enum):
    UNPLACED = "unplaced"
    LOOKING_UP = "looking up"
    FETCHING = "fetching"
    CHECKING = "checking"
    STUCK = "stuck"

    def __repr__(self) -> str:
        return self.name


class FetchEvent(enum.Enum):
    PLACE = "an offset is given"
    LOOK_UP = "it is to begin at a time, not an offset"
    FOUND = "its leader has said where that is"
    CHECK = "its leader has changed, and does not say by itself whether it has what was read"
    CHECKED = "the leader has been asked"
    LOST = "there is nothing at its offset, and no policy says where to go on"
    BROKEN = "its reader cannot get past what is there"

    def __repr__(self) -> str:
        return self.name


_ANYWHERE = {
    FetchEvent.PLACE: FetchState.FETCHING,
    FetchEvent.LOOK_UP: FetchState.LOOKING_UP,
    FetchEvent.BROKEN: FetchState.STUCK,
}

TRANSITIONS: dict[FetchState, dict[FetchEvent, FetchState]] = {
    FetchState.UNPLACED: {**_ANYWHERE, FetchEvent.LOST: FetchState.STUCK},
    FetchState.LOOKING_UP: {**_ANYWHERE, FetchEvent.FOUND: FetchState.FETCHING, FetchEvent.LOST: FetchState.STUCK},
    FetchState.FETCHING: {
        **_ANYWHERE,
        FetchEvent.CHECK: FetchState.CHECKING,
        FetchEvent.LOST: FetchState.STUCK,
    },
    FetchState.CHECKING: {**_ANYWHERE, FetchEvent.CHECKED: FetchState.FETCHING, FetchEvent.LOST: FetchState.STUCK},
    FetchState.STUCK: _ANYWHERE,
}
