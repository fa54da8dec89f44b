"""How Amazon MSK's brokers see whether an AWS identity has signed something (Signature Version 4)."""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

_FIELDS = ("algorithm", "credential", "date", "expires", "security-token", "signedheaders", "signature")
_EARLY = 300.0  # seconds that a client's clock may be ahead


class AwsKeys(NamedTuple):
    secret: str
    token: str | None = None  # of a session
    principal: str = "arn:aws:iam::1:user/test"


class Unsigned(Exception):
    """With the reason."""


def check_message(data: bytes, keys: Mapping[str, AwsKeys], now: float) -> tuple[AwsKeys, float]:
    """Of AWS_MSK_IAM: whose it is, and for how many seconds it is good."""
    try:
        found: dict[str, Any] = json.loads(data)
    except ValueError:
        raise Unsigned("the message is not JSON") from None
    if found.get("version") != "2020_10_22" or not found.get("user-agent"):
        raise Unsigned("the version, or the user agent, is none")
    query = {"Action": found.get("action", "")}
    for name in _FIELDS:
        if f"x-amz-{name}" in found:
            query["X-Amz-" + _cased(name)] = found[f"x-amz-{name}"]
    return _checked(query, found.get("host", ""), keys, now)


def check_token(token: str, keys: Mapping[str, AwsKeys], now: float) -> tuple[AwsKeys, float]:
    """The same of an OAUTHBEARER token."""
    try:
        url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii"))
    except ValueError:
        raise Unsigned("the token is no URL") from None
    query = dict(parse_qsl(url.query))
    if url.scheme != "https" or url.path != "/" or not query.pop("User-Agent", ""):
        raise Unsigned("the token is not the URL that it should be")
    return _checked(query, url.netloc, keys, now)


def _cased(name: str) -> str:
    return {"signedheaders": "SignedHeaders"}.get(name, name.title())


def _checked(query: dict[str, str], host: str, keys: Mapping[str, AwsKeys], now: float) -> tuple[AwsKeys, float]:
    signature = query.pop("X-Amz-Signature", "")
    access, _, scope = query.get("X-Amz-Credential", "").partition("/")
    day, _, rest = scope.partition("/")
    region, _, service = rest.partition("/")
    moment = query.get("X-Amz-Date", "")
    if query.get("Action") != "kafka-cluster:Connect" or service != "kafka-cluster/aws4_request":
        raise Unsigned("it is signed for something else")
    if query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" or query.get("X-Amz-SignedHeaders") != "host":
        raise Unsigned("it is signed in another way")
    if access not in keys or keys[access].token != query.get("X-Amz-Security-Token"):
        raise Unsigned("nobody has this access key, or not with this session")
    began = _seconds(moment)
    left = began + int(query["X-Amz-Expires"]) - now
    if not moment.startswith(day) or left <= 0 or began > now + _EARLY:
        raise Unsigned("it has expired, or has yet to begin")
    pairs = [f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query)]
    canonical = ["GET", "/", "&".join(pairs), f"host:{host}", "", "host", hashlib.sha256().hexdigest()]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = _mac(_mac(_mac(_mac(b"AWS4" + keys[access].secret.encode(), day), region), "kafka-cluster"), "aws4_request")
    if not hmac.compare_digest(_mac(key, "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashed])).hex(), signature):
        raise Unsigned("the signature is another one")
    return keys[access], left


def _seconds(moment: str) -> int:
    """Since the epoch."""
    if not re.fullmatch(r"\d{8}T\d{6}Z", moment):
        raise Unsigned("the date is none")
    return calendar.timegm(tuple(int(moment[a:b]) for a, b in ((0, 4), (4, 6), (6, 8), (9, 11), (11, 13), (13, 15))))


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
