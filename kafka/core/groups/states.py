"""The life of a member of a group, as a table.

UNJOINED    not in the group: not yet, not any more, or until the reader polls again
JOINING     JoinGroup and SyncGroup are under way, or the first heartbeat of the consumer protocol
STABLE      it has its partitions, and heartbeats say that it is there
REVOKING    classic: the group rebalances; the reader is giving up partitions, then it joins again
RECONCILING consumer protocol: the reader is giving up partitions or taking them on, as the coordinator wants it
FATAL       it cannot be a member: the reader has been told why; until it subscribes again
CLOSED      it has left, or ended without
"""

from __future__ import annotations

import enum


class MemberState(enum.Enum):
    UNJOINED = "unjoined"
    JOINING = "joining"
    STABLE = "stable"
    REVOKING = "revoking"
    RECONCILING = "reconciling"
    FATAL = "fatal"
    CLOSED = "closed"

    def __repr__(self) -> str:
        return self.name


class MemberEvent(enum.Enum):
    JOIN = "joins"
    SYNCED = "has its partitions"
    REBALANCE = "somebody came or went, or something else is subscribed"
    TARGET = "the coordinator wants it to have other partitions"
    LOST = "the group has gone on without it, or it has left because nobody polled"
    REFUSED = "it cannot be a member"
    CLOSE = "the consumer ends, or unsubscribes"

    def __repr__(self) -> str:
        return self.name


_ENDS = {MemberEvent.CLOSE: MemberState.CLOSED, MemberEvent.REFUSED: MemberState.FATAL}

TRANSITIONS: dict[MemberState, dict[MemberEvent, MemberState]] = {
    MemberState.UNJOINED: {MemberEvent.JOIN: MemberState.JOINING, MemberEvent.LOST: MemberState.UNJOINED, **_ENDS},
    MemberState.JOINING: {
        MemberEvent.SYNCED: MemberState.STABLE,
        MemberEvent.TARGET: MemberState.RECONCILING,
        MemberEvent.JOIN: MemberState.JOINING,
        MemberEvent.LOST: MemberState.UNJOINED,
        **_ENDS,
    },
    MemberState.STABLE: {
        MemberEvent.REBALANCE: MemberState.REVOKING,
        MemberEvent.TARGET: MemberState.RECONCILING,
        MemberEvent.LOST: MemberState.UNJOINED,
        **_ENDS,
    },
    MemberState.REVOKING: {MemberEvent.JOIN: MemberState.JOINING, MemberEvent.LOST: MemberState.UNJOINED, **_ENDS},
    MemberState.RECONCILING: {
        MemberEvent.TARGET: MemberState.RECONCILING,
        MemberEvent.SYNCED: MemberState.STABLE,
        MemberEvent.LOST: MemberState.UNJOINED,
        **_ENDS,
    },
    MemberState.FATAL: {MemberEvent.CLOSE: MemberState.CLOSED},
    MemberState.CLOSED: {},
}
