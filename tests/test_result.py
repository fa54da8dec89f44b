from __future__ import annotations

import pickle

import pytest

from kafka.result import Err, Ok


def test_ok_holds_its_value():
    match Ok(3):
        case Ok(value):
            assert value == 3
    assert Ok(3).is_ok()
    assert Ok(3).unwrap() == 3


def test_err_holds_an_error_that_was_not_raised():
    error = ValueError("no")
    match Err(error):
        case Err(found):
            assert found is error
    assert not Err(error).is_ok()
    with pytest.raises(ValueError, match="no") as raised:
        Err(error).unwrap()
    assert raised.value is error


def test_the_two_never_compare_equal():
    error = ValueError("no")
    assert Ok(1) == Ok(1) != Ok(2)
    assert Err(error) == Err(error)
    assert Ok(error) != Err(error)
    assert len({Ok(1), Ok(1), Err(error), Err(error)}) == 2


def test_results_can_be_pickled():
    assert pickle.loads(pickle.dumps(Ok(1))) == Ok(1)
    assert pickle.loads(pickle.dumps(Err(ValueError("no")))).error.args == ("no",)
