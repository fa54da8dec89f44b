"""The interface through which OAUTHBEARER gets its tokens. The mechanism itself is still to come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class AbstractTokenProvider(ABC):
    """Passed as `sasl_oauth_token_provider`; asked for a token on each new connection and before one expires."""

    def __init__(self, **config: Any) -> None:  # noqa: B027 - subclasses pass their arguments on
        pass

    @abstractmethod
    def token(self) -> str:
        """A token that is valid now: the same one again until it is about to expire."""

    def extensions(self) -> dict[str, str]:
        """Names and values that go along with the token (KIP-342)."""
        return {}
