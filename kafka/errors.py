"""Every error of this package, in one tree. Names and ancestry are those of kafka-python 3.

Errors are values first: the codec and the core hand them around in `Err(...)`, and broker errors
come as shared instances from `for_code`. What raises one of them raises `error.fresh()`, so that
shared instances never collect tracebacks. All of them can be pickled.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Persisted(enum.Enum):
    """What is known of a record that was not reported as delivered."""

    NOT_PERSISTED = "it is not in the log, and will not be: sending it again cannot double it"
    POSSIBLY_PERSISTED = "it may be in the log, or get there: sending it again may double it"

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


class KafkaError(Exception):
    """The root. `retriable`: the same request may succeed later. `invalid_metadata`: the client's
    view of the cluster is out of date. `hint`: what the reader can do about it, if anything.
    `persisted`: on the error of a record that was not delivered, whether it may be in the log all the same; `place`:
    where it was to go, "topic[partition]", or "topic name" while no partition was chosen; on other errors what they
    are about, where that would not be clear.
    `errno`: the code, where a broker answered with one.
    """

    retriable: bool = False
    invalid_metadata: bool = False
    hint: str | None = None
    persisted: Persisted | None = None
    place: str | None = None
    errno: int | None = None

    def _sentence(self) -> str:
        return super().__str__()

    def __str__(self) -> str:
        sentence = self._sentence()
        if self.place is not None and self.place not in sentence:
            sentence = f"{self.place}: {sentence}" if sentence else self.place
        text = f"{type(self).__name__}: {sentence}" if sentence else type(self).__name__
        if self.hint is None:
            return text
        return f"{text}{'' if text.endswith('.') else '.'} Hint: {self.hint}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KafkaError) and type(self) is type(other) and self.args == other.args

    def __hash__(self) -> int:
        return hash(type(self))  # args may hold anything, a dict too

    def about(self, place: str) -> Self:
        """`fresh`, with a `place` where it has none."""
        twin = self.fresh()
        if twin.place is None:
            twin.place = place
        return twin

    def fresh(self) -> Self:
        """A copy without a traceback, to be raised in place of this (perhaps shared) instance."""
        from copy import copy

        twin = copy(self)
        twin.__cause__ = self.__cause__
        return twin


class RetriableError(KafkaError):
    """The same request may succeed later."""

    retriable = True


class InvalidMetadataError(RetriableError):
    """The client's view of the cluster is out of date; refresh it, then retry."""

    invalid_metadata = True


# The wire --------------------------------------------------------------------------------------


class KafkaProtocolError(KafkaError):
    """Bytes or fields do not follow Kafka's protocol."""


class ProtocolError(KafkaProtocolError):
    """Of our own codec and connection."""


class DecodeError(ProtocolError):
    """Bytes that are not a valid `message` of `version`.

    `path` names the field (`topics[3].partitions[1].leader_id`, "" for the message itself), `offset`
    is where in the bytes it went wrong (-1 where there are none, as in JSON).
    """

    def __init__(self, message: str, version: int, path: str, offset: int, reason: str) -> None:
        super().__init__(message, version, path, offset, reason)
        self.message = message
        self.version = version
        self.path = path
        self.offset = offset
        self.reason = reason

    def _sentence(self) -> str:
        at = f", at {self.offset}" if self.offset >= 0 else ""
        return f"{self.message} v{self.version}: {self.path + ': ' if self.path else ''}{self.reason}{at}"


class EncodeError(ProtocolError):
    """A value that the field at `path` of `message` cannot hold."""

    def __init__(self, message: str, version: int, path: str, reason: str) -> None:
        super().__init__(message, version, path, reason)
        self.message = message
        self.version = version
        self.path = path
        self.reason = reason

    def _sentence(self) -> str:
        return f"{self.message} v{self.version}: {self.path + ': ' if self.path else ''}{self.reason}"


