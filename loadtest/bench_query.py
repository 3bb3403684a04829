#!/usr/bin/env python3
"""`make bench-query`: how fast GET /events answers.

A backlog of the measured workload, its times spread over a day, is drained by
the writer.  Then each kind of query is asked through nginx, one at a time, on
one connection: cold (mongod started anew, the kernel's cache of its files
dropped), warm, and while events flow in through nginx.

    --keep DIRECTORY    leave the data there
    --use DIRECTORY     measure on what is there, however often

Needs .cache/venv (make deps) and what `make loadtest` builds.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import cpu
import results
from bench_pipeline import add_machine, nginx_changes
from results import quantile
from storage import (
    DAY, ConfError, StackError, Storage, StorageError, end_by_signals, wait_for)

SAMPLE = 2000       # blocks that users are drawn from
HOUR = 3600
WARM_UP = 40        # queries of a kind that are not counted
EXPORT = 1_000_000  # rows, the most that a stream may have
KEPT_UP = 0.95      # of what is sent has to be stored meanwhile

# p50 and p99, ms, that docs/performance.md compares with.
WANTED_USER, WANTED = (5, 25), (20, 60)


def users_of(block):
    """The user of each event of a block."""
    users = [one['u'] for one in block['who']]
    # --use may have blocks of an earlier version.
    counts = struct.unpack(f'<{len(users)}H',
                           block.get('counts') or block['ends'])
    if 'ends' in block:
        counts = [end - start for start, end in zip((0, *counts), counts)]
    return [user for user, count in zip(users, counts) for _ in range(count)]


class Kinds:
    """What is asked: name -> the query string, drawn at random each time."""

    def __init__(self, storage, rng, first, last):
        self.rng, self.first, self.last = rng, first, last
        # An event at random, and its user: busy users are asked for more.
        users = [user for block in storage.database.blocks
                 .aggregate([{'$sample': {'size': SAMPLE}},
                             {'$project': {'who.u': 1, 'counts': 1,
                                           'ends': 1}}])
                 for user in users_of(block)]
        self.users = [rng.choice(users) for _ in range(4096)]
        self.types = ['view', 'click', 'search', 'add_to_cart', 'purchase',
                      'signup']

    def user(self):
        return 'user_id=' + self.rng.choice(self.users)

    def type(self):
        return 'event_type=' + self.rng.choice(self.types)

    def old(self, width):
        start = self.rng.uniform(self.first, self.last - width)
        return f'from={start:.3f}&to={start + width:.3f}'

    def all(self):
        kinds = {}
        for order in ('desc', 'asc'):
            end = f'&order={order}'
            kinds.update({
                f'user {order}': lambda e=end: self.user() + e,
                f'user, an old hour {order}': lambda e=end:
                    f'{self.user()}&{self.old(HOUR)}{e}',
                f'user and type {order}': lambda e=end:
                    f'{self.user()}&{self.type()}{e}',
                f'type {order}': lambda e=end: self.type() + e,
                f'type, an old hour {order}': lambda e=end:
                    f'{self.type()}&{self.old(HOUR)}{e}',
                f'range, newest {order}': lambda e=end:
                    f'from={self.last - HOUR:.3f}{e}',
                f'range, an old hour {order}': lambda e=end:
                    self.old(HOUR) + e,
            })
        return kinds


class Client:
    """One connection to nginx."""

    def __init__(self, stack):
        self.port = stack.ports['nginx']
        self.open()

    def open(self):
        self.connection = http.client.HTTPConnection(
            '127.0.0.1', self.port, timeout=60)

    def get(self, query, **headers):
        """(milliseconds, body) of a page that was answered with 200."""
        start = time.perf_counter()
        self.connection.request('GET', '/events?' + query, headers=headers)
        answer = self.connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - start) * 1000
        if answer.status != 200:
            raise StorageError(f'GET /events?{query}: {answer.status} '
                               + body[:200].decode(errors='replace'))
        return took, body


def describe(took, rows):
    return {'n': len(took), 'p50': quantile(took, 0.5),
            'p99': quantile(took, 0.99), 'max': max(took),
            'rows': sum(rows) / len(rows)}


def ask(client, kinds, n, took, every=0.0):
    """n queries of each kind, one in `every` seconds at most, in turn: so all
    of them meet the same checkpoints.  `took`: answers() for what they take."""
    due = time.monotonic()
    for _ in range(n):
        for name, make in kinds.items():
            if every:
                time.sleep(max(0.0, due - time.monotonic()))
                due = time.monotonic() + every
            ms, body = client.get(make())
            took[name][0].append(ms)
            took[name][1].append(len(json.loads(body)['events']))


def answers(kinds):
    """Milliseconds and rows of each kind, none yet."""
    return {name: ([], []) for name in kinds}


def told(took):
    """What describe() makes of each kind, and of all with a user and all
    others, printed."""
    found = {name: describe(*one) for name, one in took.items()}
    for name, row in found.items():
        tell(name, row)
    reached(found)
    together = {'with a user': ([], []), 'without': ([], [])}
    for name, one in took.items():
        which = 'with a user' if name.startswith('user') else 'without'
        for whole, part in zip(together[which], one):
            whole.extend(part)
    for name, one in together.items():
        if one[0]:
            found[name] = describe(*one)
            tell(name, found[name])
    return found


def warm(storage, kinds, n, every=0.0):
    client = Client(storage.stack)
    ask(client, kinds, min(WARM_UP, n), answers(kinds))
    took = answers(kinds)
    ask(client, kinds, n, took, every)
    return told(took)


def cold(storage, kinds, n, rounds):
    """n of each kind on a mongod that has just been started, nothing cached,
    and that in several rounds."""
    took = answers(kinds)
    for name, make in list(kinds.items()) * rounds:
        storage.drop_caches()
        client = Client(storage.stack)
        # The daemon finds its server again; that is not what is measured.
        until = time.monotonic() + 30
        while True:
            try:
                client.get('user_id=nobody')
                break
            except StorageError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        ask(client, {name: make}, n, took)
    return told(took)


class Inflow:
    """Events that flow in through nginx at a fixed rate."""

    def __init__(self, storage, rate):
        self.storage, self.rate = storage, rate
        self.path = storage.stack.path('inflow.json')
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(
            [self.storage.program('millrace-load'), '-q', '--json', self.path,
             '-k', '100', '-c', '64', '-s', str(random.randrange(2**31)),
             '-r', str(self.rate // 100), '-d', '900',
             self.storage.stack.url + '/events'])
        return self

    @contextlib.contextmanager
    def watched(self):
        """`stored`: events a second meanwhile."""
        start, before = time.monotonic(), sum(self.storage.judged())
        yield
        if self.process.poll() is not None:
            raise StorageError('the events have ended too early')
        self.stored = (sum(self.storage.judged()) - before) / (
            time.monotonic() - start)
        print(f'  {self.stored:,.0f} events/s were stored meanwhile')

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def settle(storage, rate):
    """Until as many come in and the writer, which first reads its dedup
    window again, is no more than a second behind."""
    end, then = storage.log_end(), time.monotonic()

    def flows():
        nonlocal end, then
        before, since = end, then
        time.sleep(1)
        end, then = storage.log_end(), time.monotonic()
        return (end - before >= KEPT_UP * rate * (then - since)
                and end - sum(storage.judged()) < rate)

    wait_for(flows, 90, 'the writer to keep up')


def lagged(found, rate):
    """What makes the figures of the inflow wrong, or nothing."""
    if found.get('inflow_stored', rate) >= KEPT_UP * rate:
        return []
    return [f'{found["inflow_stored"]:,.0f} of {rate:,} events/s were stored '
            f'while queries were measured']


def export(storage, first, last, times=3):
    """Rows a second of a stream, the best of a few: all, and one type."""
    found = {}
    for name, query in (('all', ''), ('one type', '&event_type=click')):
        best = 0.0
        for _ in range(times):
            connection = http.client.HTTPConnection(
                '127.0.0.1', storage.stack.ports['nginx'], timeout=120)
            start = time.perf_counter()
            connection.request(
                'GET', f'/events?limit={EXPORT}&order=asc{query}',
                headers={'Accept': 'application/x-ndjson'})
            answer = connection.getresponse()
            rows, end = -1, b''
            while True:
                piece = answer.read(1 << 20)
                if not piece:
                    break
                rows += piece.count(b'\n')
                end = piece[-200:]
            seconds = time.perf_counter() - start
            connection.close()
            if answer.status != 200 or b'"next_cursor"' not in end:
                raise StorageError(f'the export was cut: {end!r}')
            best = max(best, rows / seconds)
        found[name] = {'rows': rows, 'rows_per_second': best}
        print(f'  export, {name}: {best:,.0f} rows/s of {rows:,}', flush=True)
    return found


def tell(name, row):
    print(f'  {name:28} p50 {row["p50"]:8.2f}  p99 {row["p99"]:8.2f}  max '
          f'{row["max"]:8.2f} ms  {row["rows"]:5.0f} rows', flush=True)


def reached(rows):
    """How many kinds of query are as fast as is wanted, and which are not."""
    missing = []
    for name, row in rows.items():
        p50, p99 = WANTED_USER if name.startswith('user') else WANTED
        if row['p50'] > p50 or row['p99'] > p99:
            missing.append(f'{name} {row["p50"]:.1f}/{row["p99"]:.0f}')
    print(f'  {len(rows) - len(missing)} of {len(rows)} as fast as wanted; not '
          f'so: {", ".join(missing) or "none"}', flush=True)


def measure(storage, args, first, last):
    """All of it; what docs/performance.md states."""
    rng = random.Random(args.seed)
    storage.stack.start('query', 'nginx')
    everything = Kinds(storage, rng, first, last).all()
    kinds = {name: make for name, make in everything.items()
             if args.only in name}
    found = {'events': storage.judged()[0]}
    print('warm', flush=True)
    found['warm'] = warm(storage, kinds, args.queries)
    if not args.only:
        found['export'] = export(storage, first, last)
    if args.inflow:
        storage.stack.start('writer')
        print(f'warm, while {args.inflow:,} events/s flow in', flush=True)
        with Inflow(storage, args.inflow) as inflow:
            # A JVM that has just started compiles its code: not with less
            # weight than all others.
            settle(storage, args.inflow)
            if args.weigh:
                cpu.weigh(storage.stack, cpu.NICE_READS)
                cpu.serve_later(storage.stack, storage.mongo,
                                'millrace-writer')
                # What waits for a core is to be what is measured.
                cpu.set_group_nice('self', cpu.NICE_CLIENT)
                cpu.cut_slices(storage.stack)
                cpu.cut_slice('self')
                time.sleep(10)  # until what it changes has had its effect
                settle(storage, args.inflow)
            with inflow.watched():
                found['inflow'] = warm(storage, kinds, args.queries,
                                       args.every)
        found['inflow_stored'] = inflow.stored
        storage.stack.stop('writer')
    if args.cold:
        print('cold', flush=True)
        found['cold'] = cold(storage, kinds, args.cold, args.cold_rounds)
    return found


def add_every(parser):
    parser.add_argument('--every', type=float, default=0, metavar='SECONDS',
                        help='a query at most, while events flow in; 0: one '
                             'after the other')


def arguments():
    parser = argparse.ArgumentParser(
        description='Measure GET /events on a backlog of events.')
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('--events', type=int, default=10_000_000)
    parser.add_argument('--queries', type=int, default=300,
                        help='of each kind')
    parser.add_argument('--cold', type=int, default=30,
                        help='queries of each kind and round; 0: none')
    parser.add_argument('--cold-rounds', type=int, default=8,
                        help='each on a mongod started anew')
    parser.add_argument('--inflow', type=int, default=50_000,
                        help='events a second; 0: none')
    add_every(parser)
    parser.add_argument('--only', default='', metavar='TEXT',
                        help='kinds with this in their name')
    add_machine(parser)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--keep', metavar='DIRECTORY',
                        help='leave the data there')
    parser.add_argument('--use', metavar='DIRECTORY',
                        help='data that --keep has left')
    parser.add_argument('--quick', action='store_true',
                        help='few of everything: does all of it work?')
    parser.add_argument('--results',
                        default=os.path.join(results.REPO, 'loadtest',
                                             'results'))
    args = parser.parse_args()
    if args.quick:
        args.events, args.queries, args.cold = 200_000, 20, 3
        args.cold_rounds = 1
    return args


def main():
    args = arguments()
    directory = args.use or args.keep or tempfile.mkdtemp(
        prefix='millrace-bench-')
    storage = Storage(directory, args.build, cache=args.cache)
    # As bench_pipeline has it, and docs/operations.md advises.
    storage.stack.nginx_changes = nginx_changes(1, args.linger)
    try:
        storage.start()
        if not args.use:
            print(f'a backlog of {args.events:,} events', flush=True)
            storage.backlog(args.events)
            drained = storage.drain()
            print(f'  drained at {drained["rate"]:,.0f} events/s', flush=True)
            storage.stack.stop('writer')
            with open(storage.stack.path('made'), 'w',
                      encoding='utf-8') as f:
                f.write(f'{time.time()}\n')
        with open(storage.stack.path('made'), encoding='utf-8') as f:
            last = float(f.read())
        found = measure(storage, args, last - DAY, last)
    finally:
        storage.close()
        if not (args.use or args.keep):
            shutil.rmtree(directory, ignore_errors=True)
    if not args.quick and not args.only:
        print('kept in ' + os.path.relpath(results.keep(
            args.results, 'query', {'options': vars(args), **found})))
    problems = lagged(found, args.inflow)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    end_by_signals()
    try:
        sys.exit(main())
    except (StorageError, StackError, ConfError,
            subprocess.SubprocessError) as failure:
        sys.exit(f'bench_query: {failure}')
