#!/usr/bin/env python3
"""`make bench-cache`: what GET /stats costs, asked of the daemon and of nginx.

Starts mongod, millrace-query and nginx of its own, stores a year of windows
with sketches as large as they get (12 KiB of HyperLogLog, 900 buckets of
DDSketch), and measures one after the other:

    the time of an answer that nobody has kept, by kind of question
    answers a second that nginx gives from its cache, and the daemon's share

No events flow meanwhile.  The result goes to loadtest/results/.
"""

import argparse
import datetime
import http.client
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPO, 'loadtest'),
                os.path.join(REPO, 'tests', 'integration')]

from bson import Int64                              # noqa: E402
from harness import sketches, storage               # noqa: E402
from harness.pipeline import Pipeline               # noqa: E402
import results                                      # noqa: E402
from results import quantile                        # noqa: E402

DAY = 86400
TYPES = [f'type-{i:03}' for i in range(200)]
HOURS = 48          # of each of them
BY_TYPE = '&group_by=event_type'


class Windows:
    """A year of hours and days, and a day of minutes, of one type; two days of
    hours of two hundred types."""

    def __init__(self, now):
        self.end = now // DAY * DAY - DAY      # a midnight, all is final
        rng = random.Random(1)
        users = [sketches.hyperloglog_dense(
            f'{i}-{n}' for n in range(20000)) for i in range(4)]
        values = [sketches.ddsketch(
            round(rng.lognormvariate(3, 1.5), 2) for _ in range(20000))
            for _ in range(4)]
        self.pairs = list(zip(users, values))
        self.rng = rng

    def one(self, width, event_type, start):
        users, values = self.rng.choice(self.pairs)
        return {
            '_id': {'width': width, 'event_type': event_type,
                    'start': storage.date(start * 1000)},
            'count': Int64(20000), 'unique_users': Int64(20000),
            'measures': {'value': {
                'count': Int64(20000), 'sum': 1000000.5, 'min': 0.01,
                'max': 9999.99, 'p50': 20.1, 'p95': 240.3, 'p99': 660.9}},
            'revision': Int64(1), 'final': True, 'published': Int64(1),
            'dirty': False, 'closes': storage.date((start + width) * 1000),
            'sketches': {'users': users, 'measures': {'value': values}}}

    def store(self, collection):
        for width, n in ((3600, 24 * 366), (DAY, 366), (60, 24 * 60)):
            for event_type in ('', 'view') if width == 60 else ('view',):
                collection.insert_many(
                    [self.one(width, event_type, self.end - i * width)
                     for i in range(1, n + 1)], ordered=False)
        for event_type in TYPES:
            collection.insert_many(
                [self.one(3600, event_type, self.end - i * 3600)
                 for i in range(1, HOURS + 1)], ordered=False)

    def questions(self):
        def ask(interval, buckets, width, more='&event_type=view'):
            return (f'/stats?time_interval={interval}&to={self.end}'
                    f'&from={self.end - buckets * width}{more}')
        return {
            '60 buckets of 1m, one type': ask('1m', 60, 60),
            '60 buckets of 1m, all types': ask('1m', 60, 60, ''),
            '60 buckets of 1h, one type': ask('1h', 60, 3600),
            '60 buckets of 5m, merged': ask('5m', 60, 300),
            '30 buckets of 1d, one type': ask('1d', 30, DAY),
            'a year of 1h, one type': ask('1h', 8760, 3600),
            'a year of 1d, one type': ask('1d', 365, DAY),
            '4 buckets of 1h, by type': ask('1h', 4, 3600, BY_TYPE),
            '48 buckets of 1h, by type': ask('1h', HOURS, 3600, BY_TYPE),
        }


def latency(port, path, n):
    connection = http.client.HTTPConnection('127.0.0.1', port)
    took = []
    for _ in range(n + 3):
        started = time.perf_counter()
        connection.request('GET', path)
        answer = connection.getresponse()
        size = len(answer.read())
        took.append(time.perf_counter() - started)
        assert answer.status == 200, answer.status
    took = took[3:]
    return {'requests': n, 'bytes': size,
            **{name: round(1000 * quantile(took, q), 2) for name, q in (
                ('p50_ms', 0.5), ('p99_ms', 0.99))}}


def asked(stack):
    with urllib.request.urlopen(f'http://127.0.0.1:'
                                f'{stack.ports["query_metrics"]}/metrics') as a:
        return sum(float(n) for n in re.findall(
            r'^millrace_query_requests_total\{path="/stats",[^}]*\} (\S+)$',
            a.read().decode(), re.M))


def cached(stack, path, seconds):
    # Else all connections wait for the first answer, and wrk makes thousands
    # of late requests out of that.
    urllib.request.urlopen(stack.url + path).read()
    before = asked(stack)
    done = subprocess.run(
        ['wrk', '-t1', '-c32', f'-d{seconds}s', '--latency',
         stack.url + path], stdout=subprocess.PIPE, check=True).stdout.decode()
    n = int(re.search(r'(\d+) requests in', done).group(1))
    assert 'Non-2xx' not in done, done
    to_daemon = asked(stack) - before
    return {'requests': n, 'per_second': round(float(
                re.search(r'Requests/sec:\s+(\S+)', done).group(1))),
            'p99': re.search(r'99%\s+(\S+)', done).group(1),
            'asked_of_the_daemon': int(to_daemon),
            'hit_ratio': round(1 - to_daemon / n, 6)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('-n', type=int, default=300, help='requests a kind')
    parser.add_argument('-s', '--seconds', type=int, default=5,
                        help='of load for each answer from the cache')
    parser.add_argument('-o', '--output',
                        default=os.path.join(REPO, 'loadtest', 'results'))
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix='millrace-cache-') as directory:
        stack = Pipeline(directory, build=args.build)
        try:
            stack.start('mongod', 'query', 'nginx')
            storage.create(stack.database)
            storage.register(stack.database, ['view', *TYPES])
            now = int(time.time())
            windows = Windows(now)
            windows.store(stack.database.windows)
            stack.database.state.insert_one({
                '_id': 'merge', 'as_of': datetime.datetime.now(
                    datetime.timezone.utc), 'partitions': []})
            table = {'daemon': {}, 'nginx': {}}
            port = stack.ports['query']
            for name, path in windows.questions().items():
                n = max(5, args.n // 15) if (
                    'year' in name or 'by type' in name) else args.n
                table['daemon'][name] = row = latency(port, path, n)
                print(f'{name:32} p50 {row["p50_ms"]:8} ms   p99 '
                      f'{row["p99_ms"]:8} ms   {row["bytes"]:9} bytes',
                      flush=True)
            questions = windows.questions()
            for name, path in (
                    ('closed, 60 buckets of 1m',
                     questions['60 buckets of 1m, one type']),
                    ('open, 60 buckets of 1m', '/stats?event_type=view')):
                table['nginx'][name] = row = cached(stack, path, args.seconds)
                print(f'{name:32} {row["per_second"]:8} answers/s   p99 '
                      f'{row["p99"]}   hit ratio {row["hit_ratio"]}',
                      flush=True)
            print('kept in', results.keep(args.output, 'cache', table))
        finally:
            stack.close()


if __name__ == '__main__':
    main()