class UnsupportedField(ProtocolError):
    """`field` (a path) has a value, but `version` of `message` has no such field, and it matters."""

    hint = "Use a version that has the field, leave it at its default, or encode with lenient=True."

    def __init__(self, message: str, version: int, field: str, value: Any) -> None:
        super().__init__(message, version, field, value)
        self.message = message
        self.version = version
        self.field = field
        self.value = value

    def _sentence(self) -> str:
        shown = repr(self.value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return f"{self.message} v{self.version} has no field {self.field}, which is set to {shown}."


class CorrelationIdError(RetriableError, ProtocolError):
    """A response came whose correlation id is not that of the oldest open request."""


CorrelationError = CorrelationIdError


class InvalidReceiveError(KafkaProtocolError):
    """A frame whose size cannot be right."""


# Transport -------------------------------------------------------------------------------------


class KafkaConnectionError(InvalidMetadataError):
    """A connection failed. `address`: "host:port"; `stage`: what was being done ("resolve", "connect",
    "tls", "api-versions", "sasl", "read", ...); `cause`: the exception or text behind it; `closed_by_peer`:
    whether it was up, and the peer ended it; `is_mistake`: somebody has to change something, here or there, before it
    can go better.
    """

    closed_by_peer: bool = False
    is_mistake: bool = False

    def __init__(
        self,
        *args: Any,
        address: str | None = None,
        stage: str | None = None,
        cause: BaseException | str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(*args)
        self.address = address
        self.stage = stage
        self.cause = cause
        if hint is not None:
            self.hint = hint

    def _sentence(self) -> str:
        parts = [str(arg) for arg in self.args]
        if self.address is not None:
            parts.append(f"{self.address} failed" + (f" in stage {self.stage}" if self.stage else ""))
        if isinstance(self.cause, BaseException) and not isinstance(self.cause, KafkaError):
            parts.append(f"{type(self.cause).__name__}: {self.cause}")
        elif self.cause is not None:
            parts.append(str(self.cause))
        return ": ".join(parts)


class NodeNotReadyError(RetriableError):
    """The connection to this node is not up yet."""


class UnknownBrokerIdError(KafkaError):
    """The cluster has no broker of this id."""


class TooManyInFlightRequests(RetriableError):
    """The connection has as many requests in flight as it may."""


class UnrecognizedBrokerVersion(KafkaError):
    """The broker's set of API versions is not one that this client can talk to."""


# The client ------------------------------------------------------------------------------------


class Cancelled(RetriableError):
    """The request was given up before it was answered."""


class CommitFailedError(KafkaError):
    """The group has moved on without this member; its offsets were not committed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(
            *args or ("The offsets were not committed: the group has given the partitions to another member.",)
        )


class IllegalArgumentError(KafkaError):
    """An argument that cannot be."""


class IllegalStateError(KafkaError):
    """The object is in a state in which this call is not possible."""


class KafkaConfigurationError(KafkaError):
    """The configuration is not valid."""


class ConfigurationValueError(KafkaConfigurationError, ValueError):
    """A configuration key that does not exist, has an impossible value, or contradicts another."""


class KafkaTimeoutError(RetriableError):
    """The operation did not end within its time."""


class UnknownPartitionError(KafkaTimeoutError, ValueError):
    """The topic has no partition of this number, or not yet."""

    hint = "Partitions are numbered from 0. Add partitions to the topic, or leave out `partition`."


class CredentialsError(KafkaError):
    """What the client was to authenticate with could not be had: whoever was asked for it failed, or has not answered.

    `__cause__` is what was raised, if anything was. `retriable`: it may pass by itself, and was tried for 3 seconds.
    """


class NoBrokersAvailable(KafkaTimeoutError):
    """No bootstrap server could be reached (kafka-python 2.x has this name)."""

    invalid_metadata = True


class MetadataEmptyBrokerList(RetriableError):
    """The metadata names no broker."""


class StaleMetadata(InvalidMetadataError):
    """The metadata does not contain what the request needs."""


class AssignorError(KafkaError):
    """An assignor of one's own, in `partition_assignment_strategy`, has failed; what it raised is `__cause__`."""

    hint = "The consumer has left its group: mend the assignor, and subscribe again or make a new consumer."


class RecordDeserializationError(KafkaError):
    """A deserializer raised on a record; what it raised is `__cause__`.

    `record`: the record with its raw bytes; `what`: "key" or "value". Records before it were handed out; reading goes
    on with the next one after `seek(partition, record.offset + 1)`. Nobody tries again before the position is moved.
    """

    hint = "Seek past this record to read on, or to it for another try."

    def __init__(self, record: Any = None, what: str = "value", reason: str = "", *args: Any) -> None:
        super().__init__(record, what, reason, *args)
        self.record = record
        self.what = what
        self.reason = reason

    def _sentence(self) -> str:
        record = self.record
        where = "" if record is None else f" at offset {record.offset} of {record.topic}[{record.partition}]"
        return f"The {self.what} of the record{where} cannot be deserialized: {self.reason}"


class NoOffsetForPartitionError(KafkaError):
    """The partition has no committed offset, and auto_offset_reset is "none"."""


class LogTruncationError(KafkaError):
    """The partition's log was truncated below the position of the consumer (KIP-320): it has read
    records that exist no longer.

    `divergent_offsets`: TopicPartition -> OffsetAndMetadata of the last common offset, or None where
    the leader knows none.
    """

    def __init__(self, divergent_offsets: Mapping[Any, Any], *args: Any) -> None:
        super().__init__(divergent_offsets, *args)
        self.divergent_offsets = divergent_offsets

    def _sentence(self) -> str:
        if len(self.args) > 1:
            return " ".join(str(arg) for arg in self.args[1:])
        return f"The log was truncated below the consumer's position: {self.divergent_offsets}"


class QuotaViolationError(KafkaError):
    """A metric has passed its quota."""


class UnsupportedCodecError(KafkaError):
    """The package that does this compression type is not installed, or does not load."""


class TransactionAbortedError(KafkaError):
    """The batch was not sent because the application aborted its transaction. The producer goes on."""

    message = "The transaction was aborted before this batch was sent"


class DeliveryFailed(KafkaError):
    """Records failed and nobody had looked at their futures.

    `count`: how many records; `errors`: (topic, partition) -> the first error there.
    """

    def __init__(self, count: int, errors: Mapping[tuple[str, int | None], BaseException]) -> None:
        super().__init__(count, errors)
        self.count = count
        self.errors = errors

    def _sentence(self) -> str:
        first = "; ".join(
            str(error)
            if getattr(error, "place", None)
            else f"{topic}[{'?' if partition is None else partition}]: {error}"
            for (topic, partition), error in list(self.errors.items())[:5]
        )
        more = f"; and {len(self.errors) - 5} more partitions" if len(self.errors) > 5 else ""
        return (
            f"{self.count} record{'' if self.count == 1 else 's'} could not be delivered. First errors: {first}{more}"
        )


# What brokers answer ---------------------------------------------------------------------------


class BrokerResponseError(KafkaError):
    """An error code in a broker's answer, `errno`. `message`: Kafka's name for it;
    `description`: what it means. The broker's own text, if it sent one, is `args[0]`.
    """

    errno: int | None = None
    message: str | None = None
    description: str | None = None

    def _sentence(self) -> str:
        said = " ".join(str(arg) for arg in self.args)
        if self.description is not None and (not said or isinstance(self.args[0], Mapping)):  # that names what, not why
            said = f"{self.description} {said}".rstrip()
        return said

    def __str__(self) -> str:
        return f"[Error {self.errno}] {super().__str__()}"


class AuthorizationError(BrokerResponseError):
    """The broker knows the client, but the client may not do this."""


# generated by codegen from schemas/errors.json: begin


class UnknownError(BrokerResponseError):
    errno = -1
    message = "UNKNOWN"
    description = "The broker met an error that it did not expect; its log says more."


class NoError(BrokerResponseError):
    errno = 0
    message = "NO_ERROR"
    description = "The request succeeded."


class OffsetOutOfRangeError(BrokerResponseError):
    errno = 1
    message = "OFFSET_OUT_OF_RANGE"
    description = "The broker's log of this partition does not contain the requested offset."
    hint = (
        "What lies before the log was deleted, by retention for instance; what lies behind it was "
        "not written yet, or is lost. Seek, or set auto_offset_reset."
    )


class CorruptRecordError(RetriableError, BrokerResponseError):
    errno = 2
    message = "CORRUPT_MESSAGE"
    description = "A record batch failed its checksum, has an invalid size, or has no key in a compacted topic."


class UnknownTopicOrPartitionError(InvalidMetadataError, BrokerResponseError):
    errno = 3
    message = "UNKNOWN_TOPIC_OR_PARTITION"
    description = "This broker knows no such topic or partition."
    hint = "Create the topic first, or check its name and the permission to describe it."


class InvalidFetchRequestError(BrokerResponseError):
    errno = 4
    message = "INVALID_FETCH_SIZE"
    description = "The fetch size of the request is not valid."


class LeaderNotAvailableError(InvalidMetadataError, BrokerResponseError):
    errno = 5
    message = "LEADER_NOT_AVAILABLE"
    description = "The partition has no leader at the moment, for instance because one is being elected."


class NotLeaderForPartitionError(InvalidMetadataError, BrokerResponseError):
    errno = 6
    message = "NOT_LEADER_FOR_PARTITION"
    description = "This broker is not (or is no longer) the leader or a replica of the partition."


class RequestTimedOutError(RetriableError, BrokerResponseError):
    errno = 7
    message = "REQUEST_TIMED_OUT"
    description = "The broker could not complete the request within the time that the request allows."


class BrokerNotAvailableError(BrokerResponseError):
    errno = 8
    message = "BROKER_NOT_AVAILABLE"
    description = "The broker needed for this request is not alive."


class ReplicaNotAvailableError(InvalidMetadataError, BrokerResponseError):
    errno = 9
    message = "REPLICA_NOT_AVAILABLE"
    description = "A replica of the partition was expected on this broker but is not there."


class MessageSizeTooLargeError(BrokerResponseError):
    errno = 10
    message = "MESSAGE_SIZE_TOO_LARGE"
    description = "The record batch is larger than the broker or the topic allows."
    hint = (
        "Raise max.message.bytes of the topic (message.max.bytes of the brokers), or send less in "
        "a record. With max_request_size at that limit send() refuses what is larger."
    )


class StaleControllerEpochError(BrokerResponseError):
    errno = 11
    message = "STALE_CONTROLLER_EPOCH"
    description = "The controller that sent this request has been replaced by a newer one."


class OffsetMetadataTooLargeError(BrokerResponseError):
    errno = 12
    message = "OFFSET_METADATA_TOO_LARGE"
    description = "The metadata string of a committed offset is longer than the broker allows."
    hint = "The broker's offset.metadata.max.bytes is the limit."


class NetworkExceptionError(InvalidMetadataError, BrokerResponseError):
    errno = 13
    message = "NETWORK_EXCEPTION"
    description = "The connection was lost before an answer came."


class CoordinatorLoadInProgressError(RetriableError, BrokerResponseError):
    errno = 14
    message = "COORDINATOR_LOAD_IN_PROGRESS"
    description = "The coordinator is still loading its state and cannot answer yet."


class CoordinatorNotAvailableError(RetriableError, BrokerResponseError):
    errno = 15
    message = "COORDINATOR_NOT_AVAILABLE"
    description = "No coordinator is available for this group or transactional id at the moment."


class NotCoordinatorError(RetriableError, BrokerResponseError):
    errno = 16
    message = "NOT_COORDINATOR"
    description = "This broker is not the coordinator of this group or transactional id."


class InvalidTopicError(BrokerResponseError):
    errno = 17
    message = "INVALID_TOPIC"
    description = "The topic name is not legal, or the topic may not be used in this way."
    hint = (
        "Legal are up to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'. Topics of Kafka's "
        "own, such as __consumer_offsets, take no records from clients."
    )


class RecordListTooLargeError(BrokerResponseError):
    errno = 18
    message = "RECORD_LIST_TOO_LARGE"
    description = "The record batch is larger than a log segment of the topic."
    hint = "Raise segment.bytes of the topic, or lower batch_size."


class NotEnoughReplicasError(RetriableError, BrokerResponseError):
    errno = 19
    message = "NOT_ENOUGH_REPLICAS"
    description = "Fewer replicas are in sync than min.insync.replicas asks for; nothing was written."
    hint = "Look for brokers that are down, or for a min.insync.replicas that the topic cannot meet."


class NotEnoughReplicasAfterAppendError(RetriableError, BrokerResponseError):
    errno = 20
    message = "NOT_ENOUGH_REPLICAS_AFTER_APPEND"
    description = "The records were written, but to fewer in-sync replicas than required."
    hint = "Look for brokers that are down or replicas that lag."


class InvalidRequiredAcksError(BrokerResponseError):
    errno = 21
    message = "INVALID_REQUIRED_ACKS"
    description = "The broker does not accept this value of acks; -1, 0 and 1 are valid."


class IllegalGenerationError(BrokerResponseError):
    errno = 22
    message = "ILLEGAL_GENERATION"
    description = "The generation in the request is not the group's current one."


class InconsistentGroupProtocolError(BrokerResponseError):
    errno = 23
    message = "INCONSISTENT_GROUP_PROTOCOL"
    description = "The member's protocol type or its protocols do not fit those of the group."


class InvalidGroupIdError(BrokerResponseError):
    errno = 24
    message = "INVALID_GROUP_ID"
    description = "The group id is empty or not legal."


class UnknownMemberIdError(BrokerResponseError):
    errno = 25
    message = "UNKNOWN_MEMBER_ID"
    description = "The coordinator does not know this member of the group."


class InvalidSessionTimeoutError(BrokerResponseError):
    errno = 26
    message = "INVALID_SESSION_TIMEOUT"
    description = "The session timeout is outside the range that the broker allows."
    hint = "The limits are the broker's group.min.session.timeout.ms and group.max.session.timeout.ms."


class RebalanceInProgressError(BrokerResponseError):
    errno = 27
    message = "REBALANCE_IN_PROGRESS"
    description = "The group is rebalancing; the member has to join again."


class InvalidCommitOffsetSizeError(BrokerResponseError):
    errno = 28
    message = "INVALID_COMMIT_OFFSET_SIZE"
    description = "The commit was rejected because its offset data is too large."


class TopicAuthorizationFailedError(AuthorizationError):
    errno = 29
    message = "TOPIC_AUTHORIZATION_FAILED"
    description = "This client has no permission for the topic."
    hint = "Grant the principal Write (to produce), Read (to consume), or whatever else it does, on the topic."


class GroupAuthorizationFailedError(AuthorizationError):
    errno = 30
    message = "GROUP_AUTHORIZATION_FAILED"
    description = "This client has no permission for the group."
    hint = "Grant the principal Read on the group (to administer it: Describe or Delete)."


class ClusterAuthorizationFailedError(AuthorizationError):
    errno = 31
    message = "CLUSTER_AUTHORIZATION_FAILED"
    description = "This client has no permission for this operation on the cluster."


class InvalidTimestampError(BrokerResponseError):
    errno = 32
    message = "INVALID_TIMESTAMP"
    description = "The timestamp of a record is outside the range that the topic accepts."
    hint = (
        "Timestamps are milliseconds since 1970; the topic limits them by "
        "message.timestamp.before.max.ms and .after.max.ms (before Kafka 3.6 by message.timestamp.difference.max.ms)."
    )


class UnsupportedSaslMechanismError(BrokerResponseError):
    errno = 33
    message = "UNSUPPORTED_SASL_MECHANISM"
    description = "The broker does not offer the requested SASL mechanism."
    hint = "Choose one of the mechanisms that the broker has in sasl.enabled.mechanisms."


class IllegalSaslStateError(BrokerResponseError):
    errno = 34
    message = "ILLEGAL_SASL_STATE"
    description = "The request does not fit the state of the SASL authentication."
    hint = "The listener may expect another security_protocol."


class UnsupportedVersionError(BrokerResponseError):
    errno = 35
    message = "UNSUPPORTED_VERSION"
    description = "The broker does not support this version of the request."


class TopicAlreadyExistsError(BrokerResponseError):
    errno = 36
    message = "TOPIC_ALREADY_EXISTS"
    description = "A topic of this name exists already."


class InvalidPartitionsError(BrokerResponseError):
    errno = 37
    message = "INVALID_PARTITIONS"
    description = "The number of partitions is not valid."


class InvalidReplicationFactorError(BrokerResponseError):
    errno = 38
    message = "INVALID_REPLICATION_FACTOR"
    description = "The replication factor is below 1 or larger than the number of brokers available."
    hint = "Use at most as many replicas as there are brokers."


class InvalidReplicationAssignmentError(BrokerResponseError):
    errno = 39
    message = "INVALID_REPLICATION_ASSIGNMENT"
    description = "The assignment of replicas to brokers is not valid."


class InvalidConfigurationError(BrokerResponseError):
    errno = 40
    message = "INVALID_CONFIG"
    description = "A configuration value is not valid."


class NotControllerError(RetriableError, BrokerResponseError):
    errno = 41
    message = "NOT_CONTROLLER"
    description = "This broker is not the controller of the cluster."


class InvalidRequestError(BrokerResponseError):
    errno = 42
    message = "INVALID_REQUEST"
    description = "The broker could not make sense of the request; its log says why."


class UnsupportedForMessageFormatError(BrokerResponseError):
    errno = 43
    message = "UNSUPPORTED_FOR_MESSAGE_FORMAT"
    description = "The record format of the topic does not support this request."


class PolicyViolationError(BrokerResponseError):
    errno = 44
    message = "POLICY_VIOLATION"
    description = "The request violates a policy configured on the broker."


class OutOfOrderSequenceNumberError(BrokerResponseError):
    errno = 45
    message = "OUT_OF_ORDER_SEQUENCE_NUMBER"
    description = "The broker got a batch whose sequence does not follow the last one it has."


class DuplicateSequenceNumberError(BrokerResponseError):
    errno = 46
    message = "DUPLICATE_SEQUENCE_NUMBER"
    description = "The broker has a batch with this sequence already."


class InvalidProducerEpochError(BrokerResponseError):
    errno = 47
    message = "INVALID_PRODUCER_EPOCH"
    description = "The producer's epoch is older than the one the broker knows."
    hint = "If it has a transactional id, another producer with the same one may be running."


class InvalidTxnStateError(BrokerResponseError):
    errno = 48
    message = "INVALID_TXN_STATE"
    description = "The transaction is in a state in which this request is not possible."


class InvalidProducerIdMappingError(BrokerResponseError):
    errno = 49
    message = "INVALID_PRODUCER_ID_MAPPING"
    description = "The producer id does not belong to this transactional id."


class InvalidTransactionTimeoutError(BrokerResponseError):
    errno = 50
    message = "INVALID_TRANSACTION_TIMEOUT"
    description = "The transaction timeout is larger than the broker's transaction.max.timeout.ms."
    hint = "Lower transaction_timeout_ms, or raise transaction.max.timeout.ms of the brokers."


class ConcurrentTransactionsError(RetriableError, BrokerResponseError):
    errno = 51
    message = "CONCURRENT_TRANSACTIONS"
    description = "The previous transaction of this transactional id is still being completed."


class TransactionCoordinatorFencedError(BrokerResponseError):
    errno = 52
    message = "TRANSACTION_COORDINATOR_FENCED"
    description = "A newer transaction coordinator has taken over."


class TransactionalIdAuthorizationFailedError(AuthorizationError):
    errno = 53
    message = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    description = "This client has no permission for the transactional id."
    hint = "Grant the principal Write and Describe on the transactional id."


class SecurityDisabledError(BrokerResponseError):
    errno = 54
    message = "SECURITY_DISABLED"
    description = "The broker has no authorizer, so there are no ACLs to manage."


class OperationNotAttemptedError(BrokerResponseError):
    errno = 55
    message = "OPERATION_NOT_ATTEMPTED"
    description = "The broker did not attempt this operation because another one in the request failed."


class KafkaStorageError(InvalidMetadataError, BrokerResponseError):
    errno = 56
    message = "KAFKA_STORAGE_ERROR"
    description = "The broker could not read or write its log on disk."
    hint = "Look at the broker's log, and at its disks."


class LogDirNotFoundError(BrokerResponseError):
    errno = 57
    message = "LOG_DIR_NOT_FOUND"
    description = "The broker has no such log directory."


class SaslAuthenticationFailedError(BrokerResponseError):
    errno = 58
    message = "SASL_AUTHENTICATION_FAILED"
    description = "The broker rejected the credentials."
    hint = "Check the user name, the password and the mechanism."


class UnknownProducerIdError(BrokerResponseError):
    errno = 59
    message = "UNKNOWN_PRODUCER_ID"
    description = "The broker has no state for this producer id on the partition."


class ReassignmentInProgressError(BrokerResponseError):
    errno = 60
    message = "REASSIGNMENT_IN_PROGRESS"
    description = "The partitions are being reassigned at the moment."


class DelegationTokenAuthDisabledError(BrokerResponseError):
    errno = 61
    message = "DELEGATION_TOKEN_AUTH_DISABLED"
    description = "Delegation tokens are not enabled on the cluster."


class DelegationTokenNotFoundError(BrokerResponseError):
    errno = 62
    message = "DELEGATION_TOKEN_NOT_FOUND"
    description = "The broker does not know this delegation token."


class DelegationTokenOwnerMismatchError(BrokerResponseError):
    errno = 63
    message = "DELEGATION_TOKEN_OWNER_MISMATCH"
    description = "The principal is neither the owner nor a renewer of the delegation token."


class DelegationTokenRequestNotAllowedError(BrokerResponseError):
    errno = 64
    message = "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED"
    description = "Delegation tokens cannot be requested over this kind of connection."


class DelegationTokenAuthorizationFailedError(AuthorizationError):
    errno = 65
    message = "DELEGATION_TOKEN_AUTHORIZATION_FAILED"
    description = "This client has no permission for the delegation token."


class DelegationTokenExpiredError(BrokerResponseError):
    errno = 66
    message = "DELEGATION_TOKEN_EXPIRED"
    description = "The delegation token has expired."


class InvalidPrincipalTypeError(BrokerResponseError):
    errno = 67
    message = "INVALID_PRINCIPAL_TYPE"
    description = "The type of the principal is not supported."


class NonEmptyGroupError(BrokerResponseError):
    errno = 68
    message = "NON_EMPTY_GROUP"
    description = "The group still has members."


class GroupIdNotFoundError(BrokerResponseError):
    errno = 69
    message = "GROUP_ID_NOT_FOUND"
    description = "There is no such group."


class FetchSessionIdNotFoundError(RetriableError, BrokerResponseError):
    errno = 70
    message = "FETCH_SESSION_ID_NOT_FOUND"
    description = "The broker does not know this fetch session (any more)."


class InvalidFetchSessionEpochError(RetriableError, BrokerResponseError):
    errno = 71
    message = "INVALID_FETCH_SESSION_EPOCH"
    description = "The epoch of the fetch session is not the one the broker expects."


class ListenerNotFoundError(InvalidMetadataError, BrokerResponseError):
    errno = 72
    message = "LISTENER_NOT_FOUND"
    description = "The leader has no listener of the name through which this client asked."
    hint = "Every broker needs a listener of the name that the bootstrap address uses."


class TopicDeletionDisabledError(BrokerResponseError):
    errno = 73
    message = "TOPIC_DELETION_DISABLED"
    description = "Deleting topics is disabled on the cluster."


class FencedLeaderEpochError(InvalidMetadataError, BrokerResponseError):
    errno = 74
    message = "FENCED_LEADER_EPOCH"
    description = "The leader epoch of the request is older than the broker's."


class UnknownLeaderEpochError(InvalidMetadataError, BrokerResponseError):
    errno = 75
    message = "UNKNOWN_LEADER_EPOCH"
    description = "The leader epoch of the request is newer than the broker's."


class UnsupportedCompressionTypeError(BrokerResponseError):
    errno = 76
    message = "UNSUPPORTED_COMPRESSION_TYPE"
    description = "The compression type of the records is not supported by the other side."
    hint = "Choose another compression_type; zstd needs Kafka 2.1."


class StaleBrokerEpochError(BrokerResponseError):
    errno = 77
    message = "STALE_BROKER_EPOCH"
    description = "The epoch of the broker in the request is out of date."


class OffsetNotAvailableError(RetriableError, BrokerResponseError):
    errno = 78
    message = "OFFSET_NOT_AVAILABLE"
    description = "The new leader cannot answer for offsets yet; its high watermark has to catch up first."


class MemberIdRequiredError(BrokerResponseError):
    errno = 79
    message = "MEMBER_ID_REQUIRED"
    description = "The member has to join the group again with the member id that it was given."


class PreferredLeaderNotAvailableError(InvalidMetadataError, BrokerResponseError):
    errno = 80
    message = "PREFERRED_LEADER_NOT_AVAILABLE"
    description = "The preferred leader of the partition is not available."


class GroupMaxSizeReachedError(BrokerResponseError):
    errno = 81
    message = "GROUP_MAX_SIZE_REACHED"
    description = "The group has reached its maximum number of members."


class FencedInstanceIdError(BrokerResponseError):
    errno = 82
    message = "FENCED_INSTANCE_ID"
    description = "Another member has joined the group with the same group.instance.id."
    hint = "Give each member its own group_instance_id."


class EligibleLeadersNotAvailableError(InvalidMetadataError, BrokerResponseError):
    errno = 83
    message = "ELIGIBLE_LEADERS_NOT_AVAILABLE"
    description = "No replica that could become leader of the partition is available."


class ElectionNotNeededError(InvalidMetadataError, BrokerResponseError):
    errno = 84
    message = "ELECTION_NOT_NEEDED"
    description = "The partition does not need a leader election."


class NoReassignmentInProgressError(BrokerResponseError):
    errno = 85
    message = "NO_REASSIGNMENT_IN_PROGRESS"
    description = "The partition is not being reassigned."


class GroupSubscribedToTopicError(BrokerResponseError):
    errno = 86
    message = "GROUP_SUBSCRIBED_TO_TOPIC"
    description = "Offsets cannot be deleted while the group is subscribed to the topic."


class InvalidRecordError(BrokerResponseError):
    errno = 87
    message = "INVALID_RECORD"
    description = "The broker rejected a record as invalid, and with it the batch."


class UnstableOffsetCommitError(RetriableError, BrokerResponseError):
    errno = 88
    message = "UNSTABLE_OFFSET_COMMIT"
    description = "Offsets of the group are part of a transaction that has not completed yet."


class ThrottlingQuotaExceededError(RetriableError, BrokerResponseError):
    errno = 89
    message = "THROTTLING_QUOTA_EXCEEDED"
    description = "A quota is used up; the request may succeed after the throttle time."


class ProducerFencedError(BrokerResponseError):
    errno = 90
    message = "PRODUCER_FENCED"
    description = "A newer producer with the same transactional id has taken over."
    hint = "Close this producer; only one may use a transactional id at a time."


class ResourceNotFoundError(BrokerResponseError):
    errno = 91
    message = "RESOURCE_NOT_FOUND"
    description = "The resource named in the request does not exist."


class DuplicateResourceError(BrokerResponseError):
    errno = 92
    message = "DUPLICATE_RESOURCE"
    description = "The request names the same resource twice."


class UnacceptableCredentialError(BrokerResponseError):
    errno = 93
    message = "UNACCEPTABLE_CREDENTIAL"
    description = "The credential does not meet the broker's requirements."


class InconsistentVoterSetError(BrokerResponseError):
    errno = 94
    message = "INCONSISTENT_VOTER_SET"
    description = "Sender or receiver of the request is not among the expected voters."


class InvalidUpdateVersionError(BrokerResponseError):
    errno = 95
    message = "INVALID_UPDATE_VERSION"
    description = "The version given for the update is not valid."


class FeatureUpdateFailedError(BrokerResponseError):
    errno = 96
    message = "FEATURE_UPDATE_FAILED"
    description = "The finalized features could not be updated because of a server error."


class PrincipalDeserializationFailureError(BrokerResponseError):
    errno = 97
    message = "PRINCIPAL_DESERIALIZATION_FAILURE"
    description = "A forwarded request's principal could not be read by the controller."


class SnapshotNotFoundError(BrokerResponseError):
    errno = 98
    message = "SNAPSHOT_NOT_FOUND"
    description = "The requested snapshot does not exist."


class PositionOutOfRangeError(BrokerResponseError):
    errno = 99
    message = "POSITION_OUT_OF_RANGE"
    description = "The requested position lies outside the snapshot."


class UnknownTopicIdError(InvalidMetadataError, BrokerResponseError):
    errno = 100
    message = "UNKNOWN_TOPIC_ID"
    description = "This broker knows no topic of this id."


class DuplicateBrokerRegistrationError(BrokerResponseError):
    errno = 101
    message = "DUPLICATE_BROKER_REGISTRATION"
    description = "Another broker is registered under this id."


class BrokerIdNotRegisteredError(BrokerResponseError):
    errno = 102
    message = "BROKER_ID_NOT_REGISTERED"
    description = "No broker is registered under this id."


class InconsistentTopicIdError(InvalidMetadataError, BrokerResponseError):
    errno = 103
    message = "INCONSISTENT_TOPIC_ID"
    description = "The topic id of the request is not that of the log on the broker."


class InconsistentClusterIdError(BrokerResponseError):
    errno = 104
    message = "INCONSISTENT_CLUSTER_ID"
    description = "The cluster id of the request is not that of the server."


class TransactionalIdNotFoundError(BrokerResponseError):
    errno = 105
    message = "TRANSACTIONAL_ID_NOT_FOUND"
    description = "There is no such transactional id."


class FetchSessionTopicIdError(RetriableError, BrokerResponseError):
    errno = 106
    message = "FETCH_SESSION_TOPIC_ID_ERROR"
    description = "The fetch session mixes topic ids and topic names in a way that does not fit."


class IneligibleReplicaError(BrokerResponseError):
    errno = 107
    message = "INELIGIBLE_REPLICA"
    description = "A replica of the new in-sync set may not be in it."


class NewLeaderElectedError(BrokerResponseError):
    errno = 108
    message = "NEW_LEADER_ELECTED"
    description = "The partition was altered, and its leader has changed by that."


class OffsetMovedToTieredStorageError(BrokerResponseError):
    errno = 109
    message = "OFFSET_MOVED_TO_TIERED_STORAGE"
    description = "The requested offset has moved to tiered storage."


class FencedMemberEpochError(BrokerResponseError):
    errno = 110
    message = "FENCED_MEMBER_EPOCH"
    description = "The group coordinator has fenced this member; it has to give up its partitions and rejoin."


class UnreleasedInstanceIdError(BrokerResponseError):
    errno = 111
    message = "UNRELEASED_INSTANCE_ID"
    description = "Another member of the group still uses this instance id."


class UnsupportedAssignorError(BrokerResponseError):
    errno = 112
    message = "UNSUPPORTED_ASSIGNOR"
    description = "The group does not support the assignor or its version."


class StaleMemberEpochError(BrokerResponseError):
    errno = 113
    message = "STALE_MEMBER_EPOCH"
    description = "The member's epoch is out of date; it has to send a heartbeat first."


class MismatchedEndpointTypeError(BrokerResponseError):
    errno = 114
    message = "MISMATCHED_ENDPOINT_TYPE"
    description = "The request was sent to the wrong kind of endpoint (broker or controller)."


class UnsupportedEndpointTypeError(BrokerResponseError):
    errno = 115
    message = "UNSUPPORTED_ENDPOINT_TYPE"
    description = "This kind of endpoint is not supported yet."


class UnknownControllerIdError(BrokerResponseError):
    errno = 116
    message = "UNKNOWN_CONTROLLER_ID"
    description = "There is no controller of this id."


class UnknownSubscriptionIdError(BrokerResponseError):
    errno = 117
    message = "UNKNOWN_SUBSCRIPTION_ID"
    description = "The telemetry subscription id is not valid or out of date."


class TelemetryTooLargeError(BrokerResponseError):
    errno = 118
    message = "TELEMETRY_TOO_LARGE"
    description = "The telemetry payload is larger than the broker accepts."


class InvalidRegistrationError(BrokerResponseError):
    errno = 119
    message = "INVALID_REGISTRATION"
    description = "The controller considers the broker's registration invalid."


class TransactionAbortableError(BrokerResponseError):
    errno = 120
    message = "TRANSACTION_ABORTABLE"
    description = "The transaction failed on the server; it can be aborted, and the producer goes on."


class InvalidRecordStateError(BrokerResponseError):
    errno = 121
    message = "INVALID_RECORD_STATE"
    description = "The record's delivery state does not allow this acknowledgement."


class ShareSessionNotFoundError(RetriableError, BrokerResponseError):
    errno = 122
    message = "SHARE_SESSION_NOT_FOUND"
    description = "The broker does not know this share session (any more)."


class InvalidShareSessionEpochError(RetriableError, BrokerResponseError):
    errno = 123
    message = "INVALID_SHARE_SESSION_EPOCH"
    description = "The epoch of the share session is not the one the broker expects."


class FencedStateEpochError(BrokerResponseError):
    errno = 124
    message = "FENCED_STATE_EPOCH"
    description = "The share coordinator has a newer state epoch than the request."


class InvalidVoterKeyError(BrokerResponseError):
    errno = 125
    message = "INVALID_VOTER_KEY"
    description = "The voter key is not that of the receiving replica."


class DuplicateVoterError(BrokerResponseError):
    errno = 126
    message = "DUPLICATE_VOTER"
    description = "The voter is in the set of voters already."


class VoterNotFoundError(BrokerResponseError):
    errno = 127
    message = "VOTER_NOT_FOUND"
    description = "The voter is not in the set of voters."


class InvalidRegularExpressionError(BrokerResponseError):
    errno = 128
    message = "INVALID_REGULAR_EXPRESSION"
    description = "The regular expression is not valid."


class RebootstrapRequiredError(BrokerResponseError):
    errno = 129
    message = "REBOOTSTRAP_REQUIRED"
    description = "The broker asks the client to start again from its bootstrap servers."


class StreamsInvalidTopologyError(BrokerResponseError):
    errno = 130
    message = "STREAMS_INVALID_TOPOLOGY"
    description = "The topology of the streams group is not valid."


class StreamsInvalidTopologyEpochError(BrokerResponseError):
    errno = 131
    message = "STREAMS_INVALID_TOPOLOGY_EPOCH"
    description = "The topology epoch of the streams group is not valid."


class StreamsTopologyFencedError(BrokerResponseError):
    errno = 132
    message = "STREAMS_TOPOLOGY_FENCED"
    description = "The topology epoch of the streams group is out of date."


class ShareSessionLimitReachedError(RetriableError, BrokerResponseError):
    errno = 133
    message = "SHARE_SESSION_LIMIT_REACHED"
    description = "The broker has as many share sessions as it allows."


# generated by codegen: end


class UnrecognizedBrokerError(UnknownError):
    """A code that this version of the client does not know; `errno` keeps it."""

    def __init__(self, errno: int = -1, *args: Any) -> None:
        super().__init__(errno, *args)
        self.errno = errno

    def _sentence(self) -> str:
        text = " ".join(str(arg) for arg in self.args[1:])
        return text or f"The broker answered error code {self.errno}, which this client does not know."


class IncompatibleBrokerVersion(UnsupportedVersionError):
    """The broker has no version of an API that this client could use. Raised by the client itself."""


CorruptRecordException = CorruptRecordError

# Names of kafka-python 2.x that 3.0 dropped.
AuthenticationFailedError = SaslAuthenticationFailedError
AuthenticationMethodNotSupported = UnsupportedSaslMechanismError
GroupCoordinatorNotAvailableError = CoordinatorNotAvailableError
GroupLoadInProgressError = CoordinatorLoadInProgressError
NotCoordinatorForGroupError = NotCoordinatorError


def _broker_errors(cls: type[BrokerResponseError]) -> list[type[BrokerResponseError]]:
    found = [cls] if "errno" in cls.__dict__ and cls is not BrokerResponseError else []
    for sub in cls.__subclasses__():
        found += _broker_errors(sub)
    return found


kafka_errors: dict[int, type[BrokerResponseError]] = {
    cls.errno: cls for cls in _broker_errors(BrokerResponseError) if cls.errno is not None
}
_shared: dict[int, BrokerResponseError] = {code: cls() for code, cls in kafka_errors.items()}


def for_code(code: int, message: str | None = None) -> BrokerResponseError | None:
    """The error behind a broker's error code: None for 0, else an instance that is shared by all
    who ask (raise its `.fresh()`). With the broker's own `message` it is a new instance that says it.
    An unknown code gives `UnrecognizedBrokerError` with that `errno`.
    """
    if code == 0:
        return None
    cls = kafka_errors.get(code)
    if cls is None:
        return UnrecognizedBrokerError(code) if message is None else UnrecognizedBrokerError(code, message)
    return _shared[code] if message is None else cls(message)
