"""`kafka-turbo produce` and `consume` as their users meet them: exit codes, one line for each thing that is wrong."""

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kafka.protocol.codes import Code
from kafka.testing import EmbeddedCluster
from kafka.testing.model.world import Later

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster():
    with EmbeddedCluster(nodes=2, default_partitions=3) as cluster:
        yield cluster


@contextmanager
def start(*arguments, **options):
    process = subprocess.Popen(
        [sys.executable, "-m", "kafka", *(each if isinstance(each, bytes) else str(each) for each in arguments)],
        cwd=options.pop("cwd", None),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()  # leaving the block waits for its end
            raise


def run(*arguments, stdin=b""):
    """(exit code, standard output, standard error)."""
    with start(*arguments) as process:
        out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out, err.decode()


def stored(cluster, topic):
    return sorted(
        (record.key, record.value)
        for partition in range(len(cluster.topics[topic].partitions))
        for record in cluster.records(topic, partition)
    )


# -- produce ---------------------------------------------------------------------------------------------------------


def test_lines_from_standard_input(cluster):
    assert run("produce", "-b", cluster.bootstrap, "stdin", stdin=b"one\ntwo\r\nthree") == (0, b"", "")
    assert stored(cluster, "stdin") == [(None, b"one"), (None, b"three"), (None, b"two")]


def test_csv_keyed_by_a_column(cluster, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"n,carrier\n1,UA\n2,AA\n")
    (tmp_path / "b.csv").write_bytes(b'carrier,n\n"U,A",3\n')
    files = [tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "a.csv"]
    assert run("produce", "-b", cluster.bootstrap, "csv", *files, "--format", "csv", "--key", "carrier") == (0, b"", "")
    assert stored(cluster, "csv") == [
        (b"AA", b"2,AA"),
        (b"AA", b"2,AA"),
        (b"U,A", b'"U,A",3'),
        (b"UA", b"1,UA"),
        (b"UA", b"1,UA"),
    ]


def test_json_keyed_by_a_field_and_compressed(cluster):
    lines = b"".join(b'{"id": %d, "text": "some text"}\n' % number for number in range(1000))
    arguments = ("-f", "json", "-k", "id", "-c", "compression_type=gzip", "-c", "acks=1")
    assert run("produce", "-b", cluster.bootstrap, "json", *arguments, stdin=lines) == (0, b"", "")
    assert len(stored(cluster, "json")) == 1000
    assert (b"7", b'{"id": 7, "text": "some text"}') in stored(cluster, "json")
    sizes = sum(len(p.log.read_all()) for p in cluster.topics["json"].partitions)
    assert sizes < len(lines) / 2


def test_a_hundred_thousand_lines_come_back(cluster, tmp_path):
    lines = b"".join(b"line %d\n" % number for number in range(100_000))
    (tmp_path / "lines").write_bytes(lines)
    assert run("produce", "-b", cluster.bootstrap, "many", tmp_path / "lines")[0] == 0
    code, out, err = run("consume", "-b", cluster.bootstrap, "many")
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == sorted(lines.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.csv",), 1, "missing.csv: No such file or directory"),
        ((".",), 1, ".: Is a directory"),
        (("",), 1, "'': No such file or directory"),
        (("-", "-k", "x"), 2, "lines have no columns: --key needs --format csv or json"),
        (("-", "-f", "csv", "-k", "x"), 1, "standard input: there is no column 'x' among a, b"),
        (("-", "-f", "csv", "-k", "9" * 20), 1, f"there is no column '{'9' * 20}' among a, b"),
        (("-", "-f", "csv", "-k", "9" * 5000), 1, "there is no column '9999"),
        (("-", "-f", "csv", "-k", "2", "--no-header"), 1, "no column '2' among the 2 of the first row, 0 to 1"),
        (("-", "-f", "json"), 1, "standard input, line 1: is no JSON"),
        (("-", "-f", "csv", "--delimiter", "ab"), 2, "--delimiter takes one ASCII character, not 'ab'"),
        (("-", "-f", "csv", "--delimiter", "é"), 2, "--delimiter takes one ASCII character, not 'é'"),
        (("-", "-c", "linger"), 2, "-X takes NAME=VALUE, or NAME=@FILE; there is no '=' behind 'linger'"),
        (("-", "-c", "linger=5"), 2, "no configuration key 'linger' (did you mean 'linger_ms'?)"),
        (("-", "-c", "acks=7"), 2, "acks"),
        (("-", "-c", "client_id=" + "[" * 100_000), 2, "client_id"),
        (("-", "-c", "linger_ms=NaN"), 2, "linger_ms"),
        (("-", "-c", "socks5_proxy=here"), 2, "socks5_proxy"),
        (("-", "-p", "-1"), 2, "--partition takes the number of one, from 0 on, not -1"),
        (("-", "-H", "\n=x"), 2, "--header takes NAME=VALUE"),
        (("-", "-H", b"\xff=x"), 2, "--header takes NAME=VALUE"),
        (("-", "-K", ""), 2, "--key-delimiter takes a character or more"),
        (("-", "-Z"), 2, "--tombstones needs --key-delimiter"),
        (("-", "-f", "csv", "-K", ":"), 2, "--key-delimiter is for lines"),
        (("-", "-f", "json", "-Z"), 2, "--tombstones is for lines"),
        (("-", "-K", ";"), 1, "standard input, line 1: has no ';' between key and value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cluster, arguments, code, message):
    found, out, err = run("produce", "-b", cluster.bootstrap, "wrong", *arguments, stdin=b"a,b\n1,2\n")
    assert (found, out) == (code, b"")
    assert err.startswith("kafka-turbo produce: ") and message in err and err.count("\n") == 1
    assert len(err) < 2000
    assert "wrong" not in cluster.topics


@pytest.mark.parametrize("arguments", [(), ("produce",), ("produce", "t", "-f", "xml"), ("nonsense",), ("consume",)])
def test_wrong_arguments_get_the_usage_and_2(arguments):
    code, _, err = run(*arguments)
    assert code == 2 and "usage: kafka-turbo" in err and "Traceback" not in err


def test_what_was_good_before_a_bad_row_is_delivered_and_counted(cluster):
    code, _, err = run(
        "produce", "-b", cluster.bootstrap, "partly", "-f", "csv", "-k", "b", stdin=b"a,b\n1,2\n3,4\n5\n"
    )
    assert code == 1
    assert "standard input, row 4" in err and "2 records acknowledged, 0 failed" in err
    assert stored(cluster, "partly") == [(b"2", b"1,2"), (b"4", b"3,4")]


@pytest.mark.parametrize("garbage", [bytes(range(256)) * 20_000, b"\0" * 3_000_000], ids=["noise", "zeros"])
def test_binary_garbage(cluster, garbage):
    code, _, err = run("produce", "-b", cluster.bootstrap, "garbage", "-f", "csv", "-k", "x", stdin=garbage)
    assert code == 1 and err.count("\n") == 1, err[:2000]
    code, _, err = run("produce", "-b", cluster.bootstrap, "garbage", "-f", "json", stdin=garbage)
    assert code == 1 and err.count("\n") == 1, err[:2000]


def test_a_record_that_is_too_large_names_its_size(cluster):
    code, _, err = run("produce", "-b", cluster.bootstrap, "large", stdin=b"ok\n" + b"x" * 1_048_570 + b"\n")
    assert code == 1 and "1048576" in err.replace(",", ""), err
    assert err.count("\n") == 1


def test_a_broker_that_refuses_records(cluster):
    cluster.create_topic("refused", 2)

    def refuse(node, header, request):
        response = handler(node, header, request)
        for topic in response.responses:
            for partition in topic.partition_responses:
                partition.error_code = Code.MESSAGE_TOO_LARGE
        return response

    handler = cluster.nodes[0].handlers[0]
    for node in cluster.nodes:
        node.handlers[0] = refuse
    try:
        code, _, err = run("produce", "-b", cluster.bootstrap, "refused", stdin=b"a\nb\nc\n")
    finally:
        for node in cluster.nodes:
            node.handlers[0] = handler
    assert code == 1
    first, *details = err.splitlines()
    assert first == "kafka-turbo produce: 0 records acknowledged, 3 failed"
    assert details and all(line.startswith("  refused[") for line in details)


@pytest.mark.parametrize("command", ["produce", "consume"])
def test_an_unreachable_broker(command):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    started = time.monotonic()
    code, out, err = run(command, "-b", f"127.0.0.1:{port}", "t")
    assert (code, out) == (1, b"") and time.monotonic() - started < 30
    *warnings, last = err.splitlines()  # of the connection, as it is logged
    assert last.startswith(f"kafka-turbo {command}: ") and f"127.0.0.1:{port}" in last and "refused" in last
    assert len(warnings) <= 1


def test_ctrl_c_while_reading_says_what_was_delivered(cluster):
    with start("produce", "-b", cluster.bootstrap, "interrupted") as process:
        process.stdin.write(b"one\ntwo\n")
        process.stdin.flush()
        until(lambda: "interrupted" in cluster.topics and sum(cluster.end_offsets("interrupted").values()) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        err = process.stderr.read().decode()
    assert err == "kafka-turbo produce: interrupted: 2 records acknowledged, 0 failed\n"


@pytest.mark.parametrize("way", ["interrupted", "too large"])
def test_what_a_send_many_took_before_it_was_left_is_counted(cluster, tmp_path, way):
    topic = f"left-{way.replace(' ', '-')}"
    cluster.create_topic(topic, 1)
    asked, go_on, held = threading.Event(), threading.Event(), []
    (leader,) = {partition.leader for partition in cluster.topics[topic].partitions}
    handlers = next(node for node in cluster.nodes if node.id == leader).handlers
    usual = handlers[0]

    def hold_back(node, header, request):
        later = Later(lambda: usual(node, header, request))
        later.loop = asyncio.get_running_loop()
        held.append(later)
        asked.set()
        if go_on.is_set():
            later.ready()
        return later

    lines = b"".join(b"%07d\n" % number for number in range(20_000))
    if way == "interrupted":
        handlers[0] = hold_back
    else:
        lines += b"x" * 200_000 + b"\n"
    (tmp_path / "lines").write_bytes(lines)
    arguments = ("-b", cluster.bootstrap, "-c", "buffer_memory=100000", topic, tmp_path / "lines")
    try:
        with start("produce", *arguments) as process:
            if way == "interrupted":
                assert asked.wait(30)
                time.sleep(0.3)  # until it waits for memory
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)
                go_on.set()
                held[0].loop.call_soon_threadsafe(lambda: [later.ready() for later in held if not later.is_ready])
            code, err = process.wait(30), process.stderr.read().decode()
    finally:
        handlers[0] = usual
    delivered = sum(cluster.end_offsets(topic).values())
    assert delivered > 1000 and code == (130 if way == "interrupted" else 1)
    assert f"{delivered:,} records acknowledged, 0 failed" in err, err


def test_progress_and_summary_on_a_terminal(cluster):
    ours, theirs = pty.openpty()
    with start("produce", "-b", cluster.bootstrap, "terminal", stderr=theirs) as process:
        os.close(theirs)
        process.stdin.write(b"x\n" * 5000)
        process.stdin.close()
        assert process.wait(30) == 0
    shown = b""
    try:
        while more := os.read(ours, 4096):
            shown += more
    except OSError:
        pass  # how a terminal ends
    os.close(ours)
    assert b"acknowledged" in shown and b"5,000 records acknowledged in " in shown


# -- consume ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def letters(cluster):
    """A topic of two partitions: a, b, c in one batch and d in another; e, without a key."""
    cluster.create_topic("letters", 2)
    for data in (b"k,v\nx,a\nx,b\nx,c\n", b"k,v\nx,d\n"):
        assert run("produce", "-b", cluster.bootstrap, "letters", "-f", "csv", "-k", "k", stdin=data)[0] == 0
    (place,) = (p for p, end in cluster.end_offsets("letters").items() if end)
    return place


def test_consume_values_pairs_and_json(cluster, letters):
    def consume(*arguments):
        code, out, err = run("consume", "-b", cluster.bootstrap, "letters", *arguments)
        assert (code, err) == (0, "")
        return out.splitlines()

    assert consume() == [b"x,a", b"x,b", b"x,c", b"x,d"]
    assert consume("-o", "1", "-p", letters) == [b"x,b", b"x,c", b"x,d"]
    assert consume("-o", "1", "-p", letters, "-n", "1", "-f", "pairs") == [b"x\tx,b"]
    assert consume("-o", "end") == []
    assert consume("-p", 1 - letters) == []
    shown = [json.loads(line) for line in consume("-f", "json")]
    assert [(line["partition"], line["offset"], line["key"], line["value"]) for line in shown] == [
        (letters, offset, "x", f"x,{letter}") for offset, letter in enumerate("abcd")
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("no-such-topic",), 1, "UnknownTopicOrPartitionError: topic no-such-topic: "),
        (("a b",), 2, "'a b' is no legal topic name"),
        ((b"\xff",), 2, "is no legal topic name"),
        (("letters", "-p", "9"), 1, "has no partition 9: it has 2, 0 to 1"),
        (("letters", "-p", "9" * 20), 1, "has no partition 99999999999999999999: it has 2, 0 to 1"),
        (("letters", "-o", "soon"), 2, "--offset takes beginning, end or a number"),
        (("letters", "-o", str(2**63)), 2, "--offset takes beginning, end or a number up to 9223372036854775807"),
        (("letters", "-o", "9" * 5000), 2, "--offset takes beginning, end or a number"),
        (("letters", "-n", "-1"), 2, "--max takes a number of records, not -1"),
    ],
)
def test_what_consume_cannot_do(cluster, letters, arguments, code, message):
    found, out, err = run("consume", "-b", cluster.bootstrap, *arguments)
    assert (found, out) == (code, b"") and message in err and err.count("\n") == 1
    assert "no-such-topic" not in cluster.topics


def test_follow_waits_for_more(cluster):
    cluster.create_topic("followed", 2)
    with start("consume", "-b", cluster.bootstrap, "followed", "--follow") as process:
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, b"")), daemon=True)
        reader.start()
        for number in range(2):
            run("produce", "-b", cluster.bootstrap, "followed", stdin=b"line %d\n" % number)
            until(lambda count=number + 1: len(lines) == count)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        reader.join()
        assert b"Traceback" not in process.stderr.read()
    assert lines == [b"line 0\n", b"line 1\n"]


