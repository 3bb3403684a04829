"""Do the load tests measure rightly?  Against servers that are known to stall."""

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from harness.pipeline import REPO

sys.path.insert(0, os.path.join(REPO, "loadtest"))

import bench_pipeline  # noqa: E402
import results  # noqa: E402
import table  # noqa: E402


@contextlib.contextmanager
def stalling(begin, end):
    """The port of a server that answers nothing between two seconds."""

    start = time.monotonic()

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_):
            pass

        def do_GET(self):
            if begin <= time.monotonic() - start < end:
                time.sleep(start + end - time.monotonic())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("stall_ends, stops_at", [(1.5, 2.2), (2.5, 1.5)],
                         ids=["caught up", "behind"])
def test_reads_are_charged_with_a_stall(stall_ends, stops_at):
    """50 a second for 0.5 s, then nothing for a second: 50 were due in it."""

    stop = threading.Event()
    with stalling(0.5, stall_ends) as port:
        reader = bench_pipeline.Reader(port, 50)
        thread = threading.Thread(target=reader.run, args=(stop,))
        thread.start()
        time.sleep(stops_at)
        stop.set()
        thread.join()
    times = [t for found in reader.times.values() for t in found]
    assert reader.failures == []
    # Of 0.02 s each, and as many were due in the last 0.6 s before its end.
    assert sum(t > 0.35 for t in times) >= 20, sorted(times)
    assert 0.7 < max(times) < 5
    assert reader.unasked > 20 or stops_at > stall_ends


@pytest.mark.parametrize("names, newest", [
    ([], None),
    (["2026-01-02-ingest-turns", "2026-01-02-memory-ingest"], None),
    (["2026-01-02-ingest", "2026-01-01-ingest"], "2026-01-02-ingest"),
    (["2026-01-02-ingest-10", "2026-01-02-ingest-9", "2026-01-02-ingest",
      "2026-01-01-ingest-11", "2026-01-03-ingest-turns"],
     "2026-01-02-ingest-10"),
    (["2026-01-03-ingest", "2026-01-02-ingest-2", "2026-01-04-ingest~"],
     "2026-01-03-ingest")])
def test_the_newest_results_are_the_last_by_name(tmp_path, names, newest):
    """Their time is that of a checkout; written in this order."""

    for number, name in enumerate(names):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(name))
        os.utime(path, (number, number))
    assert table.newest(tmp_path, "ingest") == newest


@pytest.mark.parametrize("n, q, rank", [
    (1, 0, 1), (1, 0.5, 1), (1, 1, 1), (2, 0.5, 1), (3, 0.5, 2), (4, 0.5, 2),
    (10, 0.9, 9), (20, 0.95, 19), (100, 0, 1), (100, 0.07, 7), (100, 0.99, 99),
    (101, 0.99, 100), (100, 0.995, 100), (1000, 0.999, 999), (1000, 1, 1000)])
def test_a_quantile_is_the_nearest_rank(n, q, rank):
    assert results.quantile([*range(n, 0, -1)], q) == rank


def test_a_quantile_of_nothing():
    assert results.quantile([], 0.5) is None


def test_jmeters_summary_has_the_same_quantiles(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(
        "timeStamp,elapsed,label,responseCode,failureMessage,success\n"
        + "".join(f"1000,{ms},GET,200,,true\n" for ms in range(100, 0, -1)))
    done = subprocess.run(
        [sys.executable, os.path.join(REPO, "loadtest/jmeter/summary.py"),
         path], stdout=subprocess.PIPE, text=True, check=False)
    line, = [line for line in done.stdout.splitlines() if "GET  " in line]
    assert line.split()[-4:] == ["50", "95", "99", "100"]
