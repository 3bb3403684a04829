#!/usr/bin/env python3
"""`make bench-pipeline`: the whole of Millrace at once, and how fast it is.

The generator, nginx with the module, Kafka, the writer, stats, mongod and the
query daemon share the machine, while readers ask for events and statistics.

    steps     offered rates, each for half a minute: which one is kept up with?
    hold      the highest of them for three minutes
    burst     a minute as fast as the module takes events, on top of an idle
              pipeline, and how long it takes to store what has piled up

A rate is kept up with when every request was answered with 202, the events
became readable about as fast as they came, and 99 % of the probes - single
events that are posted and then asked for until they are there - took no more
than --fresh seconds.

At the end the accounting: what the senders' logs say was sent is in the topic,
is stored once and is counted once.  A difference fails the benchmark.
"""

import argparse
import datetime
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

import cpu  # noqa: E402
import results  # noqa: E402
from process import HOST, StackError, end_by_signals, wait_for  # noqa: E402
from results import quantile  # noqa: E402
from stack import ORDER, Stack  # noqa: E402
from stackconf import ConfError  # noqa: E402

PARTS = [name for name in ORDER if name != 'millrace-setup']
TYPES = ('view', 'click', 'search', 'add_to_cart', 'purchase', 'signup')

PROBE_USER = 'probe'
DRAIN = 900         # seconds until everything must be stored


class BenchError(Exception):
    pass


