#!/usr/bin/env python3
"""`make bench-stats`: what statistics in real time cost, and how fresh they are.

    windows    what the windows add to the storing of an event: the same
               backlog drained by the writer as it is and by one that keeps no
               windows (FAULT=no-windows), in turn
    fresh      while 50,000 events a second come in: from the 202 of a single
               event until GET /stats counts it, asked of the daemon and of nginx
    types      events of 1,000 types: from the end of each second until
               `event-stats` has its true count, for each type

What GET /stats itself takes is in `make bench-cache`.  A count that is wrong
at the end fails the benchmark.  Results go to loadtest/results/.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(REPO, 'scripts'))

from confluent_kafka import Consumer  # noqa: E402

import cpu  # noqa: E402
import results  # noqa: E402
from bench_pipeline import (  # noqa: E402
    BenchError, Client, add_machine, nginx_changes)
from process import HOST, StackError, end_by_signals, wait_for  # noqa: E402
from results import quantile  # noqa: E402
from stack import ORDER, Stack  # noqa: E402
from storage import Storage, StorageError  # noqa: E402

PARTS = [name for name in ORDER if name != 'millrace-setup']
BATCH = 100
SENDERS = 4


class NoWindows(Stack):
    """The writer of the build that keeps no windows."""

    fault = False

    def _binary(self, name):
        if self.fault and name == 'millrace-writer':
            return os.path.join(REPO, 'build-fault-no-windows', name)
        return super()._binary(name)


# What the windows add.

def windows(args, directory):
    """Core-microseconds an event with windows and without, by rounds."""
    subprocess.run(['make', '-s', f'-j{os.cpu_count()}',
                    'fault-no-windows'], cwd=REPO, check=True)
    storage = Storage(directory, args.build, cache=args.cache,
                      kind=NoWindows)
    rows = {'with': [], 'without': []}
    try:
        storage.start()
        storage.backlog(args.events)
        # The first round, which does not count, makes the broker's code.  What
        # was dropped stays in mongod's cache until another needs the place, so
        # each begins with a mongod of its own.
        for number in range(1 + args.rounds):
            for name, found in rows.items():
                storage.stack.fault = name == 'without'
                storage.mongo.drop_database('millrace')
                storage.drop_caches()
                storage.stack.start('setup')
                row = storage.drain()
                storage.stack.stop('writer')
                if number > 0:
                    found.append(row)
                print(f'{name:8} windows  {row["rate"]:9,.0f} events/s  '
                      + '  '.join(f'{role} {us:.2f}' for role, us
                                  in row['core_us'].items())
                      + f' core-us an event; others {row["cpu"]["foreign"]:.0%}',
                      flush=True)
    finally:
        storage.close()
    cost = {name: statistics.median(
        row['core_us']['mongod'] + row['core_us']['writer'] for row in found)
        for name, found in rows.items()}
    added = cost['with'] - cost['without']
    print(f'the windows add {added:.2f} core-us an event '
          f'({cost["with"]:.2f} - {cost["without"]:.2f})')
    return {'added_core_us': added, 'core_us': cost, 'rounds': rows}


# A pipeline for the other two.

class Bench:

    def __init__(self, args, directory):
        self.args = args
        self.build = os.path.join(REPO, args.build)
        self.directory = directory
        # As in bench_ingest.py: a tied stack would slow the broker down.
        self.guard = Stack(directory, args.build)
        self.stack = Stack(directory, args.build, ports=self.guard.ports,
                           mongo_cache=args.cache, tied=False)
        self.stack.nginx_changes = nginx_changes(1, args.linger)
        self.problems = []

    def close(self):
        self.stack.close()
        self.guard.close()
        self.problems += self.stack.problems()

    def used(self):
        return cpu.sample({part: self.stack.group(part) for part in PARTS})

    def metric(self, name):
        connection = http.client.HTTPConnection(
            HOST, self.stack.ports['stats_metrics'], timeout=10)
        connection.request('GET', '/metrics')
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith(name + ' '):
                return float(line.split()[1])
        raise BenchError(f'no {name} in /metrics of stats')

    # From a 202 to GET /stats.

    def count(self, client, event_type, since):
        path = (f'/stats?event_type={event_type}&time_interval=1m'
                f'&from={since}&to={since + 600}')
        status, body = client.ask('GET', path)
        if status != 200:
            raise BenchError(f'GET {path}: {status} {body[:200]}')
        return json.loads(body)['total']['count']

    def probe(self, name, port, since, stop, waits):
        """One after the other: post, then ask until it is counted."""
        nginx = Client(self.stack.ports['nginx'])
        asked = Client(port)
        posted = 0
        while not stop.is_set():
            posted += 1
            status, body = nginx.ask('POST', '/events', json.dumps({
                'event_id': f'{name}-{posted}', 'user_id': name,
                'event_type': name, 'timestamp': round(time.time(), 3)}))
            if status != 202:
                raise BenchError(f'POST: {status} {body[:200]}')
            began = time.monotonic()
            while self.count(asked, name, since) < posted:
                if time.monotonic() - began > 60:
                    raise BenchError(f'{name}: not counted within a minute')
                time.sleep(0.1)
            waits.append(time.monotonic() - began)
        counted = self.count(asked, name, since)
        if counted != posted:
            raise BenchError(f'{name}: {posted} posted, {counted} counted')

    def fresh(self):
        args = self.args
        since = int(time.time()) // 60 * 60
        stop = threading.Event()
        waits = {'query': [], 'nginx': []}
        threads = [Checked(self.probe, f'probe-{part}-{i}',
                           self.stack.ports[part], since, stop, found)
                   for part, found in waits.items() for i in range(4)]
        # A type's first event has every partition's flush register it: that is
        # not what is measured.
        for thread in threads:
            thread.start()
        self.load(args.warm)
        for found in waits.values():
            found.clear()
        before = self.used()
        load = self.load(args.seconds)
        used = cpu.difference(before, self.used())
        stop.set()
        for thread in threads:
            thread.join()
        self.problems += [str(t.error) for t in threads if t.error]
        row = {'offered': args.rate, 'taken': load['events_per_second'],
               'statuses': load['all'], 'idle': used['idle'],
               'foreign': used['foreign'],
               'core_us': {part: used[part] * 1e6 / args.rate / args.seconds
                           for part in PARTS}}
        if set(load['all']) != {'202'}:
            self.problems.append(f'not only 202: {load["all"]}')
        print(f'{load["events_per_second"]:,.0f} events/s, idle '
              f'{used["idle"]:.0%}, others {used["foreign"]:.0%}; core-us an '
              f'event: stats {row["core_us"]["millrace-stats"]:.2f}, query '
              f'{row["core_us"]["millrace-query"]:.2f}')
        for part, found in waits.items():
            row[part] = {'probes': len(found), **{
                name: quantile(found, q)
                for name, q in (('p50', 0.5), ('p99', 0.99), ('max', 1))}}
            print(f'202 to GET /stats of {part:5}: {len(found)} probes, p50 '
                  f'{row[part]["p50"]:.2f} s, p99 {row[part]["p99"]:.2f} s, '
                  f'at most {row[part]["max"]:.2f} s', flush=True)
        return row

    def load(self, seconds):
        out = os.path.join(self.directory, 'load.json')
        subprocess.run(
            [os.path.join(self.build, 'millrace-load'), '--json', out, '-q',
             '-k', str(BATCH), '-c', '64', '-d', str(seconds), '-r',
             str(self.args.rate / BATCH), '-s', str(int(time.time())),
             self.stack.url + '/events'], check=True, timeout=600)
        with open(out, encoding='utf-8') as f:
            return json.load(f)

    # A thousand types.

    def send(self, number, until, sent):
        """Batches of events of all types in turn, each at its time."""
        client = Client(self.stack.ports['nginx'])
        pause = BATCH * SENDERS / self.args.types_rate
        due = time.monotonic()
        i = 0
        while time.time() < until:
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))
            # What is sent, and not what it is rounded from.
            now = round(time.time(), 3)
            lines = []
            for _ in range(BATCH):
                i += 1
                t = (i * SENDERS + number) % self.args.types
                key = f'type-{t:04}', int(now)
                sent[key] = sent.get(key, 0) + 1
                lines.append(json.dumps({
                    'event_id': f't{number}-{i}', 'user_id': f'u{i % 5000}',
                    'event_type': key[0], 'timestamp': now,
                    'metadata': {'value': i % 1000 / 4}}))
            status, body = client.ask('POST', '/events',
                                      ('[' + ','.join(lines) + ']'))
            if status != 202:
                raise BenchError(f'POST: {status} {body[:200]}')

    def types(self):
        args = self.args
        consumer = Consumer({'bootstrap.servers': self.stack.brokers,
                             'group.id': 'bench', 'fetch.wait.max.ms': 20,
                             'auto.offset.reset': 'earliest'})
        consumer.subscribe(['event-stats'])
        stop, seen = threading.Event(), {}
        totals = {'messages': 0, 'bytes': 0}
        listener = Checked(listen, consumer, stop, seen, totals)
        listener.start()
        logs = [{} for _ in range(SENDERS)]
        before = self.used()
        began = time.time()
        senders = [Checked(self.send, i, began + args.types_seconds,
                           logs[i])
                   for i in range(SENDERS)]
        for thread in senders:
            thread.start()
        backlog = []
        while any(thread.is_alive() for thread in senders):
            backlog.append(int(self.metric('millrace_stats_windows_dirty')))
            time.sleep(1)
        used = cpu.difference(before, self.used())
        seconds = time.time() - began
        true = {}
        for log in logs:
            for key, n in log.items():
                true[key] = true.get(key, 0) + n
        total = sum(true.values())
        # Each second's true count, and that no revision went beyond it.
        try:
            wait_for(lambda: all(seen.get(key, {}).get(n)
                                 for key, n in true.items()), 120, 'counts')
        except StackError:
            self.problems.append(
                f'{sum(not seen.get(k, {}).get(n) for k, n in true.items())}'
                f' of {len(true)} windows never had their true count')
        stop.set()
        listener.join()
        over = sum(max(seen.get(key, {0: 0})) > n for key, n in true.items())
        if over:
            self.problems.append(f'{over} windows were counted too high')
        self.problems += [str(t.error) for t in [*senders, listener]
                          if t.error]
        delays = {key: seen[key][n] - (key[1] + 1)
                  for key, n in true.items() if seen.get(key, {}).get(n)}
        half = began + seconds / 2
        row = {'types': args.types, 'rate': total / seconds, 'events': total,
               'windows': len(true), **totals, 'dirty': backlog,
               'foreign': used['foreign'], 'idle': used['idle'],
               'cores': {part: used[part] / seconds for part in PARTS}}
        for name, chosen in (
                ('first_half', [d for k, d in delays.items() if k[1] < half]),
                ('second_half', [d for k, d in delays.items()
                                 if k[1] >= half])):
            row[name] = {'p50': quantile(chosen, 0.5),
                         'p99': quantile(chosen, 0.99)}
        print(f'{args.types} types, {row["rate"]:,.0f} events/s: '
              f'{totals["messages"] / seconds:,.0f} messages/s; from the end '
              'of a second to its true count, p50/p99: ' + ', '.join(
                  f'{row[h]["p50"]:.2f}/{row[h]["p99"]:.2f} s in the '
                  f'{h.replace("_", " ")}'
                  for h in ('first_half', 'second_half'))
              + '; cores: ' + ', '.join(
                  f'{part.replace("millrace-", "")} {n:.2f}'
                  for part, n in row['cores'].items())
              + f'; others {used["foreign"]:.0%}', flush=True)
        return row


def listen(consumer, stop, seen, totals):
    """{(type, second): {count: when it was first seen}}"""
    while not stop.is_set():
        for message in consumer.consume(1000, 0.2):
            if message.error():
                continue
            now = time.time()
            totals['messages'] += 1
            totals['bytes'] += len(message.value())
            event_type, width, start = message.key().decode().rsplit('|', 2)
            if width == '1s' and event_type.startswith('type-'):
                count = json.loads(message.value())['count']
                seen.setdefault((event_type, int(start)),
                                {}).setdefault(count, now)
    consumer.close()


class Checked(threading.Thread):
    """A thread that keeps what ended it."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self.call, self.args, self.error = call, args, None

    def run(self):
        try:
            self.call(*self.args)
        except Exception as error:
            self.error = error


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('--only', default='windows,fresh,types')
    parser.add_argument('--events', type=int, default=4_000_000,
                        help='of the backlog')
    parser.add_argument('--rounds', type=int, default=3,
                        help='that count, of the windows')
    parser.add_argument('--rate', type=int, default=50_000)
    parser.add_argument('--seconds', type=int, default=120)
    parser.add_argument('--warm', type=int, default=40)
    parser.add_argument('--types', type=int, default=1000)
    parser.add_argument('--types-rate', type=int, default=5000)
    parser.add_argument('--types-seconds', type=int, default=60)
    add_machine(parser)
    parser.add_argument('--quick', action='store_true',
                        help='few of everything: does all of it work?')
    parser.add_argument('--directory', help='for data; removed at the end')
    parser.add_argument('--results', default=os.path.join(HERE, 'results'))
    args = parser.parse_args()
    if args.quick:
        args.events, args.rounds = 300_000, 1
        args.seconds = args.types_seconds = 6
        args.warm, args.rate = 2, 10_000
    return args


def main():
    args = arguments()
    only = args.only.split(',')
    directory = tempfile.mkdtemp(prefix='millrace-bench-', dir=args.directory)
    found, problems = {}, []
    try:
        if 'windows' in only:
            found['windows'] = windows(args, os.path.join(directory, 'w'))
        if 'fresh' in only or 'types' in only:
            bench = Bench(args, os.path.join(directory, 'p'))
            try:
                bench.stack.start()
                if args.weigh:
                    cpu.weigh(bench.stack)
                for name in ('fresh', 'types'):
                    if name in only:
                        found[name] = getattr(bench, name)()
            finally:
                bench.close()
            problems = bench.problems
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if not args.quick:
        print('kept in ' + os.path.relpath(results.keep(
            args.results, 'stats', {'options': vars(args), **found,
                                    'problems': problems})))
    for text in problems:
        print(f'WRONG: {text}', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    end_by_signals()
    try:
        sys.exit(main())
    except (BenchError, StorageError, StackError,
            subprocess.SubprocessError) as failure:
        sys.exit(f'bench_stats: {failure}')
