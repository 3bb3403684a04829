#!/usr/bin/env python3
"""`make bench-ingest`: how fast POST /events is, beside what bounds it.

Every round measures each contender once, in turn, on the same broker and with
the same generator; the table shows medians over the rounds and their ratios.

    batches of 100    librdkafka alone, in one process with the same settings
                      the module, with each number of nginx workers
                      the same service in Go
    single events     nginx `return 204` for the same requests
                      the module, the Go service
    half load         single events at half the rate that was just reached,
                      sent when they are due: the latency that users see

The accounting is part of it: the topic must grow by exactly the events that
were answered with 202, and what the module took in an extra run is compared
with the sender's log, event by event.  A difference fails the benchmark.

Only the standard library; the programs are built by `make loadtest`.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(REPO, 'scripts'))

import cpu  # noqa: E402
import results  # noqa: E402
from process import (  # noqa: E402
    HOST, StackError, end_by_signals, free_port, http_status, wait_for)
from stack import Stack  # noqa: E402
from stackconf import ConfError  # noqa: E402

# Old segments go while it runs, so that the disk does not fill; watermarks
# count on.
TOPIC = ['8', 'message.timestamp.type=LogAppendTime',
         'retention.bytes=268435456', 'segment.bytes=67108864',
         'file.delete.delay.ms=1000']
BROKER = {'log.retention.check.interval.ms': '5000'}

# Of librdkafka alone, for whatever -X does not set: as long as the module
# collects, by millrace_linger and linger.ms together.
ALONE = {'linger.ms': '5'}

FOREIGN = 0.10      # share of the machine that others may use


class BenchError(Exception):
    pass


class Bench:

    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.build = os.path.join(REPO, args.build)
        self.results = []
        self.problems = []
        self.seed = 0
        self.kafka = None
        self.guards = []
        self.nginx = {}
        self.go = None
        self.settings = dict(pair.split('=', 1) for pair in args.kafka)

    # Servers.

    def start(self):
        self.start_kafka()
        for workers in self.args.workers:
            self.start_nginx(workers)
        self.start_go()

    def start_kafka(self):
        path = os.path.join(self.directory, 'kafka')
        # A tied stack saves on the JVM's compiler.  So the broker's is not,
        # and the guard of a second one in the same place ends it all the
        # same, should this process be killed.
        guard = Stack(path, self.args.build)
        self.guards.append(guard)
        self.kafka = Stack(path, self.args.build, ports=guard.ports,
                           heap=self.args.heap, tied=False)
        self.kafka.kafka_properties = BROKER
        self.kafka.start('kafka')
        self.tool('create', 'events', *TOPIC)
        self.tool('create', 'audit', *TOPIC[:2])

    def start_nginx(self, workers):
        stack = Stack(os.path.join(self.directory, f'nginx{workers}'),
                      self.args.build)
        self.nginx[workers] = stack
        stack.ports['kafka'] = self.kafka.ports['kafka']
        with open(os.path.join(HERE, 'nginx.conf'), encoding='utf-8') as f:
            stack.nginx_template = f.read()
        extra = ''.join(f'    millrace_kafka {name} {value};\n'
                        for name, value in self.settings.items())
        stack.nginx_changes = {
            'worker_processes 1;': f'worker_processes {workers};',
            '    millrace_topic   events;\n':
                '    millrace_topic   events;\n' + extra}
        stack.start('nginx')

    def start_go(self):
        path = os.path.join(self.build, 'go-ingest')
        if not os.path.exists(path):
            return
        port = free_port(self.kafka.ports.values())
        linger = self.args.go_linger
        with open(os.path.join(self.directory, 'go.log'), 'ab') as log:
            # In the broker's directory, so that the guard finds it.
            self.go = subprocess.Popen(
                [path, '-listen', f'{HOST}:{port}', '-brokers',
                 self.kafka.brokers, '-linger', linger, '-gc',
                 str(self.args.gogc)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.kafka.directory)
        self.go_url = f'http://{HOST}:{port}'
        wait_for(lambda: http_status(self.go_url + '/healthz') == 200, 20,
                 'go-ingest')

    def stop(self):
        if self.go is not None:
            self.go.terminate()
            try:
                self.go.wait(15)
            except subprocess.TimeoutExpired:
                self.go.kill()
                self.go.wait()
        for stack in self.nginx.values():
            stack.close()
            self.problems += stack.problems()
        if self.kafka is not None:
            self.kafka.close()
        for guard in self.guards:
            guard.close()

    # Programs.

    def program(self, name):
        path = os.path.join(self.build, name)
        if not os.path.exists(path):
            raise BenchError(f'{path} is not there: make BUILD='
                             f'{self.args.build} loadtest')
        return path

    def tool(self, *words):
        done = subprocess.run(
            [self.program('topic_tool'), self.kafka.brokers, *words],
            stdout=subprocess.PIPE, timeout=600, check=False)
        if not done.stdout:
            raise BenchError(f'topic_tool {words[0]} failed')
        return json.loads(done.stdout)

    def total(self):
        return self.tool('marks', 'events')['total']

    def generate(self, url, *options):
        """Run the generator; its result."""
        self.seed += 1
        out = os.path.join(self.directory, 'load.json')
        subprocess.run(
            [self.program('millrace-load'), '--json', out, '-q', '-s',
             str(self.seed), *map(str, options), url],
            check=True, timeout=600)
        with open(out, encoding='utf-8') as f:
            return json.load(f)

    def produce(self):
        """Run librdkafka alone; its result."""
        self.seed += 1
        pairs = []
        for name, value in {**ALONE, **self.settings}.items():
            pairs += ['-X', f'{name}={value}']
        done = subprocess.run(
            [self.program('raw_producer'), '-b', self.kafka.brokers,
             '-w', str(self.args.warmup), '-d', str(self.args.seconds),
             '-s', str(self.seed), *pairs, 'events'],
            stdout=subprocess.PIPE, check=True, timeout=600)
        return json.loads(done.stdout)

    # Measuring.

    def measure(self, kind, name, stack, run):
        """Run one contender once and keep what it did."""
        others = [s.group('nginx') for s in self.nginx.values()]
        processes = {
            'broker': self.kafka.group('kafka'),
            'server': [],
            'other': sum(others, []) + ([self.go.pid] if self.go else []),
        }
        if stack == 'go':
            processes['server'] = [self.go.pid]
        elif stack is not None:
            processes['server'] = stack.group('nginx')
        before = self.total()
        start = cpu.sample(processes)
        result = run()
        used = cpu.difference(start, cpu.sample(processes))
        result['records'] = self.total() - before
        result['cpu'] = used
        result['kind'] = kind
        result['name'] = name
        result['memory_peak'] = cpu.memory_peak(processes['server'])
        self.account(result)
        self.results.append(result)
        self.tell(result)
        return result

    def account(self, result):
        """202 means in the topic: compare the two."""
        if 'all' in result:
            counts = result['all']
            sure = counts.get('202', {}).get('events', 0)
            maybe = sum(v['events'] for k, v in counts.items()
                        if k in ('0', '503'))
            if result['miscounted']:
                self.problem(result, '202 for another number of events')
            bad = sorted(set(counts) - {'202', '204'})
            if bad:
                self.problem(result, 'answers other than 202: ' + ', '.join(
                    f'{counts[k]["requests"]} times {k}' for k in bad)
                    + ' ' + str(result.get('sample', '')))
            if result['generator_is_the_limit']:
                self.problem(result, 'the generator was the limit')
        else:
            sure, maybe = result['acknowledged'], result['failed']
        result['acknowledged_in_all'] = sure
        if not sure <= result['records'] <= sure + maybe:
            self.problem(result, f'{sure} events acknowledged, '
                         f'{result["records"]} new in the topic')
        if result['cpu']['foreign'] > FOREIGN:
            self.problem(result, f'other programs used '
                         f'{result["cpu"]["foreign"]:.0%} of the machine',
                         fatal=False)

    def problem(self, result, text, fatal=True):
        line = f'{result["kind"]}, {result["name"]}: {text}'
        print(f'  {"WRONG" if fatal else "doubtful"}: {line}', flush=True)
        if fatal:
            self.problems.append(line)

    def tell(self, result):
        print(f'  {result["kind"]:8} {result["name"]:18} '
              f'{rate(result):10,.0f}/s  broker '
              f'{per_event(result, "broker"):5.2f}  server '
              f'{per_event(result, "server"):5.2f}  sender '
              f'{per_event(result, "sender"):5.2f} core-us each, '
              f'idle {result["cpu"]["idle"]:.0%}', flush=True)

    def load(self, kind, name, stack, url, *options):
        return self.measure(kind, name, stack, lambda: self.generate(
            url, '-d', self.args.seconds, '-w', self.args.warmup, *options))

    def round(self):
        batch = ['-k', self.args.batch, '-c', self.args.connections]
        single = ['-k', 1, '-f', 'json', '-c', self.args.single_connections]
        self.measure('batches', 'librdkafka', None, self.produce)
        for workers, stack in self.nginx.items():
            self.load('batches', f'module, {workers}', stack,
                      stack.url + '/events', *batch)
        if self.go:
            self.load('batches', 'Go', 'go', self.go_url + '/events', *batch)
        rates = {}
        for workers, stack in self.nginx.items():
            self.load('single', f'return 204, {workers}', stack,
                      stack.url + '/nothing', *single)
            rates[workers] = rate(self.load(
                'single', f'module, {workers}', stack,
                stack.url + '/events', *single))
        if self.go:
            rates['go'] = rate(self.load(
                'single', 'Go', 'go', self.go_url + '/events', *single))
        for workers, stack in self.nginx.items():
            self.load('half', f'module, {workers}', stack,
                      stack.url + '/events', *single, '-r',
                      round(rates[workers] / 2))
        if self.go:
            self.load('half', 'Go', 'go', self.go_url + '/events', *single,
                      '-r', round(rates['go'] / 2))

    def audit(self):
        """Event by event: what was answered 202 is in the topic."""
        print('audit: batches and single events, against the sender\'s log')
        logs = []
        for workers, stack in self.nginx.items():
            for options in (['-k', self.args.batch, '-c', 64],
                            ['-k', 7, '-f', 'array', '-c', 64],
                            ['-k', 1, '-f', 'json', '-c', 256]):
                log = os.path.join(self.directory, f'sent{len(logs)}')
                logs.append(log)
                self.generate(stack.url + '/audit', '-d', 2, '--log', log,
                              *options)
        found = self.tool('audit', 'audit', *logs)
        print('  ' + ', '.join(f'{v:,} {k}' for k, v in found.items()))
        if any(found[k] for k in ('missing', 'unknown', 'misplaced',
                                  'surplus')):
            self.problems.append(f'audit: {found}')
        return found


def rate(result):
    """What a contender is judged by."""
    return result['requests_per_second'] if result['kind'] != 'batches' \
        else result['events_per_second']


def per_event(result, who):
    """core-us an event; of `return 204` a request."""
    n = result['acknowledged_in_all'] or result.get('sent', 0)
    return result['cpu'][who] * 1e6 / n if n else 0.0


def summary(results):
    """{kind: {name: medians}}"""
    table = {}
    for kind, name in dict.fromkeys((r['kind'], r['name']) for r in results):
        rows = [r for r in results if (r['kind'], r['name']) == (kind, name)]
        rates = [rate(r) for r in rows]
        row = {'rate': statistics.median(rates), 'lowest': min(rates),
               'highest': max(rates), 'memory_peak': max(
                   r['memory_peak'] for r in rows)}
        for who in ('server', 'broker', 'sender'):
            row[who] = statistics.median(per_event(r, who) for r in rows)
        for q in ('p50', 'p99', 'p999'):
            found = [r['latency_ms'][q] for r in rows if 'latency_ms' in r]
            row[q] = statistics.median(found) if found else None
        table.setdefault(kind, {})[name] = row
    return table


def ratios(table):
    """[(what, value)] of all that docs/performance.md states."""
    found = []

    def add(kind, name, other):
        if name in table.get(kind, {}) and other in table[kind]:
            found.append((f'{kind}: {name} / {other}',
                          table[kind][name]['rate']
                          / table[kind][other]['rate']))

    for name in table.get('batches', {}):
        if name.startswith('module'):
            add('batches', name, 'librdkafka')
            add('batches', name, 'Go')
    add('batches', 'Go', 'librdkafka')
    for name in table.get('single', {}):
        if name.startswith('module'):
            add('single', name, 'return 204' + name[len('module'):])
            add('single', name, 'Go')
    return found


def show(table, out=sys.stdout):
    units = {'batches': 'events/s', 'single': 'requests/s',
             'half': 'requests/s'}
    for kind, rows in table.items():
        print(f'\n{kind:26} {units[kind]:>10}   lowest .. highest     '
              f'core-us: server broker sender   p50    p99  p99.9 ms',
              file=out)
        for name, row in rows.items():
            times = '' if row['p50'] is None else \
                f'{row["p50"]:8.2f} {row["p99"]:6.2f} {row["p999"]:6.2f}'
            print(f'  {name:24} {row["rate"]:10,.0f}   '
                  f'{row["lowest"]:8,.0f} .. {row["highest"]:8,.0f}'
                  f'          {row["server"]:6.2f} {row["broker"]:6.2f} '
                  f'{row["sender"]:6.2f} {times}', file=out)
    print(file=out)
    for what, value in ratios(table):
        print(f'  {value:6.2f}  {what}', file=out)


def arguments():
    parser = argparse.ArgumentParser(
        description='Measure POST /events beside its limits and peers.')
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=8)
    parser.add_argument('--warmup', type=float, default=2)
    parser.add_argument('--workers', default='1,2',
                        help='numbers of nginx workers')
    parser.add_argument('--batch', type=int, default=100)
    parser.add_argument('--connections', type=int, default=64)
    parser.add_argument('--single-connections', type=int, default=512)
    parser.add_argument('-X', dest='kafka', action='append', default=[],
                        metavar='PROPERTY=VALUE',
                        help='for the module and librdkafka alone')
    parser.add_argument('--go-linger', default='0', help='as Go writes it')
    parser.add_argument('--gogc', type=int, default=400)
    parser.add_argument('--heap', default='512m', help='of the broker')
    parser.add_argument('--quick', action='store_true',
                        help='one short round: does all of it work?')
    parser.add_argument('--directory', help='for data; removed at the end')
    parser.add_argument('--results', default=os.path.join(HERE, 'results'))
    args = parser.parse_args()
    args.workers = [int(n) for n in args.workers.split(',')]
    if args.quick:
        args.rounds, args.seconds, args.warmup = 1, 2, 1
    return args


def main():
    args = arguments()
    directory = tempfile.mkdtemp(prefix='millrace-bench-',
                                 dir=args.directory)
    args.directory = None
    bench = Bench(args, directory)
    try:
        bench.start()
        # A broker that has just started compiles its code while it works.
        if not args.quick:
            print('warming the broker up', flush=True)
            bench.produce()
        for number in range(args.rounds):
            print(f'round {number + 1} of {args.rounds}', flush=True)
            bench.round()
        audit = bench.audit()
    finally:
        bench.stop()
        shutil.rmtree(directory, ignore_errors=True)
    table = summary(bench.results)
    about = results.machine()
    print(f'\n{about["cpu"]}, {about["cores"]} cores, '
          f'{datetime.date.today()}, {about["commit"]}; medians of '
          f'{args.rounds} rounds of {args.seconds:g} s')
    show(table)
    if not args.quick:
        print('\nkept in ' + os.path.relpath(results.keep(
            args.results, 'ingest', {
                'options': vars(args), 'settings': bench.settings,
                'summary': table, 'ratios': dict(ratios(table)),
                'audit': audit, 'problems': bench.problems,
                'runs': bench.results})))
    for text in bench.problems:
        print(f'WRONG: {text}', file=sys.stderr)
    return 1 if bench.problems else 0


if __name__ == '__main__':
    end_by_signals()
    try:
        sys.exit(main())
    except (BenchError, StackError, ConfError,
            subprocess.SubprocessError) as failure:
        sys.exit(f'bench_ingest: {failure}')