class Client:
    """One keep-alive connection to nginx; a thread's own."""

    def __init__(self, port):
        self.port = port
        self.connection = None
        self.headers = {}

    def ask(self, method, path, body=None):
        """(status, body); the answer's headers stay in `headers`."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                HOST, self.port, timeout=30)
        try:
            self.connection.request(method, path, body, {
                'Content-Type': 'application/json'} if body else {})
            answer = self.connection.getresponse()
            self.headers = answer.headers
            return answer.status, answer.read()
        except OSError:
            self.connection.close()
            self.connection = None
            raise


class Prober:
    """Posts single events and measures until GET /events has them."""

    def __init__(self, port, seconds=0.5):
        self.port = port
        self.pause = seconds
        self.number = 0
        self.posted = 0
        self.waits = []
        self.failures = []
        self.lock = threading.Lock()

    def probe(self):
        client = Client(self.port)
        with self.lock:
            self.number += 1
            number = self.number
        user = f'{PROBE_USER}-{number % 64:02}'
        event = {'event_id': f'probe-{number}', 'user_id': user,
                 'event_type': 'probe', 'timestamp': round(time.time(), 3)}
        began = time.monotonic()
        try:
            status, body = client.ask('POST', '/events', json.dumps(event))
            if status != 202:
                raise BenchError(f'POST of a probe: {status} {body[:200]}')
            with self.lock:
                self.posted += 1
            path = f'/events?user_id={user}&event_id=probe-{number}' \
                f'&after={client.headers["Millrace-Receipt"]}'
            status = 503
            while status == 503 and time.monotonic() - began < 120:
                status, body = client.ask('GET', path)
            if status != 200 or not json.loads(body)['events']:
                raise BenchError(f'a probe is not there: {status} {body}')
            with self.lock:
                self.waits.append(time.monotonic() - began)
        except (OSError, BenchError, ValueError) as failure:
            with self.lock:
                self.failures.append(str(failure))

    def run(self, stop):
        threads = []
        while not stop.wait(self.pause):
            threads = [t for t in threads if t.is_alive()]
            if len(threads) < 64:
                threads.append(threading.Thread(
                    target=self.probe, daemon=True))
                threads[-1].start()
        for thread in threads:
            thread.join()


class Reader:
    """Asks what users of the API ask, at a fixed rate; keeps the times.

    They run from when a read was due: one that waits for an answer before it
    has waited as well.  What was due and not asked for when the run ended is
    charged with its wait until then, and counted in `unasked`.
    """

    def __init__(self, port, rate):
        self.port = port
        self.rate = rate
        self.times = {}
        self.unasked = 0
        self.failures = []

    def paths(self):
        number = 0
        while True:
            number += 1
            user = number * 7919 % 1000
            yield 'user', f'/events?user_id=user-{user:07}&limit=100'
            yield 'stats', '/stats?time_interval=1m'
            yield 'type', '/events?event_type=' \
                f'{TYPES[number % len(TYPES)]}&limit=100'
            yield 'stats', '/stats?group_by=event_type&time_interval=1m'
            yield 'newest', '/events?limit=100'

    def run(self, stop):
        client = Client(self.port)
        due = time.monotonic()
        ended = None
        for kind, path in self.paths():
            due += 1 / self.rate
            if ended is None and stop.wait(max(0.0, due - time.monotonic())):
                ended = time.monotonic()
            if ended is not None:
                if due > ended:
                    return
                self.unasked += 1
                self.times.setdefault(kind, []).append(ended - due)
                continue
            try:
                status, body = client.ask('GET', path)
                if status != 200:
                    self.failures.append(f'GET {path}: {status} {body[:200]}')
            except OSError as failure:
                self.failures.append(str(failure))
            self.times.setdefault(kind, []).append(time.monotonic() - due)


class Watcher:
    """Twice a second: how many records Kafka has, and how many are stored."""

    def __init__(self, bench):
        self.bench = bench
        self.samples = []

    def run(self, stop):
        while True:
            self.samples.append((time.monotonic(), self.bench.lag()))
            if stop.wait(0.5):
                return


class Bench:

    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.build = os.path.join(REPO, args.build)
        self.stack = None
        self.guard = None
        self.logs = []
        self.probes = 0
        self.runs = []
        self.problems = []

    def start(self):
        path = os.path.join(self.directory, 'stack')
        # As in bench_ingest.py: a tied stack would slow the broker down, and
        # the guard of a second one ends it all the same.
        self.guard = Stack(path, self.args.build)
        self.stack = Stack(path, self.args.build, ports=self.guard.ports,
                           heap=self.args.heap,
                           mongo_cache=self.args.cache, tied=False)
        self.stack.nginx_changes = nginx_changes(self.args.workers,
                                                 self.args.linger)
        self.stack.options = {}
        for text in self.args.set:
            name, _, value = text.partition('=')
            section, _, key = name.partition('.')
            self.stack.options.setdefault(section, {})[key] = value
        self.stack.start()
        if self.args.weigh:
            cpu.weigh(self.stack)

    def stop(self):
        if self.stack is not None:
            self.stack.close()
            self.problems += self.stack.problems()
        if self.guard is not None:
            self.guard.close()

    def metrics(self, part):
        """{name with labels: value} of a daemon."""
        port = self.stack.ports[part + '_metrics']
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        connection.request('GET', '/metrics')
        text = connection.getresponse().read().decode()
        connection.close()
        found = {}
        for line in text.splitlines():
            if line and not line.startswith('#'):
                name, _, value = line.rpartition(' ')
                found[name] = float(value)
        return found

    def lag(self):
        """Records that are in Kafka and not stored yet."""
        return sum(value for name, value in self.metrics('writer').items()
                   if name.startswith('millrace_writer_lag_records'))

    def tool(self, *words):
        done = subprocess.run(
            [os.path.join(self.build, 'topic_tool'), self.stack.brokers,
             *words], stdout=subprocess.PIPE, timeout=1200, check=False)
        if not done.stdout:
            raise BenchError(f'topic_tool {words[0]} failed')
        return json.loads(done.stdout)

    def generate(self, *options):
        log = os.path.join(self.directory, f'sent{len(self.logs)}')
        out = os.path.join(self.directory, 'load.json')
        self.logs.append(log)
        subprocess.run(
            [os.path.join(self.build, 'millrace-load'), '--json', out, '-q',
             '-s', str(len(self.logs)), '--log', log, '-k',
             str(self.args.batch), '-c', str(self.args.connections),
             *map(str, options), self.stack.url + '/events'],
            check=True, timeout=1200)
        with open(out, encoding='utf-8') as f:
            return json.load(f)

    def drained(self):
        """Wait until all is stored, and counted."""
        wait_for(lambda: self.stored() == self.tool(
            'marks', 'events')['total'], DRAIN, 'everything being stored')

    def outcomes(self):
        """What has become of the records: {outcome: number}."""
        found = self.metrics('writer')
        return {outcome: int(found[
            f'millrace_writer_records_total{{outcome="{outcome}"}}'])
            for outcome in ('stored', 'repeated', 'dead')}

    def stored(self):
        """Records that the writer is done with."""
        return sum(self.outcomes().values())

    def run(self, name, seconds, rate=0):
        """Send for so long, at so many events a second; what came of it."""
        args = self.args
        stop = threading.Event()
        port = self.stack.ports['nginx']
        prober = Prober(port)
        prober.number = self.probes
        watcher = Watcher(self)
        readers = [Reader(port, args.reads / 2) for _ in range(2)]
        threads = [threading.Thread(target=part.run, args=(stop,),
                                    daemon=True)
                   for part in [prober, watcher, *readers]]
        processes = {part: self.stack.group(part) for part in PARTS}
        before = self.metrics('writer')
        first = cpu.sample(processes)
        for thread in threads:
            thread.start()
        options = ['-d', seconds]
        if rate:
            options += ['-r', rate / args.batch]
        load = self.generate(*options)
        used = cpu.difference(first, cpu.sample(processes))
        behind = self.lag()
        stop.set()
        ended = time.monotonic()
        for thread in threads:
            thread.join()
        self.drained()
        drain = time.monotonic() - ended
        after = self.metrics('writer')
        self.probes = prober.number
        result = {
            'name': name, 'offered': rate, 'load': load, 'cpu': used,
            'lag': watcher.samples, 'behind': behind, 'drain': drain,
            'fresh': prober.waits, 'posted_probes': prober.posted,
            'reads': {kind: [t for r in readers for t in r.times.get(kind, [])]
                      for kind in sorted({k for r in readers
                                          for k in r.times})},
            'unasked': sum(r.unasked for r in readers),
            'memory_peak': {part: cpu.memory_peak(pids)
                            for part, pids in processes.items()},
            'writer': {name: after[name] - before.get(name, 0)
                       for name in after},
            'failures': prober.failures + [f for r in readers
                                           for f in r.failures],
        }
        result['kept'] = self.judge(result)
        self.runs.append(result)
        self.tell(result)
        return result

    def judge(self, result):
        """Was the rate kept up with?  The reasons why not."""
        load = result['load']
        why = []
        bad = set(load['all']) - {'202'}
        if bad:
            why.append('answers other than 202: ' + ', '.join(sorted(bad)))
        if result['offered']:
            if load['events_per_second'] < 0.98 * result['offered']:
                why.append(f'only {load["events_per_second"]:,.0f}/s taken')
            fresh = quantile(result['fresh'], 0.99)
            if fresh is None or fresh > self.args.fresh:
                why.append('p99 of freshness '
                           + ('unknown' if fresh is None else f'{fresh:.1f} s'))
            # What piled up must not grow from the middle third to the last.
            lags = [lag for _, lag in result['lag']]
            third = len(lags) // 3
            middle = statistics.mean(lags[third:2 * third] or [0])
            last = statistics.mean(lags[2 * third:] or [0])
            if last > 1.5 * middle + result['offered']:
                why.append(f'the lag grows: {middle:,.0f}, then {last:,.0f}')
        if load.get('generator_is_the_limit'):
            why.append('the generator was the limit')
        if result['failures']:
            why.append(f'{len(result["failures"])} probes or reads failed: '
                       + result['failures'][0])
        result['why_not'] = why
        return not why

    def tell(self, result):
        load = result['load']
        n = load['all'].get('202', {}).get('events', 0) or 1
        fresh = result['fresh']
        print(f'{result["name"]:6} offered {result["offered"] or 0:9,.0f}/s  '
              f'taken {load["events_per_second"]:9,.0f}/s  behind '
              f'{result["behind"]:11,.0f}  drained in {result["drain"]:5.1f} s'
              f'  fresh p50 {quantile(fresh, 0.5) or 0:5.2f} p99 '
              f'{quantile(fresh, 0.99) or 0:5.2f} s  '
              + ('kept up' if result['kept'] else
                 '; '.join(result['why_not'])), flush=True)
        print('       core-us an event: ' + ', '.join(
            f'{part.replace("millrace-", "")} '
            f'{result["cpu"][part] * 1e6 / n:.2f}' for part in PARTS)
            + f', generator {result["cpu"]["sender"] * 1e6 / n:.2f}; idle '
            f'{result["cpu"]["idle"]:.0%}', flush=True)
        print('       reads p50/p99 ms: ' + ', '.join(
            f'{kind} {quantile(times, 0.5) * 1e3:.1f}/'
            f'{quantile(times, 0.99) * 1e3:.1f}'
            for kind, times in result['reads'].items())
            + f'; {result["unasked"]} due and not asked for', flush=True)

    def account(self):
        """Sent = in Kafka = stored = counted, each once."""
        print('accounting: the senders\' logs, the topic, the writer, '
              'GET /stats', flush=True)
        found = self.tool('audit', 'events', *self.logs)
        probes = sum(run['posted_probes'] for run in self.runs)
        sums = self.outcomes()
        now = time.time()
        client = Client(self.stack.ports['nginx'])

        def counted():
            _, body = client.ask('GET', '/stats?time_interval=1d&from='
                                 f'{int(now) - 2 * 86400}&to={int(now) + 1}')
            answer = json.loads(body)
            if (answer['as_of'] or 0) < now:
                return None
            return answer['total']['count']

        wait_for(lambda: counted() is not None, 120, 'GET /stats being as of '
                 'now')
        account = {**found, **sums, 'probes': probes, 'counted': counted()}
        print('  ' + ', '.join(f'{v:,} {k}' for k, v in account.items()))
        checks = {
            'lost between sender and Kafka': found['missing'],
            'in Kafka more often than sent': found['surplus'],
            'under another key': found['misplaced'],
            'unknown beside the probes': found['unknown'] - probes,
            'stored, but not once each':
                sums['stored'] - found['distinct'] - probes,
            'records that are nowhere':
                found['records'] - sum(sums.values()),
            'counted otherwise than stored':
                account['counted'] - sums['stored'],
        }
        for what, n in checks.items():
            if n:
                self.problems.append(f'accounting: {n} {what}')
        return account


def summary(run):
    """What is stated of a run."""
    load = run['load']
    n = load['all'].get('202', {}).get('events', 0) or 1
    return {
        'offered': run['offered'], 'taken': load['events_per_second'],
        'events': n, 'kept': run['kept'], 'why_not': run['why_not'],
        'fresh_p50': quantile(run['fresh'], 0.5),
        'fresh_p99': quantile(run['fresh'], 0.99),
        'probes': len(run['fresh']), 'behind': run['behind'],
        'drain': run['drain'], 'idle': run['cpu']['idle'],
        'post_p50_ms': load['latency_ms']['p50'],
        'post_p99_ms': load['latency_ms']['p99'],
        'core_us': {part: run['cpu'][part] * 1e6 / n
                    for part in [*PARTS, 'sender']},
        'reads_ms': {kind: {'n': len(times),
                            'p50': quantile(times, 0.5) * 1e3,
                            'p99': quantile(times, 0.99) * 1e3}
                     for kind, times in run['reads'].items()},
        'reads_unasked': run['unasked'],
        'memory_peak': run['memory_peak'],
    }


def nginx_changes(workers, linger):
    """What a pipeline's nginx.conf has instead."""
    return {
        'worker_processes auto;': f'worker_processes {workers};',
        '    sendfile     on;\n':
            '    sendfile     on;\n    keepalive_requests 1000000000;\n'
            f'    millrace_linger {linger};\n',
    }


