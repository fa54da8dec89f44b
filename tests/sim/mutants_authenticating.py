"""Bugs in how clients authenticate, put into this one; see `mutants.py` for the columns."""

from __future__ import annotations

SASL = "tests/sim/test_sasl.py"
SESSIONS = "tests/sim/test_reauthentication.py"
MECHANISMS = "tests/core/test_mechanisms.py"
PROXIES = "tests/sim/test_proxies.py"

AUTHENTICATING: tuple[tuple[str, str, str, tuple[tuple[str, str], ...], str], ...] = (
    (
        "a broker need not prove anything",
        "SCRAM without a look at the server's signature: whoever listens there is believed",
        "sasl.scram",
        (("if not hmac.compare_digest(", "if False and not hmac.compare_digest("),),
        MECHANISMS,
    ),
    (
        "as many iterations as the broker likes",
        "CVE-2026-10143 (kafka-python): i=2147483647 keeps the client busy for a quarter of an hour",
        "sasl.scram",
        (("= 4096, 1_000_000\n", "= 4096, 1_000_001\n"),),
        MECHANISMS,
    ),
    (
        "a nonce of ours alone",
        "a broker that adds nothing to the nonce may play back what it once heard",
        "sasl.scram",
        ((" or len(whole_nonce) <= len(nonce):", ":"),),
        MECHANISMS,
    ),
    (
        "names are not escaped",
        "kafka-python: a user whose name has a comma cannot log in, or logs in as somebody else",
        "sasl.scram",
        (('.replace("=", "=3D").replace(",", "=2C")', ""),),
        SASL,
    ),
    (
        "the reason is not answered",
        "a refused token is no error until the client has answered: both sides wait",
        "sasl.oauthbearer",
        (('                await line.exchange(b"\\1")\n', ""),),
        MECHANISMS,
    ),
    (
        "a refused token is shown again",
        "after the issuer changed its key the old token is sent for as long as it would be valid",
        "net.authenticate",
        (("                self._mechanism.refused(prepared)\n", "                pass\n"),),
        SASL,
    ),
    (
        "a token for each connection",
        "the provider is asked by every connection at once",
        "sasl.oauthbearer",
        (("        if token is None or now >= self._expires:\n", "        if True:\n"),),
        SASL,
    ),
    (
        "a token is good to its last second",
        "it is renewed only when it has expired, and nobody has one while its issuer is down",
        "sasl.oauthbearer",
        (("        if self._is_used and now < self._expires:\n", "        if False:\n"),),
        SASL,
    ),
    (
        "a broker that says nothing has accepted",
        "whoever answers AWS_MSK_IAM with nothing is taken for a broker of MSK's",
        "sasl.aws",
        (("        if not answer:\n", "        if False:\n"),),
        MECHANISMS,
    ),
    (
        "what fails for a moment fails",
        "an endpoint that restarts is told as if the client's credentials were wrong",
        "sasl.oauthbearer",
        (("if not failed.error.retriable or", "if True or"),),
        SASL,
    ),
    (
        "an endpoint is asked for ever",
        "one that is down is no error, and a constructor ends with a timeout that does not name it",
        "sasl.oauthbearer",
        ((" or now + delay >= give_up:", ":"),),
        SASL,
    ),
    (
        "five in the queue",
        "requests that wait in the socket when the session ends cost the connection: only the clock is looked at",
        "net.authenticate",
        ((" - 2 * self._slowest))", "))"),),
        SESSIONS,
    ),
    (
        "requests within the conversation",
        "a request between SaslHandshake and the last SaslAuthenticate is error 34, and the end of the connection",
        "net.channel",
        (
            ("        return session is None or not session.is_due\n", "        return True\n"),
            (
                "connection.state is ConnectionState.READY\n\n    @property\n    def is_open",
                "connection.is_up\n\n    @property\n    def is_open",
            ),
            (
                "assert connection is not None and connection.state is ConnectionState.READY",
                "assert connection is not None",
            ),
        ),
        SESSIONS,
    ),
    (
        "an idle session is never wanted again",
        "who has something to send waits for a connection that waits for somebody who has something to send",
        "net.channel",
        (("            if self.throttle is None:\n                self._want_session(now)\n", ""),),
        SESSIONS,
    ),
    (
        "a handshake too many",
        "brokers refuse a second one within a second: the slower the answers, the oftener it is tried",
        "net.authenticate",
        (("return max(self._since + earliest, min(", "return max(self._since, min("),),
        SESSIONS,
    ),
    (
        "credentials behind the handshake",
        "the connection stands still for as long as it takes to get a token",
        "net.authenticate",
        (
            (
                "  prepared, now = await self._try_to_prepare(now)\n                if not self.is_due",
                "  pass\n                if not self.is_due",
            ),
        ),
        SESSIONS,
    ),
    (
        "the first refusal fails all",
        "one broker of the bootstrap list that does not know the user keeps the client from the others",
        "cluster.calls",
        (
            (
                "            call.silent.pop(call.node.id, None)\n",
                (
                    "            call.silent.pop(call.node.id, None)\n"
                    "            if self._refusals(call):\n"
                    "                self._expire(call, now)\n"
                    "                return\n"
                ),
            ),
        ),
        SASL,
    ),
    (
        "refused, unreachable, all the same",
        "kafka-python, confluent-kafka-python: every security mistake ends in a timeout",
        "net.failures",
        (("            return cause if is_one else None", "            return None"),),
        SASL,
    ),
    (
        "what hangs piles up",
        "each connection that is tried leaves another thread in a provider that does not return",
        "sasl.credentials",
        (("            if self._asked_at is None or now - self._asked_at >= limit:\n", "            if True:\n"),),
        SASL,
    ),
    (
        "the proxy's certificate",
        "TLS with the name of the proxy: the broker's certificate is for another one",
        "net.bring_up",
        (("Secure(connection.id, self._channel.node.host)", "Secure(connection.id, self._network.config.proxy.host)"),),
        PROXIES,
    ),
    (
        "more than an answer",
        "what comes behind a proxy's answer is taken for a broker's, or lost",
        "net.proxy",
        (("    if rest := stream.take(16):\n", "    if False and (rest := stream.take(16)):\n"),),
        PROXIES,
    ),
    (
        "a name with a line in it",
        "a broker's advertised name writes another line of what an HTTP proxy is asked",
        "net.proxy",
        (("    if not _HOST.fullmatch(encoded.decode()) or len(encoded) > 255:\n", "    if False:\n"),),
        PROXIES,
    ),
    (
        "headers without an end",
        "a proxy that goes on and on takes all the memory there is",
        "net.proxy",
        ((" and len(self._rest) <= limit:", ":"),),
        PROXIES,
    ),
    (
        "names that only the proxy knows",
        "the client looks up what only the proxy can (socks5h)",
        "config",
        (('return self.scheme != "socks5"', "return False"),),
        PROXIES,
    ),
    (
        "steps without an end",
        "a peer that goes on answering keeps the client in the conversation for ever",
        "net.authenticate",
        (("        if self._steps > MOST_STEPS:\n", "        if False:\n"),),
        SASL,
    ),
    (
        "a megabyte of nothing",
        "what a peer says before it is known is kept, and said again, whatever its size",
        "net.authenticate",
        (("        if len(answer.auth_bytes) > MOST_HEARD:\n", "        if False:\n"),),
        SASL,
    ),
)
