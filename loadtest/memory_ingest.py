#!/usr/bin/env python3
"""`make memory-ingest`: how much memory an nginx worker takes, at worst.

    full load     as many events as --events says, in batches of 100; the
                  worker's resident size is read once a second
    stopped       the broker is stopped (SIGSTOP) under load of so many
                  connections that the queue fills to its limits
    recovery      it goes on; the worker must answer 202 again

It fails when the size grows over the events (the last fifth of the readings
against the second), when a worker takes more than its bound, or when it does
not recover.  Prints a line a phase, and keeps what it read in results/.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'scripts'))

import bench_ingest  # noqa: E402
from process import StackError, end_by_signals, wait_for  # noqa: E402
from results import keep  # noqa: E402

MIB = 1 << 20

# docs/performance.md, "Memory of a worker", says what they are for.
QUEUE = 256 * MIB           # millrace_queue_size
KEPT = 3 * 16 * MIB         # free in malloc's arenas
BATCHES = 64 * MIB          # what librdkafka encodes and sends
BASE = 32 * MIB             # nginx, libraries, connections' own buffers
BODY = 256 * 1024           # client_body_buffer_size

GROWTH = 0.03               # of the size, or GROWTH_MIN
GROWTH_MIN = 4 * MIB


def bound(connections):
    """What a worker may take at most with so many busy connections."""
    return QUEUE + KEPT + BATCHES + BASE + connections * BODY


def resident(pid):
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as f:
        for line in f:
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) * 1024
    raise bench_ingest.BenchError(f'process {pid} has ended')


class Reader(threading.Thread):
    """Reads a process' resident size once a second until stop()."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.sizes = []
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(1):
            self.sizes.append(resident(self.pid))

    def stop(self):
        self.done.set()
        self.join()
        return self.sizes


class Memory:

    def __init__(self, args, directory):
        self.args = args
        self.bench = bench_ingest.Bench(args, directory)
        self.problems = []
        self.phases = {}

    def run(self):
        bench = self.bench
        bench.start_kafka()
        bench.start_nginx(1)
        self.stack = bench.nginx[1]
        [_, self.pid] = self.stack.group('nginx')
        self.phase('full load', self.args.connections, self.full_load)
        self.phase('broker stopped', self.args.many, self.stopped)
        self.phase('recovery', self.args.connections, self.recovery)

    def phase(self, name, connections, act):
        reader = Reader(self.pid)
        reader.start()
        try:
            found = act(connections)
        finally:
            sizes = reader.stop()
        found['connections'] = connections
        found['bound'] = bound(connections)
        found['sizes'] = sizes
        found['highest'] = max(sizes)
        found['median'] = statistics.median(sizes)
        self.phases[name] = found
        print(f'{name:15} {found["events"]:12,} events with 202, '
              f'{found["refused"]:9,} requests with 503; resident: median '
              f'{found["median"] / MIB:6.1f}, highest '
              f'{found["highest"] / MIB:6.1f} MiB, bound '
              f'{found["bound"] / MIB:.0f} MiB', flush=True)
        if found['highest'] > found['bound']:
            self.problem(f'{name}: the worker took more than its bound')
        bad = set(found['answers']) - {'202', '503', '0'}
        if bad:
            self.problem(f'{name}: answers {", ".join(sorted(bad))}')

    def load(self, connections, seconds):
        result = self.bench.generate(
            self.stack.url + '/events', '-k', 100, '-c', connections,
            '-d', seconds)
        counts = result['all']
        return {'answers': {k: v['requests'] for k, v in counts.items()},
                'events': counts.get('202', {}).get('events', 0),
                'refused': counts.get('503', {}).get('requests', 0),
                'events_per_second': result['events_per_second']}

    def full_load(self, connections):
        """In pieces, since how long it takes is not known beforehand."""
        total = None
        while total is None or total['events'] < self.args.events:
            part = self.load(connections, self.args.piece)
            if part['events'] == 0:
                raise bench_ingest.BenchError('no event was taken')
            if total is None:
                total = part
                continue
            for key in ('events', 'refused'):
                total[key] += part[key]
            for status, n in part['answers'].items():
                total['answers'][status] = \
                    total['answers'].get(status, 0) + n
        return total

    def stopped(self, connections):
        kafka = self.bench.kafka
        kafka.signal('kafka', signal.SIGSTOP)
        try:
            found = self.load(connections, self.args.stopped)
        finally:
            kafka.signal('kafka', signal.SIGCONT)
        if found['refused'] == 0:
            self.problem('broker stopped: nothing was refused')
        return found

    def recovery(self, connections):
        wait_for(lambda: set(self.load(8, 1)['answers']) == {'202'}, 60,
                 'answers of 202 alone')
        found = self.load(connections, self.args.piece)
        if found['events'] == 0 or found['refused']:
            self.problem(f'recovery: {found["answers"]}')
        return found

    def judge(self):
        sizes = self.phases['full load']['sizes']
        fifth = max(1, len(sizes) // 5)
        early = statistics.median(sizes[fifth:2 * fifth] or sizes)
        late = statistics.median(sizes[-fifth:])
        growth = late - early
        self.growth = growth
        print(f'growth over the events: {growth / MIB:+.1f} MiB '
              f'(second fifth {early / MIB:.1f}, last {late / MIB:.1f})')
        if growth > max(GROWTH_MIN, GROWTH * early):
            self.problem('the worker grows')

    def problem(self, text):
        self.problems.append(text)
        print(f'WRONG: {text}', file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(
        description='Measure the memory of an nginx worker.')
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('--events', type=int, default=50_000_000)
    parser.add_argument('--connections', type=int, default=64)
    parser.add_argument('--many', type=int, default=4096,
                        help='connections while the broker is stopped')
    parser.add_argument('--piece', type=float, default=10,
                        help='seconds of load at a time')
    parser.add_argument('--stopped', type=float, default=25,
                        help='seconds with the broker stopped')
    parser.add_argument('--heap', default='512m', help='of the broker')
    parser.add_argument('-X', dest='kafka', action='append', default=[],
                        metavar='PROPERTY=VALUE', help='for the module')
    parser.add_argument('--directory', help='for data; removed at the end')
    parser.add_argument('--results', default=os.path.join(HERE, 'results'))
    return parser.parse_args()


def main():
    args = arguments()
    directory = tempfile.mkdtemp(prefix='millrace-memory-',
                                 dir=args.directory)
    memory = Memory(args, directory)
    start = time.monotonic()
    try:
        memory.run()
        memory.judge()
    finally:
        memory.bench.stop()
        shutil.rmtree(directory, ignore_errors=True)
    args.directory = None
    print('kept in ' + os.path.relpath(keep(
        args.results, 'memory-ingest',
        {'options': vars(args), 'seconds': time.monotonic() - start,
         'growth': memory.growth, 'problems': memory.problems,
         'phases': memory.phases})))
    return 1 if memory.problems or memory.bench.problems else 0


if __name__ == '__main__':
    end_by_signals()
    try:
        sys.exit(main())
    except (bench_ingest.BenchError, StackError,
            subprocess.SubprocessError) as failure:
        sys.exit(f'memory_ingest: {failure}')
