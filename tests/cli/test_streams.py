"""The command line as one process among others: pipes, closed and full streams, signals, options in any order."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager

import pytest
from cli.test_commands import ROOT, run, start, stored, until

from kafka.testing import EmbeddedCluster
from kafka.testing.model.world import Later


@pytest.fixture(scope="module")
def cluster():
    with EmbeddedCluster(default_partitions=3) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def full(cluster):
    """The name of a topic with more in it than a pipe holds."""
    lines = b"".join(b"%0200d\n" % number for number in range(5000))
    assert run("produce", "-b", cluster.bootstrap, "full", stdin=lines)[0] == 0
    return "full"


def shell(script, *arguments):
    """(exit code, standard output, standard error) of a script in which $K is the command."""
    done = subprocess.run(
        ["bash", "-c", script, "bash", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "K": f"{sys.executable} -m kafka"},
        capture_output=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr.decode()


# -- arguments -------------------------------------------------------------------------------------------------------


def test_options_stand_anywhere(cluster, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"name,n\na,1\n")
    (tmp_path / "-y.csv").write_bytes(b"n,name\n2,b\n")
    bootstrap = ("-b", cluster.bootstrap)
    first, second = tmp_path / "x.csv", tmp_path / "-y.csv"
    assert run("produce", "any", "-f", "csv", first, "-k", "name", second, *bootstrap) == (0, b"", "")
    assert run("produce", *bootstrap, "any", first, second, "-kname", "--format=csv") == (0, b"", "")
    with start("produce", *bootstrap, "-fcsv", "-k", "name", "any", "x.csv", "--", "-y.csv", cwd=tmp_path) as process:
        assert process.communicate(timeout=60) == (b"", b"") and process.returncode == 0
    assert stored(cluster, "any") == [(b"a", b"a,1")] * 3 + [(b"b", b"2,b")] * 3
    code, out, err = run("consume", "any", "-f", "pairs", *bootstrap)
    assert (code, len(out.splitlines()), err) == (0, 6, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("produce", "t", "--nonsense"), "kafka-turbo produce: there is no option --nonsense"),
        (("produce", "t", "-5"), "kafka-turbo produce: there is no option -5"),
        (("produce", "-f", "csv"), "kafka-turbo produce: TOPIC is missing"),
        (("-b", "broker:9092", "produce", "t"), "kafka-turbo: COMMAND comes first, then -b and the other options"),
        (("produce", "t", "-k"), "argument -k/--key: expected one argument"),
        (("consume", "t", "u"), "kafka-turbo consume: there is one TOPIC, t, so u is too much"),
        (("consume", "t", "-p", "x"), "argument -p/--partition: invalid int value: 'x'"),
    ],
)
def test_arguments_that_nobody_understands(arguments, message):
    code, out, err = run(*arguments)
    usage, said, rest = err.split("\n")
    assert (code, out, rest) == (2, b"", "") and usage.startswith("usage: kafka-turbo ") and message in said


@pytest.mark.parametrize("command", ["produce", "consume"])
def test_help_has_examples_that_are_understood(command):
    from kafka.cli.arguments import parse

    code, out, err = run(command, "--help")
    assert (code, err) == (0, "") and b"Exit codes: 0 all good" in out
    lines = [line.partition("kafka-turbo ")[2].partition("  #")[0] for line in out.decode().splitlines()]
    examples = [line.partition(" |")[0].partition(" <")[0] for line in lines if line.startswith(f"{command} ")]
    for example in examples[1:]:  # the first one is the usage
        assert parse(example.split()).command == command
    assert len(examples) >= 4


# -- what a record is made of ----------------------------------------------------------------------------------------


def test_keys_in_lines_and_tombstones(cluster):
    data = b"k1:v:1\n:no key\nk2:\n"
    arguments = ("-b", cluster.bootstrap)
    assert run("produce", "keyed", "-K:", *arguments, stdin=data) == (0, b"", "")
    assert stored(cluster, "keyed") == [(b"", b"no key"), (b"k1", b"v:1"), (b"k2", b"")]
    assert run("produce", "deleted", "-K", "\\t", "-Z", *arguments, stdin=b"k\tv\nk\t\n") == (0, b"", "")
    assert sorted((r.key, r.value or b"-") for p in range(3) for r in cluster.records("deleted", p)) == [
        (b"k", b"-"),
        (b"k", b"v"),
    ]
    assert [r.value for p in range(3) for r in cluster.records("deleted", p)] == [b"v", None]
    code, out, err = run("consume", *arguments, "keyed", "-f", "pairs")
    assert run("produce", "copied", "-K\\t", *arguments, stdin=out) == (0, b"", "")
    assert stored(cluster, "copied") == stored(cluster, "keyed")


def test_headers_and_a_partition_for_all(cluster):
    arguments = ("-b", cluster.bootstrap, "-H", "a=1=2", "-H", b"a=\xff", "-H", "none", "-p", "2")
    assert run("produce", "headed", *arguments, stdin=b"x\ny\n") == (0, b"", "")
    found = [(r.value, r.headers) for r in cluster.records("headed", 2)]
    assert found == [(value, (("a", b"1=2"), ("a", b"\xff"), ("none", None))) for value in (b"x", b"y")]
    code, _, err = run("produce", "-b", cluster.bootstrap, "headed", "-p", "3", stdin=b"x\n")
    assert code == 1 and "topic headed has no partition 3: it has 3, 0 to 2" in err


def test_a_key_of_json_is_what_stands_there(cluster):
    lines = b'{"k": "\\u00e9", "v": 1}\n\n{"k":1.50}\n{"k": {"a": [1]}}\n{"k":null}\n{"k":1,"k":2}\n'
    assert run("produce", "-b", cluster.bootstrap, "jsonkeys", "-f", "json", "-k", "k", stdin=lines) == (0, b"", "")
    keys = [record.key for p in range(3) for record in cluster.records("jsonkeys", p)]
    assert sorted(keys, key=str) == sorted(["é".encode(), b"1.50", b'{"a": [1]}', None, b"2"], key=str)


@pytest.mark.parametrize("large", ["sent whole", "never ending", "first"])
def test_a_line_that_is_too_long_is_named_and_those_before_it_are_sent(cluster, tmp_path, large):
    topic = f"long-{large.replace(' ', '-')}"
    before = 0 if large == "first" else 1000
    lines = b"".join(b"line %d\n" % number for number in range(before))
    file = tmp_path / "long.txt"
    file.write_bytes(lines + b"x" * (2_000_000 if large == "never ending" else 2000) + b"\nafter\n")
    code, out, err = run("produce", "-b", cluster.bootstrap, "-c", "max_request_size=1000", topic, file)
    assert (code, out) == (1, b"") and err.count("\n") == 1
    assert f"{file}, line {before + 1}: " in err and f": {before:,} records acknowledged, 0 failed" in err
    assert len(stored(cluster, topic) if before else []) == before


def test_too_long_for_the_buffer(cluster, tmp_path):
    file = tmp_path / "long.txt"
    file.write_bytes(b"line\n" * 1000 + b"x" * 200_000 + b"\nafter\n")
    code, _, err = run("produce", "-b", cluster.bootstrap, "-c", "buffer_memory=100000", "buffer", file)
    assert code == 1 and f"{file}, line 1001: " in err and "buffer_memory" in err
    assert len(stored(cluster, "buffer")) == 1000


@pytest.mark.parametrize(
    ("arguments", "data", "place"),
    [
        (("-f", "json"), b'{"a": 1}\n\n \n{"a": "%s"}\n' % (b"x" * 2000), "line 4"),
        (("-f", "csv", "-k", "b"), b"a,b\n1,2\n%s,3\n" % (b"x" * 2000), "row 3"),
        (("-K", ":"), b"a:1\nb:%s\n" % (b"x" * 2000), "line 2"),
    ],
)
def test_too_long_in_other_formats(cluster, arguments, data, place):
    topic = f"long{len(data)}"
    arguments = ("-b", cluster.bootstrap, "-c", "max_request_size=1000", topic, *arguments)
    code, _, err = run("produce", *arguments, stdin=data)
    assert code == 1 and f"standard input, {place}: " in err and ": 1 records acknowledged" in err
    assert len(stored(cluster, topic)) == 1


# -- pipes and streams -----------------------------------------------------------------------------------------------


def test_a_named_pipe_is_opened_once(cluster, tmp_path):
    os.mkfifo(tmp_path / "p")
    script = """printf 'one\\ntwo\\n' > "$2" & $K produce -b "$1" fifo "$2"; code=$?; wait $!; exit $((code + $?))"""
    assert shell(script, cluster.bootstrap, tmp_path / "p") == (0, b"", "")
    assert stored(cluster, "fifo") == [(None, b"one"), (None, b"two")]
    script = """$K produce -b "$1" fifo <(echo three) /dev/stdin <(echo five) <<< four"""
    assert shell(script, cluster.bootstrap) == (0, b"", "")
    assert sorted(value for _, value in stored(cluster, "fifo")) == [b"five", b"four", b"one", b"three", b"two"]


def test_files_are_looked_at_before_anything_is_sent(cluster, tmp_path):
    os.mkfifo(tmp_path / "p")
    (tmp_path / "good").write_bytes(b"x\n")
    names = [tmp_path / "p", tmp_path / "good", tmp_path / "missing"]
    code, _, err = run("produce", "-b", cluster.bootstrap, "looked", *names)
    assert code == 1 and err.endswith("missing: No such file or directory\n") and "looked" not in cluster.topics


def test_a_full_disk_is_said(cluster, full):
    script = 'for c in "consume -b $1 $2" --help "produce --help" --version; do $K $c > /dev/full; echo $?; done'
    code, out, err = shell(script, cluster.bootstrap, full)
    assert out.split() == [b"1"] * 4
    assert [line.rpartition(": ")[2] for line in err.splitlines()] == ["No space left on device"] * 4
    assert "kafka-turbo consume: standard output: No space left on device\n" in err
    code, out, err = shell("$K nonsense 2> /dev/full; echo $?; $K produce t missing 2> /dev/full; echo $?")
    assert (out.split(), err) == ([b"2", b"1"], "")


def test_closed_streams(cluster, full):
    code, out, err = shell('$K produce -b "$1" closed <&-', cluster.bootstrap)
    assert (code, out, err) == (
        1,
        b"",
        "kafka-turbo produce: standard input is closed: 0 records acknowledged, 0 failed\n",
    )
    code, out, err = shell('$K consume -b "$1" "$2" >&-', cluster.bootstrap, full)
    assert (code, out, err) == (1, b"", "kafka-turbo consume: standard output is closed\n")
    code, out, err = shell("$K --help >&-; echo $? >&2")
    assert (code, out, err) == (0, b"", "kafka-turbo: standard output is closed\n1\n")
    # What would have stood on standard error stands nowhere, in no socket and not on standard output.
    code, out, err = shell('$K produce -b "$1" t missing 2>&-; echo $?; $K nonsense 2>&-; echo $?', cluster.bootstrap)
    assert (out, err) == (b"1\n2\n", "")
    code, out, err = shell('echo x | $K produce -b "$1" closed >&- 2>&-', cluster.bootstrap)
    assert (code, out, err) == (0, b"", "") and stored(cluster, "closed") == [(None, b"x")]
    code, out, err = shell('$K consume -b "$1" "$2" <&- 2>&- | wc -l', cluster.bootstrap, full)
    assert (code, out.strip(), err) == (0, b"5000", "")


def nonblocking(file):
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_NONBLOCK)


def is_full(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0] >= 65536


def test_standard_input_that_does_not_block(cluster):
    reader, writer = os.pipe()
    nonblocking(reader)
    with start("produce", "-b", cluster.bootstrap, "slowly", stdin=reader) as process:
        os.close(reader)
        for number in range(3):  # each time it has found nothing more
            os.write(writer, b"line %d\n" % number)
            until(lambda count=number + 1: "slowly" in cluster.topics and len(stored(cluster, "slowly")) == count)
        assert process.poll() is None
        os.close(writer)
        assert process.wait(30) == 0 and process.stderr.read() == b""


def test_standard_output_that_does_not_block(cluster, full):
    reader, writer = os.pipe()
    nonblocking(writer)
    with start("consume", "-b", cluster.bootstrap, full, stdout=writer) as process:
        os.close(writer)
        with open(reader, "rb") as file:
            until(lambda: process.poll() is not None or is_full(reader))
            assert len(file.read()) == 201 * 5000
        assert process.wait(30) == 0 and process.stderr.read() == b""


def test_what_was_read_before_a_failure_is_printed(cluster, full):
    cluster.create_topic("broken", 1)
    lines = b"a\nb\n"
    for data in (lines, b"c\n"):
        assert run("produce", "-b", cluster.bootstrap, "broken", stdin=data)[0] == 0
    batches = cluster.topics["broken"].partitions[0].log.storage._batches
    batches[-1][-1] ^= 1
    code, out, err = run("consume", "-b", cluster.bootstrap, "broken")
    assert code == 1 and out in (b"", lines) and "broken[0] at offset 2" in err and err.count("\n") == 1


# -- signals ---------------------------------------------------------------------------------------------------------


@contextmanager
def held_back(cluster):
    """Produce requests are not answered before `go_on`; `asked`: there is one. (asked, go_on)"""
    asked, go_on = threading.Event(), threading.Event()
    handlers = cluster.nodes[0].handlers
    usual = handlers[0]

    def handler(node, header, request):
        asked.set()
        later = Later(lambda: usual(node, header, request))
        threading.Thread(target=lambda: (go_on.wait(60), cluster._loop.call_soon_threadsafe(later.ready))).start()
        return later

    handlers[0] = handler
    try:
        yield asked, go_on
    finally:
        handlers[0] = usual
        go_on.set()


def read_terminal(terminal, wanted=None):
    """What stands there up to `wanted`, or all of it."""
    shown = b""
    while wanted is None or wanted not in shown:
        assert select.select([terminal], [], [], 30)[0], shown
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # how a terminal ends
            break
    return shown


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_says_what_was_acknowledged(cluster, times):
    topic = f"unheard-{times}"
    cluster.create_topic(topic, 1)
    ours, theirs = pty.openpty()
    with start("produce", "-b", cluster.bootstrap, topic, stderr=theirs) as process:
        os.close(theirs)
        process.stdin.write(b"one\ntwo\n")
        process.stdin.flush()
        until(lambda: cluster.end_offset(topic, 0) == 2)
        with held_back(cluster) as (asked, go_on):
            process.stdin.write(b"three\n")
            process.stdin.flush()
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            read_terminal(ours, b"read")  # it waits, and shows that
            if times == 2:
                process.send_signal(signal.SIGINT)
            else:
                go_on.set()
            assert process.wait(30) == 130
    said = read_terminal(ours).decode().rpartition("\x1b[K")[2].strip()
    os.close(ours)
    expected = "3 records acknowledged, 0 failed" if times == 1 else "2 records acknowledged, 0 failed, 1 given up"
    assert said.startswith(f"kafka-turbo produce: interrupted: {expected}") and "Traceback" not in said


def test_a_fault_of_ours_is_one_line_too(monkeypatch, capfd):
    import kafka.cli
    import kafka.cli.produce

    def fail(options):
        raise RuntimeError("of\nours")

    monkeypatch.setattr(kafka.cli.produce, "run", fail)
    if sys.flags.dev_mode:  # where the line sends whoever wants to know more
        with pytest.raises(RuntimeError, match="of\nours"):
            kafka.cli.main(["produce", "t"])
        return
    assert kafka.cli.main(["produce", "t"]) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("kafka-turbo produce: ") and "RuntimeError: of ours" in err
    assert err.count("\n") == 1


def test_json_out_and_lines_in(cluster):
    """What consume prints as JSON is JSON for produce."""
    assert run("produce", "-b", cluster.bootstrap, "source", "-K:", stdin=b"k:v\nl:\xff\n") == (0, b"", "")
    _, out, _ = run("consume", "-b", cluster.bootstrap, "source", "-f", "json")
    assert run("produce", "-b", cluster.bootstrap, "target", "-f", "json", "-k", "key", stdin=out) == (0, b"", "")
    assert [key for key, _ in stored(cluster, "target")] == [b"k", b"l"]
    assert {json.loads(value)["value"] for _, value in stored(cluster, "target")} == {"v", "\\xff"}
