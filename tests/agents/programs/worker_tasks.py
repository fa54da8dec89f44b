"""Workers that send one record a task and never close: a Celery application and a WSGI one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer

_producer: KafkaProducer | None = None


def send(value: bytes) -> None:
    global _producer
    if _producer is None:
        # It lingers until long after the worker has ended.
        _producer = KafkaProducer(bootstrap_servers=os.environ["BOOTSTRAP"], linger_ms=60_000)
    _producer.send("t", value)


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    send(environ["PATH_INFO"].encode())
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]


if "CELERY_FOLDER" in os.environ:
    from celery import Celery

    folder = os.environ["CELERY_FOLDER"]
    app = Celery("worker_tasks", broker="filesystem://", set_as_current=False)
    app.conf.update(
        broker_transport_options={f"{name}_folder": folder for name in ("control", "data")}
        | {"data_folder_in": folder, "data_folder_out": folder},
        worker_max_tasks_per_child=20,
    )

    @app.task(name="task")  # type: ignore[untyped-decorator]
    def task(number: int) -> None:
        send(str(number).encode())
        with open(os.path.join(folder, "..", "done"), "a") as done:
            done.write(f"{number}\n")
