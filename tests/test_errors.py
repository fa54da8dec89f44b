"""The tree of errors: codes, ancestry, pickling, sentences."""

import copy
import json
import pickle
from pathlib import Path

import pytest

from codegen.error_texts import ALSO_INVALID_METADATA
from codegen.errors import class_name, generate
from kafka import errors
from kafka.result import Err

ROOT = Path(__file__).parent.parent
FACTS = json.loads((ROOT / "schemas" / "errors.json").read_text())
CLASSES = sorted(
    {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.KafkaError)},
    key=lambda cls: cls.__name__,
)
ARGUMENTS = {
    errors.DecodeError: ("MetadataResponse", 12, "topics[3].name", 1187, "needs 4 bytes, 2 left"),
    errors.EncodeError: ("MetadataRequest", 12, "topics", "null"),
    errors.UnsupportedField: ("LeaveGroupRequest", 4, "member_id", "x" * 200),
    errors.LogTruncationError: ({("t", 0): None},),
    errors.DeliveryFailed: (3, {("t", 0): errors.KafkaTimeoutError("late"), ("u", None): errors.KafkaError("x")}),
}


def test_the_generated_classes_are_those_of_the_facts():
    for path, text in generate(ROOT).items():
        assert path.read_text() == text


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["name"])
def test_broker_error(fact):
    cls = getattr(errors, class_name(fact["name"]))
    assert cls.errno == fact["code"]
    assert errors.kafka_errors[fact["code"]] is cls
    assert cls.retriable == fact["retriable"]
    assert cls.invalid_metadata == fact["invalidMetadata"] or fact["name"] in ALSO_INVALID_METADATA
    assert issubclass(cls, errors.BrokerResponseError)
    assert str(cls()).startswith(f"[Error {fact['code']}] {cls.__name__}: ")
    assert cls.description.endswith(".") and "The broker answered" not in cls.description


def test_for_code():
    assert errors.for_code(0) is None
    error = errors.for_code(3)
    assert type(error) is errors.UnknownTopicOrPartitionError
    assert errors.for_code(3) is error
    said = errors.for_code(3, "no topic of that name")
    assert said is not error and "no topic of that name" in str(said)
    assert errors.for_code(-1).errno == -1


def test_an_unknown_code_keeps_its_number():
    error = errors.for_code(31999)
    assert isinstance(error, errors.UnknownError) and error.errno == 31999
    assert "31999" in str(error)
    assert pickle.loads(pickle.dumps(error)).errno == 31999
    assert "words" in str(errors.for_code(31999, "words"))


def test_raising_a_shared_error_leaves_it_clean():
    shared = errors.for_code(5)
    for _ in range(2):
        with pytest.raises(errors.LeaderNotAvailableError) as caught:
            Err(shared).unwrap()
        assert caught.value is not shared and caught.value == shared
    assert shared.__traceback__ is None and shared.__context__ is None


def test_unwrap_of_other_exceptions_raises_them():
    error = OSError("x")
    with pytest.raises(OSError) as caught:
        Err(error).unwrap()
    assert caught.value is error


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_can_be_pickled_copied_and_printed(cls):
    error = cls(*ARGUMENTS.get(cls, ()))
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), error.fresh()):
        assert type(twin) is cls and twin == error and str(twin) == str(error)
        assert vars(twin) == vars(error)
        assert hash(twin) == hash(error)
    assert cls.__name__ in str(error)
    assert cls.__doc__ or issubclass(cls, errors.BrokerResponseError)


def test_connection_error_names_address_stage_and_cause():
    error = errors.KafkaConnectionError(address="h:9092", stage="tls", cause=OSError("refused"), hint="Try TLS.")
    twin = pickle.loads(pickle.dumps(error))
    assert str(twin) == str(error)
    for part in ("h:9092", "tls", "OSError: refused", "Hint: Try TLS."):
        assert part in str(twin)
    assert str(errors.KafkaConnectionError("gone")) == "KafkaConnectionError: gone"


def test_ancestry_that_users_catch():
    assert issubclass(errors.ConfigurationValueError, ValueError)
    assert issubclass(errors.ConfigurationValueError, errors.KafkaConfigurationError)
    assert issubclass(errors.TopicAuthorizationFailedError, errors.AuthorizationError)
    assert issubclass(errors.CorrelationIdError, errors.RetriableError)
    assert issubclass(errors.CorrelationIdError, errors.KafkaProtocolError)
    assert issubclass(errors.NoBrokersAvailable, errors.KafkaTimeoutError)
    assert issubclass(errors.IncompatibleBrokerVersion, errors.UnsupportedVersionError)


def test_a_long_value_is_cut():
    error = errors.UnsupportedField("LeaveGroupRequest", 4, "member_id", "x" * 1000)
    assert len(str(error)) < 300 and "member_id" in str(error)