def add_machine(parser):
    """Options of a machine that all parts of a pipeline share."""
    cpu.add_weigh(parser)
    parser.add_argument('--linger', default='20ms',
                        help='millrace_linger of nginx')
    parser.add_argument('--cache', type=float, default=8, metavar='GB',
                        help='of mongod')


def arguments():
    parser = argparse.ArgumentParser(
        description='Measure the whole pipeline at once.')
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('--rates', default='60,80,100,120,140,160,180,200',
                        help='steps, in thousands of events a second')
    parser.add_argument('--step', type=float, default=30, metavar='SECONDS')
    parser.add_argument('--hold', type=float, default=180, metavar='SECONDS')
    parser.add_argument('--burst', type=float, default=60, metavar='SECONDS')
    parser.add_argument('--burst-rate', type=float, default=210, metavar='N',
                        help='thousands of events a second; 0: no limit')
    parser.add_argument('--fresh', type=float, default=5, metavar='SECONDS')
    parser.add_argument('--reads', type=float, default=20,
                        help='GET requests a second')
    parser.add_argument('--batch', type=int, default=100)
    parser.add_argument('--connections', type=int, default=64)
    parser.add_argument('--workers', type=int, default=1,
                        help='of nginx')
    parser.add_argument('--heap', default='512m', help='of the broker')
    add_machine(parser)
    parser.add_argument('--set', action='append', default=[],
                        metavar='SECTION.KEY=VALUE',
                        help='in millrace.conf')
    parser.add_argument('--quick', action='store_true',
                        help='seconds only: does all of it work?')
    parser.add_argument('--directory', help='for data; removed at the end')
    parser.add_argument('--results', default=os.path.join(HERE, 'results'))
    args = parser.parse_args()
    if args.quick:
        args.rates, args.step, args.hold, args.burst = '20', 5, 8, 4
        args.burst_rate = 40
    args.rates = [float(text) * 1000 for text in args.rates.split(',')]
    return args


