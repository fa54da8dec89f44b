"""What may wait behind what at a broker, which works on one request of a connection at a time."""

from __future__ import annotations

import enum


class Lane(enum.IntEnum):
    CONTROL = 0  # short answers: metadata, heartbeats, commits, administration
    PRODUCE = 1
    FETCH = 2  # long polls: Fetch, ShareFetch
    GROUP = 3  # JoinGroup, SyncGroup: minutes
    FETCH_NOW = 4  # Fetches that cannot wait for the long poll before them


# Each lane's requests go over a connection of their own, made on first use; but a producer has one connection a broker.
CONNECTION_OF = {
    Lane.CONTROL: Lane.CONTROL,
    Lane.PRODUCE: Lane.CONTROL,
    Lane.FETCH: Lane.FETCH,
    Lane.GROUP: Lane.GROUP,
    Lane.FETCH_NOW: Lane.FETCH_NOW,
}