def test_a_closed_pipe_ends_it_as_it_ends_others(cluster):
    """Quietly, with what a shell tells of those that SIGPIPE ends."""
    run("produce", "-b", cluster.bootstrap, "piped", stdin=b"x" * 100 + b"\n" + b"y\n" * 200_000)
    everything = ("consume", "-b", cluster.bootstrap, "piped")
    for arguments in (everything, ("--help",), ("produce", "--help"), ("--version",)):
        reader, writer = os.pipe()
        os.close(reader)
        with start(*arguments, stdout=writer) as process:
            os.close(writer)
            assert process.wait(30) == 141
            assert process.stderr.read() == b""


def until(condition, timeout=30.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- Apache Kafka ----------------------------------------------------------------------------------------------------


@pytest.mark.kafka
def test_produce_and_consume_with_apache_kafka(kafka_cluster, tmp_path):
    kafka_cluster.create_topic("cli.csv", partitions=3)
    rows = [b"%d,carrier %d,%s" % (number, number % 16, b"x" * 80) for number in range(50_000)]
    (tmp_path / "rows.csv").write_bytes(b"n,carrier,text\n" + b"\n".join(rows) + b"\n")
    arguments = ("-b", kafka_cluster.bootstrap, "cli.csv", tmp_path / "rows.csv", "-f", "csv", "-k", "carrier")
    assert run("produce", *arguments) == (0, b"", "")
    ends = kafka_cluster.end_offsets("cli.csv")
    assert sum(ends.values()) == len(rows)
    seen = kafka_cluster.console_consume("cli.csv", len(rows))
    assert sorted((r.key, r.value) for r in seen) == sorted((row.split(b",")[1], row) for row in rows)
    code, out, err = run("consume", "-b", kafka_cluster.bootstrap, "cli.csv")
    assert (code, err) == (0, "") and sorted(out.splitlines()) == sorted(rows)