def measure(bench, args):
    """The highest rate that was held, or 0."""
    # A broker that has just started compiles its code while it works.
    bench.run('warm', args.step / 2, args.rates[0])
    kept = []
    for rate in args.rates:
        if not bench.run('step', args.step, rate)['kept']:
            break
        kept.append(rate)
    while kept:
        if bench.run('hold', args.hold, kept[-1])['kept']:
            break
        kept.pop()
    bench.run('burst', args.burst, args.burst_rate * 1000)
    return kept[-1] if kept else 0


def main():
    args = arguments()
    directory = tempfile.mkdtemp(prefix='millrace-bench-',
                                 dir=args.directory)
    args.directory = None
    bench = Bench(args, directory)
    try:
        bench.start()
        held = measure(bench, args)
        account = bench.account()
    finally:
        bench.stop()
        shutil.rmtree(directory, ignore_errors=True)
    about = results.machine()
    print(f'\n{about["cpu"]}, {about["cores"]} cores, '
          f'{datetime.date.today()}, {about["commit"]}: '
          f'{held:,.0f} events/s held for {args.hold:g} s')
    if not held:
        bench.problems.append('no rate was held')
    if not args.quick:
        print('kept in ' + os.path.relpath(results.keep(
            args.results, 'pipeline', {
                'options': vars(args), 'held': held, 'account': account,
                'problems': bench.problems,
                'summary': [{'name': run['name'], **summary(run)}
                            for run in bench.runs]})))
    for text in bench.problems:
        print(f'WRONG: {text}', file=sys.stderr)
    return 1 if bench.problems else 0


if __name__ == '__main__':
    end_by_signals()
    try:
        sys.exit(main())
    except (BenchError, StackError, ConfError, OSError,
            subprocess.SubprocessError) as failure:
        sys.exit(f'bench_pipeline: {failure}')
