"""What a command's client is told: files, environment variables and options, of which the later wins."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from typing import Any

from kafka.cli.exits import Usage
from kafka.errors import KafkaConfigurationError
from kafka.properties.loading import Entry, from_environment, from_file, understand
from kafka.security.secret import SecretFile


def configs(options: argparse.Namespace) -> dict[str, Any]:
    """A client's arguments: --command-config, then the environment, then -b and -X. Raises Usage."""
    try:
        entries = [] if options.command_config is None else from_file(options.command_config)
        entries += from_environment(os.environ)
        if options.bootstrap is not None:
            entries.append(Entry("bootstrap_servers", options.bootstrap, "--bootstrap", is_shared=False))
        entries += _options(options.config)
        return {"bootstrap_servers": "localhost:9092", "client_id": "kafka-turbo-cli", **understand(entries)}
    except KafkaConfigurationError as error:
        raise Usage(str(error)) from None


def _options(pairs: list[str]) -> Iterator[Entry]:
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            begins = re.match(r"[\w.\-]*", pair)  # what follows may be a password
            raise Usage(f"-X takes NAME=VALUE, or NAME=@FILE; there is no '=' behind {begins and begins[0]!r}")
        if value.startswith("@"):
            value = SecretFile(name, value[1:]).read()
        yield Entry(name, value, f"-X {name}", is_shared=False)
