"""The interface through which OAUTHBEARER gets its tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class AbstractTokenProvider(ABC):
    """Passed as `sasl_oauth_token_provider`, and asked for a token when there is none, and before one expires.

    What is called runs on a thread of its own, once at a time for a client: it may wait.
    """

    def __init__(self, **config: Any) -> None:  # noqa: B027 - subclasses pass their arguments on
        pass

    @abstractmethod
    def token(self) -> str:
        """A token that is valid now, or that and when it expires (seconds since the epoch).

        Of a JWT that is known anyhow; a token of which it is not known is asked for by each connection.
        """

    def extensions(self) -> dict[str, str]:
        """Names and values that go along with the token (KIP-342)."""
        return {}
