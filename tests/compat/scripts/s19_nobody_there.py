import socket
import time

from common import attempt, report

from kafka import KafkaProducer
from kafka.errors import KafkaError

with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]

start = time.monotonic()
refused = attempt(KafkaProducer, bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=1500)
seconds = time.monotonic() - start
unknown = attempt(KafkaProducer, bootstrap_servers="no-such-host.invalid:9092", bootstrap_timeout_ms=1500)
try:
    KafkaProducer(bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=1000)
except KafkaError as error:
    facts = {"retriable": error.retriable, "names_the_port": str(port) in str(error)}
report(log=None, refused=refused, unknown=unknown, facts=facts, in_time=seconds < 5)
