"""An AWS identity: its keys, and what is signed with them (Signature Version 4) for Amazon MSK.

Keys come from the environment, or by botocore from wherever AWS's own tools have them: profiles, roles, the instance.
There is one botocore session for a client: another one may give the same role another session name, which is another
principal to a broker.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from kafka.errors import CredentialsError
from kafka.version import __version__

AGENT = f"kafka-turbo/{__version__}"
_ACTION = "kafka-cluster:Connect"
_SERVICE = "kafka-cluster"
_ALGORITHM = "AWS4-HMAC-SHA256"
EXPIRES = 900  # seconds, of what is signed
# Of keys that expire botocore gets new ones ten minutes before, so those that it gives are good for as long.
_TEMPORARY = 600.0
_HOST = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\.?$")
_NOTHING = hashlib.sha256(b"").hexdigest()  # the hash of a request's body


class Keys(NamedTuple):
    access: str
    secret: str
    token: str | None = None  # of a session, for keys that expire

    def __repr__(self) -> str:
        return "<Keys>"


class Identity:
    """Who the client is to AWS. All of it may take long, and is for a thread that may wait."""

    def __init__(self) -> None:
        self._session: Any = None
        self._credentials: Any = None  # botocore's, which renews them

    def __repr__(self) -> str:
        return "<AWS identity>"

    def keys(self) -> Keys:
        """Raises CredentialsError, and what botocore raises."""
        access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if access and secret:
            return Keys(access, secret, os.environ.get("AWS_SESSION_TOKEN") or None)
        if self._credentials is None:
            session = self._botocore()
            if session is None:
                raise _missing(
                    "There are no AWS credentials in the environment, and to look elsewhere takes botocore.",
                    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pip install kafka-turbo[aws].",
                )
            self._credentials = session.get_credentials()
        if self._credentials is None:
            raise _missing(
                "There are no AWS credentials: neither in the environment, nor in a profile, nor from this machine.",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role.",
            )
        found = self._credentials.get_frozen_credentials()
        if not found.access_key or not found.secret_key:
            raise _missing("The AWS credentials that botocore has found are empty.", "Check AWS_PROFILE and its files.")
        return Keys(found.access_key, found.secret_key, found.token)

    def region(self, host: str = "") -> str:
        """Of the cluster that has this host, or else what the environment or the profile says."""
        if match := _HOST.search(host):
            return match[1]
        found = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not found:
            session = self._botocore()
            found = session.get_config_variable("region") if session is not None else None
        if not found:
            where = f"The name {host!r} has no AWS region in it, and none is set." if host else "No AWS region is set."
            raise _missing(where, "Set AWS_REGION to the cluster's, such as us-east-1.")
        return str(found)

    def _botocore(self) -> Any:
        """None where it is not installed."""
        if self._session is None:
            try:
                from botocore.session import Session
            except ImportError:
                return None
            self._session = Session()
        return self._session

    def message(self, keys: Keys, host: str) -> bytes:
        """What AWS_MSK_IAM says to the broker of that name."""
        query = signed(keys, self.region(host), _SERVICE, host, {"Action": _ACTION}, time.time())
        fields = {name.lower(): value for name, value in query.items() if name != "Action"}
        named = {"version": "2020_10_22", "host": host, "user-agent": AGENT, "action": _ACTION}
        return json.dumps({**named, **fields}, separators=(",", ":")).encode()

    def bearer_token(self, region: str | None) -> tuple[str, float]:
        """A token for OAUTHBEARER, and when it expires (seconds since the epoch): a signed URL that nobody opens."""
        keys, region, now = self.keys(), region or self.region(), time.time()
        host = f"kafka.{region}.amazonaws.com"
        query = {**signed(keys, region, _SERVICE, host, {"Action": _ACTION}, now), "User-Agent": AGENT}
        url = f"https://{host}/?{_encoded(query)}"
        token = base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode()
        return token, now + (EXPIRES if keys.token is None else _TEMPORARY)


def _missing(what: str, hint: str) -> CredentialsError:
    error = CredentialsError(what)
    error.hint = hint
    return error


def signed(
    keys: Keys,
    region: str,
    service: str,
    host: str,
    query: Mapping[str, str],
    now: float,
    *,
    path: str = "/",
    body: str = _NOTHING,
    expires: int = EXPIRES,
) -> dict[str, str]:
    """The query of a GET with its signature. `now`: seconds since the epoch; `body`: its hash."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    query = {
        **query,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(expires),
        **({} if keys.token is None else {"X-Amz-Security-Token": keys.token}),
        "X-Amz-SignedHeaders": "host",
    }
    request = f"GET\n{path}\n{_encoded(query)}\nhost:{host}\n\nhost\n{body}"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return {**query, "X-Amz-Signature": hmac.digest(key, text.encode(), "sha256").hex()}


def _encoded(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
