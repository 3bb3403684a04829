"""The harness's own tests: values, readers, waiting, what a run notices."""

import copy
import subprocess
import uuid

import pytest

from harness import bsondoc, ids, values
from harness.bsondoc import Long
from harness.partition import murmur2
from harness.pipeline import Pipeline
from harness.waiting import Deadline, wait_until
from harness.workload import Workload

ID = uuid.UUID("0190a6e2-7b3c-7d1e-8f00-0123456789ab")


@pytest.mark.parametrize("a, b", [
    (1, 1.0), (0, False), (1, True), (0.0, -0.0), ([], {}), (None, 0),
    ("", None), ({"a": 1}, {"a": 1.0}), ([1], [1, 1]), ({"a": 1}, {"b": 1}),
    (0.1, 0.1 + 2**-56), ("\0", ""), (2**63 - 1, float(2**63))])
def test_values_that_differ(a, b):
    assert not values.same(a, b) and not values.same(b, a)
    assert values.same(a, copy.deepcopy(a))


def test_minus_zero_and_strictness():
    assert values.same(values.parse("[-0, -0.0, 0]"), [-0.0, -0.0, 0])
    for bad in ('{"a":1,"a":1}', "NaN", "[1,]", ""):
        with pytest.raises(ValueError):
            values.parse(bad)


@pytest.mark.parametrize("text", [
    str(ID).upper(), ID.hex, f"{{{ID}}}", f"urn:uuid:{ID}", f"{ID} ", "", "e1",
    str(ID)[:-1], str(ID)[:-1] + "g", str(ID).replace("-", "_")])
def test_ids_that_are_no_uuid(text):
    assert ids.is_uuid(str(ID)) and not ids.is_uuid(text)
    assert ids.text(ids.stored(text)) == text


def test_our_reader_of_bson_agrees_with_pymongo():
    bson = pytest.importorskip("bson")
    doc = {"a": 1, "": {"$set": [1.5, None, True, {"x": "\0y"}]},
           "l": bson.Int64(2), "d": bson.datetime_ms.DatetimeMS(-5),
           "b": b"xyz", "e": [], "o": {}, "u": ids.stored(str(ID))}
    read = bsondoc.decode(bson.encode(doc))
    assert read == {**doc, "d": -5, "u": ID}
    assert isinstance(read["l"], Long) and not isinstance(read["a"], Long)
    assert {ids.text(d["u"]) for d in (doc, read)} == {str(ID)}
    with pytest.raises(ValueError, match="twice"):
        bsondoc.decode(b"\x0f\0\0\0\x10a\0\1\0\0\0\x0aa\0\0")


def test_the_partitioner_is_javas():
    # The figures of Apache Kafka's own UtilsTest.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-"
             b"string": -985981536, b"abc": 479470107}
    for key, hash in known.items():
        assert murmur2(key) == hash & 0xFFFFFFFF


def test_waiting_gives_up():
    with pytest.raises(Deadline, match="the moon"):
        wait_until(lambda: False, 0.1, "the moon")
    with pytest.raises(Deadline, match="KeyError"):
        wait_until(lambda: {}["x"], 0.1, "a key")
    assert wait_until(lambda: 5, 0.1, "five") == 5


@pytest.mark.parametrize("log, line", [
    ("nginx.log", "1#1: [alert] worker process 17 exited on signal 9"),
    ("nginx.log", "1#1: [crit] pwrite() failed"),
    ("nginx.log", "1#1: [emerg] bind() failed"),
    ("millrace-writer.log", "==7==ERROR: AddressSanitizer: heap-use"),
    ("millrace-writer.log", "==7==ERROR: LeakSanitizer: detected"),
    ("millrace-query.log", "core/x.c:5:1: runtime error: signed integer"),
    ("nginx.log", "nginx: x.c:5: f: Assertion `0' failed."),
])
def test_a_line_of_a_log_fails_the_run(tmp_path, log, line):
    with Pipeline(tmp_path, build="build") as stack:
        (tmp_path / log).write_text(f"all is well\n{line}\n[error] well\n")
        assert stack.problems() == [f"{log}: {line}"]
        stack.killed_workers.append(7)
        assert stack.problems() == [f"{log}: {line}"]
        stack.killed_workers.append(17)
        assert stack.problems() == (
            [] if "process 17 " in line else [f"{log}: {line}"])


def test_a_process_that_ended_by_itself_is_noticed(tmp_path):
    with Pipeline(tmp_path, build="build") as stack:
        child = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
        (tmp_path / "millrace-writer.pid").write_text(f"{child.pid}\n")
        stack.expected["millrace-writer"] = child.pid
        assert stack.deaths() == []
        child.kill()
        child.wait()
        (death,) = stack.deaths()
        assert "millrace-writer" in death


def test_the_workload_repeats_itself_by_its_seed():
    first = Workload(3, 1.7e9, users=50).events(3000)
    assert first == Workload(3, 1.7e9, users=50).events(3000)
    assert first != Workload(4, 1.7e9, users=50).events(3000)
    repeats = len(first) - len(set(first))
    assert 3 <= repeats <= 40
