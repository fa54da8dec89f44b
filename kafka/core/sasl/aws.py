"""AWS_MSK_IAM, Amazon MSK's own mechanism: one message, signed with the keys of an AWS identity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from kafka.core.sasl import Failed, Line
from kafka.core.sasl.credentials import Source
from kafka.errors import ProtocolError, SaslAuthenticationFailedError

if TYPE_CHECKING:
    from kafka.core.net.network import Network

K = TypeVar("K")

_WHAT = "the AWS credentials"
_HINT = (
    "Check that the identity may do kafka-cluster:Connect on this cluster, and this machine's clock. If the host has "
    "no region in its name, AWS_REGION has to be the cluster's."
)


class AwsMskIam(Generic[K]):
    name = "AWS_MSK_IAM"

    def __init__(self, network: Network, get_keys: Callable[[], K], sign: Callable[[K, str], bytes]) -> None:
        """`sign`: the message for the broker of that name. Both are called on other threads."""
        self._keys = Source(network, get_keys)
        self._sign = sign

    async def prepare(self, line: Line, now: float) -> tuple[bytes, float]:
        keys, now = await line.obtain(self._keys.ask(), _WHAT)
        return await line.work(partial(self._sign, keys, line.host), _WHAT)

    async def authenticate(self, line: Line, prepared: bytes, now: float) -> float:
        try:
            answer, now = await line.exchange(prepared)
        except Failed as failed:
            if isinstance(failed.error, SaslAuthenticationFailedError):
                failed.error.hint = _HINT
            raise
        if not answer:
            raise Failed(ProtocolError("AWS_MSK_IAM: the broker has accepted, but said nothing, which MSK's never do."))
        return now

    def refused(self, prepared: bytes) -> None:
        pass
