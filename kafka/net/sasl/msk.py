"""Tokens for Amazon MSK."""

from __future__ import annotations

from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.security.aws import Identity


class AwsMskTokenProvider(AbstractTokenProvider):
    """`sasl_oauth_token_provider` of clients of Amazon MSK whose mechanism is OAUTHBEARER.

    It signs with the AWS credentials of the environment, or those that botocore finds (`pip install kafka-turbo[aws]`).
    `region`: the cluster's, such as "us-east-1"; None for what AWS_REGION or the profile says.
    """

    def __init__(self, region: str | None = None) -> None:
        super().__init__()
        self._region = region
        self._identity = Identity()

    def token(self) -> tuple[str, float]:  # type: ignore[override]
        """The token, and when it expires (seconds since the epoch). Raises CredentialsError."""
        return self._identity.bearer_token(self._region)
