"""Bugs that consumers had, put into this one; see `mutants.py` for the columns."""

from __future__ import annotations

FETCH = "tests/sim/test_fetch.py"

READING: tuple[tuple[str, str, str, tuple[tuple[str, str], ...], str], ...] = (
    (
        "answer to an earlier question",
        "KAFKA-10134 and its kind: records fetched for where it was are handed out after a seek",
        "consume.answers",
        (
            (
                "partition.state is not FetchState.FETCHING or asked != expected",
                "partition.state is not FetchState.FETCHING",
            ),
        ),
        FETCH,
    ),
    (
        "everything behind the long poll",
        "kafka-python and aiokafka: what was sought waits for the Fetch that waits for others",
        "consume.fetch",
        (
            (
                "            if session.waiting:\n                self._catch_up",
                "            if False:\n                self._catch_up",
            ),
        ),
        FETCH,
    ),
    (
        "first come first served",
        "KIP-74: without rotation the first partitions of a request starve the last",
        "consume.fetch",
        (("                    session.rotate(partition)", "                    pass"),),
        FETCH,
    ),
    (
        "no bound",
        "K#1412 and its kind: fetched ahead without a bound on memory",
        "consume.fetch",
        (("        if size < min(config.partition_max_bytes, share) and self.used > 0:", "        if False:"),),
        FETCH,
    ),
    (
        "paused and fetched",
        "K#2011: paused partitions are fetched on, and what comes is thrown away",
        "consume.fetch",
        (("            and not partition.position.paused\n", ""),),
        FETCH,
    ),
    (
        "offset of a former topic",
        "C#1787, R#3255, F#358: a topic made anew is read from where the old one was left",
        "consume.fetch",
        (("                self.places.made_anew(partition, now)", "                pass"),),
        FETCH,
    ),
    (
        "looked up and taken there",
        "R#3471: an offset that was looked up overrules a seek that came meanwhile",
        "consume.places",
        (
            ("            and partition.state is FetchState.LOOKING_UP\n", ""),
            ("            and partition.position.generation == generation\n", ""),
            ("elif position.settle(generation, place.value.offset):", "elif position.move(place.value.offset, -1):"),
            (
                "                partition.handle(FetchEvent.FOUND)\n",
                "                partition.place(place.value.offset, -1)\n",
            ),
        ),
        FETCH,
    ),
    (
        "out of range in silence",
        "K#2003: without a policy nothing is fetched and nothing is said",
        "consume.places",
        (("        self._fetch.fail(partition, error)\n\n    def ask", "\n    def ask"),),
        FETCH,
    ),
)
