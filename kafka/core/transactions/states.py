"""The life of a transactional producer as a table; the documentation's diagram is drawn from it.

Rule 1: every change of state is an entry here. A pair that is missing is a bug of ours: what callers may do wrong is
        refused before, with an IllegalStateError.
Rule 2: COMMITTING is never entered from ABORTABLE_ERROR, and nothing leaves FATAL_ERROR.

UNINITIALIZED    no producer id yet
INITIALIZING     InitProducerId is under way
READY            between transactions
IN_TRANSACTION   records and offsets are taken
COMMITTING       everything is sent, then EndTxn(commit); where need be a new producer id
ABORTING         what is on the wire is waited for, then EndTxn(abort); where need be a new producer id
ABORTABLE_ERROR  something failed: the transaction can only be aborted, after which the producer goes on
FATAL_ERROR      this producer is of no further use: fenced, say, or not authorized
"""

from __future__ import annotations

import enum


class TransactionState(enum.Enum):
    UNINITIALIZED = "uninitialized"
    INITIALIZING = "initializing"
    READY = "ready"
    IN_TRANSACTION = "in transaction"
    COMMITTING = "committing"
    ABORTING = "aborting"
    ABORTABLE_ERROR = "abortable error"
    FATAL_ERROR = "fatal error"

    def __repr__(self) -> str:
        return self.name


class TransactionEvent(enum.Enum):
    INIT = "init_transactions"
    READY = "done"  # an id is there, and no transaction is open
    BEGIN = "begin_transaction"
    COMMIT = "commit_transaction"
    ABORT = "abort_transaction"
    ABORTABLE = "abortable"  # a record or a request failed
    FATAL = "fatal"

    def __repr__(self) -> str:
        return self.name


TRANSITIONS: dict[TransactionState, dict[TransactionEvent, TransactionState]] = {
    TransactionState.UNINITIALIZED: {
        TransactionEvent.INIT: TransactionState.INITIALIZING,
        TransactionEvent.FATAL: TransactionState.FATAL_ERROR,
    },
    TransactionState.INITIALIZING: {
        TransactionEvent.READY: TransactionState.READY,
        TransactionEvent.FATAL: TransactionState.FATAL_ERROR,
    },
    TransactionState.READY: {
        TransactionEvent.BEGIN: TransactionState.IN_TRANSACTION,
        TransactionEvent.FATAL: TransactionState.FATAL_ERROR,
    },
    TransactionState.IN_TRANSACTION: {
        TransactionEvent.COMMIT: TransactionState.COMMITTING,
        TransactionEvent.ABORT: TransactionState.ABORTING,
        TransactionEvent.ABORTABLE: TransactionState.ABORTABLE_ERROR,
        TransactionEvent.FATAL: TransactionState.FATAL_ERROR,
    },
    TransactionState.COMMITTING: {
        TransactionEvent.READY: TransactionState.READY,
        TransactionEvent.ABORTABLE: TransactionState.ABORTABLE_ERROR,
        TransactionEvent.FATAL: TransactionState.FATAL_ERROR,
    },
    TransactionState.ABORTING: {
        TransactionEvent.READY: TransactionState.READY,
        TransactionEvent.FATAL: TransactionState.FATAL_ERROR,
    },
    TransactionState.ABORTABLE_ERROR: {
        TransactionEvent.ABORT: TransactionState.ABORTING,
        TransactionEvent.FATAL: TransactionState.FATAL_ERROR,
    },
    TransactionState.FATAL_ERROR: {},
}


# What an application calls, in which states it may, and why not in the others.
INIT, BEGIN, OFFSETS, COMMIT, ABORT = (
    "init_transactions", "begin_transaction", "send_offsets_to_transaction", "commit_transaction", "abort_transaction",
)  # fmt: skip
ALLOWED = {
    INIT: (TransactionState.UNINITIALIZED, TransactionState.INITIALIZING, TransactionState.READY),
    BEGIN: (TransactionState.READY,),
    OFFSETS: (TransactionState.IN_TRANSACTION,),
    COMMIT: (TransactionState.IN_TRANSACTION, TransactionState.COMMITTING),
    ABORT: (TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR, TransactionState.ABORTING),
}
WHY_NOT = {
    TransactionState.UNINITIALIZED: "init_transactions() must be called first",
    TransactionState.INITIALIZING: "init_transactions() has not succeeded yet; call it again to go on waiting",
    TransactionState.READY: "no transaction is open; begin_transaction() opens one",
    TransactionState.IN_TRANSACTION: "a transaction is open; commit or abort it first",
    TransactionState.COMMITTING: "commit_transaction() is not over yet; call it again to learn what becomes of it",
    TransactionState.ABORTING: "abort_transaction() is not over yet; call it again to go on waiting",
}


def diagram() -> str:
    """The table as a Mermaid state diagram; docs/transactions.md holds it, and a test compares."""
    lines = ["stateDiagram-v2", f"    [*] --> {TransactionState.UNINITIALIZED!r}"]
    for state, row in TRANSITIONS.items():
        lines += [f"    {state!r} --> {after!r}: {event.value}" for event, after in row.items()]
    return "\n".join(lines)
