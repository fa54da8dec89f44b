"""Tokens in a program whose threads are greenlets. Arguments: the brokers, a topic, the statement that patches, the
token endpoint, its authority."""

import sys

bootstrap, topic, patch, url, authority = sys.argv[1:]
library = patch.partition(".")[0]
if library == "gevent":
    import gevent.monkey

    exec(patch)
    from gevent import sleep, spawn
else:
    import eventlet

    exec(patch)
    from eventlet import sleep, spawn


import gc  # noqa: E402
import json  # noqa: E402

from kafka import KafkaProducer  # noqa: E402

turns = 0


def others():
    global turns
    while True:
        turns += 1
        sleep(0.01)


spawn(others)
sleep(0)
with KafkaProducer(
    bootstrap_servers=bootstrap,
    security_protocol="SASL_PLAINTEXT",
    sasl_mechanism="OAUTHBEARER",
    sasl_oauthbearer_token_endpoint_url=url,
    sasl_oauthbearer_ssl_cafile=authority,
    sasl_oauthbearer_client_credentials_client_id="alice",
    sasl_oauthbearer_client_credentials_client_secret="secret",
) as producer:
    offset = producer.send(topic, b"x").get(30).offset
kind = gevent.hub.Hub if library == "gevent" else eventlet.hubs.hub.BaseHub
hubs = sum(isinstance(each, kind) for each in gc.get_objects())
print(json.dumps({"offset": offset, "hubs": hubs, "others ran": turns > 20}))
