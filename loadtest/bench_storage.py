#!/usr/bin/env python3
"""`make bench-storage`: how fast events get from Kafka into MongoDB.

A backlog of the measured workload, its times spread over a day, is stored

    by the writer       judged, in blocks, with windows, all indexes, one
                        transaction a flush, majority + journal
    as blocks alone     the very blocks that the writer has made, inserted
                        by as many threads into the same indexes: mongod's
                        own limit (loadtest/block_tool.c)
    by the connector    MongoDB's Kafka connector, one document an event,
                        idempotent by event_id, indexes for the same
                        questions; for as long as --connector says

in turn, --rounds times; the table shows medians.  Then bench_query.py
measures GET /events on the writer's data.

The accounting is part of it: what the writer has stored, what lies in the
blocks and what the windows have counted must be the log, repeats excluded.

Needs .cache/venv (make deps) and Maven.
"""

import argparse
import glob
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import bench_query
import cpu
import results
from storage import (
    DAY, HERE, REPO, ConfError, StackError, Storage, StorageError,
    end_by_signals, free_port, total, wait_for)

CONNECTOR = os.path.join(REPO, '.cache', 'connector')
FLUSHERS = 2        # [writer] threads, and so threads of the raw insertion

WORKER = {
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'value.converter': 'org.apache.kafka.connect.storage.StringConverter',
    # More at once is what it is fastest with.
    'consumer.max.poll.records': '5000',
    'consumer.fetch.min.bytes': '65536',
    'offset.flush.interval.ms': '10000',
}

SINK = {
    'name': 'events',
    'connector.class': 'com.mongodb.kafka.connect.MongoSinkConnector',
    'tasks.max': str(FLUSHERS),
    'topics': 'events',
    'database': 'connector',
    'collection': 'events',
    # _id is made of the event's identity, and a repeat replaces it.
    'document.id.strategy': 'com.mongodb.kafka.connect.sink.processor.id.'
                            'strategy.PartialValueStrategy',
    'document.id.strategy.partial.value.projection.type': 'AllowList',
    'document.id.strategy.partial.value.projection.list': 'user_id,event_id',
    'writemodel.strategy': 'com.mongodb.kafka.connect.sink.writemodel.'
                           'strategy.ReplaceOneDefaultStrategy',
    'bulk.write.ordered': 'false',
}

# The questions that the blocks' indexes answer.
CONNECTOR_INDEXES = ([('user_id', 1), ('timestamp', 1)],
                     [('event_type', 1), ('timestamp', 1)],
                     [('timestamp', 1)])


class Bench:

    def __init__(self, args, directory):
        self.args = args
        self.storage = Storage(directory, args.build, cache=args.cache)
        self.file = os.path.join(directory, 'blocks.bson')
        self.rounds = {'writer': [], 'blocks alone': [], 'connector': []}
        self.problems = []
        self.sizes = None

    def start(self):
        self.storage.start()
        print(f'a backlog of {self.args.events:,} events', flush=True)
        self.made = self.storage.backlog(self.args.events)
        self.last = time.time()

    # The writer.

    def writer(self):
        parts = ('writer', 'stats') if self.args.stats else ('writer',)
        self.empty('millrace')
        row = self.storage.drain(parts=parts)
        self.storage.stack.stop(*parts)
        row['sizes'] = self.storage.sizes()
        row['bytes_per_event'] = {
            'blocks': total(row['sizes'], ('blocks',)) / row['stored'],
            'all': total(row['sizes']) / row['stored']}
        self.account(row)
        self.tell('writer', row)

    def empty(self, database):
        """The database as millrace-setup makes it, with nothing in it."""
        self.storage.mongo.drop_database(database)
        self.storage.stack.options = {'mongodb': {'database': database}}
        self.storage.stack.start('setup')
        self.storage.stack.options = {}
        self.storage.mongo.admin.command('fsync')

    def account(self, row):
        """Log = ledger = blocks = windows."""
        database = self.storage.database
        blocks = next(database.blocks.aggregate([{'$group': {
            '_id': None, 'n': {'$sum': '$n'}}}]), {'n': 0})['n']
        counted = next(database.partials.aggregate([
            {'$match': {'_id.width': 86400, '_id.event_type': ''}},
            {'$group': {'_id': None, 'n': {'$sum': '$count'}}}]),
            {'n': 0})['n']
        judged = row['stored'] + row['repeated'] + row['dead']
        row['accounting'] = {'log': self.args.events, 'judged': judged,
                             'stored': row['stored'], 'in_blocks': blocks,
                             'counted': counted, 'dead': row['dead']}
        if not (judged == self.args.events and row['dead'] == 0
                and row['stored'] == blocks == counted):
            self.problems.append(f'the accounts differ: {row["accounting"]}')

    # The same blocks, by themselves.

    def blocks_alone(self):
        storage = self.storage
        if not os.path.exists(self.file):
            storage.run('block_tool', storage.stack.mongo_uri, 'read',
                        'millrace', self.file)
        self.empty('raw')
        roles = {'mongod': storage.stack.group('mongod')}
        sample = cpu.sample(roles)
        row = storage.run('block_tool', storage.stack.mongo_uri, 'insert',
                          'raw', self.file, FLUSHERS)
        row['cpu'] = cpu.difference(sample, cpu.sample(roles))
        row['rate'] = row['events'] / row['seconds']
        row['core_us'] = {
            'mongod': row['cpu']['mongod'] * 1e6 / row['events'],
            'inserter': row['cpu_seconds'] * 1e6 / row['events']}
        storage.mongo.drop_database('raw')
        self.tell('blocks alone', row)

    # MongoDB's connector.

    def connector(self):
        storage = self.storage
        storage.mongo.drop_database('connector')
        events = storage.mongo['connector']['events']
        for keys in CONNECTOR_INDEXES:
            events.create_index(keys)
        process = self.connect()
        try:
            wait_for(lambda: process.poll() is not None
                     or events.estimated_document_count() > 0, 120,
                     'the connector\'s first event')
            roles = {'mongod': storage.stack.group('mongod'),
                     'broker': storage.stack.group('kafka'),
                     'connector': [process.pid]}
            # Its code is compiled while it works.
            self.wait(process, events, self.args.connector / 4)
            begin, first = time.monotonic(), events.estimated_document_count()
            sample = cpu.sample(roles)
            self.wait(process, events, self.args.connector)
            used = cpu.difference(sample, cpu.sample(roles))
            seconds = time.monotonic() - begin
            n = events.estimated_document_count() - first
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        stats = next(events.aggregate(
            [{'$collStats': {'storageStats': {}}}]))['storageStats']
        row = {'records': n, 'seconds': seconds, 'rate': n / seconds,
               'cpu': used, 'core_us': {role: used[role] * 1e6 / max(n, 1)
                                        for role in roles},
               'bytes_per_event': {'all': (
                   stats['storageSize'] + stats['totalIndexSize'])
                   / max(stats['count'], 1)}}
        storage.mongo.drop_database('connector')
        self.tell('connector', row)

    def connect(self):
        stack = self.storage.stack
        worker = {**WORKER, 'bootstrap.servers': stack.brokers,
                  'listeners': f'http://127.0.0.1:'
                               f'{free_port(stack.ports.values())}',
                  'offset.storage.file.filename':
                      stack.path('connector.offsets')}
        # A group of its own each time, so that it begins at the start.
        sink = {**SINK, 'name': f'events-{time.time_ns()}',
                'connection.uri': stack.mongo_uri + '&w=majority&journal=true'}
        files = []
        for name, settings in (('worker', worker), ('sink', sink)):
            files.append(stack.path(f'conf/{name}.properties'))
            with open(files[-1], 'w', encoding='utf-8') as f:
                f.writelines(f'{k}={v}\n' for k, v in settings.items())
        with open(stack.path('connector.log'), 'ab') as log:
            # In the stack's directory, so that its guard finds it.
            return subprocess.Popen(
                ['java', '-XX:-UsePerfData', '-Xmx1g', '-cp',
                 os.path.join(CONNECTOR, '*'),
                 '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
                 'org.apache.kafka.connect.cli.ConnectStandalone', *files],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=stack.directory)

    def wait(self, process, events, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if process.poll() is not None:
                raise StorageError(
                    f'the connector ended with {process.returncode}:\n'
                    + self.storage.stack.log_text('connector')[-2000:])
            if events.estimated_document_count() > self.args.events * 0.98:
                raise StorageError('the backlog is too small for the '
                                   'connector: --connector less seconds')
            time.sleep(0.2)

    # What is said.

    def tell(self, name, row):
        self.rounds[name].append(row)
        costs = '  '.join(f'{role} {us:.2f}'
                          for role, us in row['core_us'].items())
        print(f'  {name:14} {row["rate"]:10,.0f} events/s   core-us: {costs}'
              f'   idle {row["cpu"]["idle"]:.0%}, foreign '
              f'{row["cpu"]["foreign"]:.0%}', flush=True)
        if 'tenths' in row:
            print('                 by tenths: ' + ' '.join(
                f'{rate / 1000:,.0f}' for rate in row['tenths'])
                + ' thousand/s; '
                f'{row["memory_peak"]["writer"] / 2**20:,.0f} MiB; '
                f'{row["bytes_per_event"]["all"]:.1f} bytes an event, '
                f'{row["bytes_per_event"]["blocks"]:.1f} of them blocks',
                flush=True)


def summary(rounds):
    table = {}
    for name, rows in rounds.items():
        if rows:
            table[name] = {
                'rate': statistics.median(r['rate'] for r in rows),
                'lowest': min(r['rate'] for r in rows),
                'highest': max(r['rate'] for r in rows),
                'core_us': {role: statistics.median(
                    r['core_us'][role] for r in rows)
                    for role in rows[0]['core_us']}}
            if 'bytes_per_event' in rows[0]:
                table[name]['bytes_per_event'] = statistics.median(
                    r['bytes_per_event']['all'] for r in rows)
    for other in ('blocks alone', 'connector'):
        if other in table and 'writer' in table:
            table['writer'][f'to {other}'] = (
                table['writer']['rate'] / table[other]['rate'])
    return table


def show(table):
    print(f'\n{"":16}  events/s     lowest .. highest   bytes  core-us an '
          f'event')
    for name, row in table.items():
        size = row.get('bytes_per_event')
        print(f'  {name:14} {row["rate"]:10,.0f} {row["lowest"]:10,.0f} .. '
              f'{row["highest"]:7,.0f}   {"" if size is None else f"{size:5.0f}":>5}'
              '  ' + ', '.join(f'{role} {us:.2f}'
                               for role, us in row['core_us'].items()))
    for name, row in table.items():
        for what, ratio in row.items():
            if what.startswith('to '):
                print(f'  {ratio:6.2f}  {name} / {what[3:]}')


def fetch_connector():
    """From Maven, once; its files are checked by what they were."""
    if glob.glob(os.path.join(CONNECTOR, 'mongo-kafka-connect-*.jar')):
        return
    print('fetching MongoDB\'s Kafka connector and Kafka Connect (60 MB)',
          flush=True)
    os.makedirs(os.path.dirname(CONNECTOR), exist_ok=True)
    with tempfile.TemporaryDirectory(
            prefix='fetch.', dir=os.path.dirname(CONNECTOR)) as temp:
        out = os.path.join(temp, 'out')
        done = subprocess.run(
            ['mvn', '-B', '-q', '-f',
             os.path.join(HERE, 'connector', 'pom.xml'),
             f'-Dmaven.repo.local={temp}/m2', f'-DoutputDirectory={out}',
             'org.apache.maven.plugins:maven-dependency-plugin:2.8:'
             'copy-dependencies'], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise StorageError('Maven could not fetch the connector:\n'
                               + done.stdout[-2000:].decode(errors='replace'))
        with open(os.path.join(HERE, 'connector', 'sha256sums'),
                  encoding='ascii') as f:
            for line in f:
                wanted, name = line.split()
                with open(os.path.join(out, name), 'rb') as jar:
                    if hashlib.sha256(jar.read()).hexdigest() != wanted:
                        raise StorageError(f'{name} is not what was expected')
        os.rename(out, CONNECTOR)


def arguments():
    parser = argparse.ArgumentParser(
        description='Measure storing beside its limit and a peer.')
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('--events', type=int, default=10_000_000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--connector', type=float, default=45,
                        help='seconds that it is measured; 0: not at all')
    parser.add_argument('--stats', action='store_true',
                        help='millrace-stats runs beside the writer')
    bench_query.add_every(parser)
    cpu.add_weigh(parser)
    parser.add_argument('--cache', type=float, default=8,
                        help='of mongod, GB')
    parser.add_argument('--queries', type=int, default=300,
                        help='of each kind; 0: measure no queries')
    parser.add_argument('--cold', type=int, default=30)
    parser.add_argument('--cold-rounds', type=int, default=4)
    parser.add_argument('--inflow', type=int, default=50_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--quick', action='store_true',
                        help='few of everything: does all of it work?')
    parser.add_argument('--directory', help='for data; removed at the end')
    parser.add_argument('--results', default=os.path.join(HERE, 'results'))
    args = parser.parse_args()
    args.only = ''
    if args.quick:
        args.events, args.rounds, args.connector = 300_000, 1, 4
        args.queries, args.cold, args.cold_rounds = 20, 3, 1
    return args


def main():
    args = arguments()
    if args.connector:
        fetch_connector()
    directory = tempfile.mkdtemp(prefix='millrace-bench-', dir=args.directory)
    bench = Bench(args, directory)
    queries = {}
    try:
        bench.start()
        for number in range(args.rounds):
            print(f'round {number + 1} of {args.rounds}', flush=True)
            bench.writer()
            bench.blocks_alone()
            if args.connector:
                bench.connector()
        if os.path.exists(bench.file):
            os.unlink(bench.file)
        if args.queries:
            queries = bench_query.measure(bench.storage, args,
                                          bench.last - DAY, bench.last)
        bench.problems += bench.storage.stack.problems()
        bench.problems += bench_query.lagged(queries, args.inflow)
    finally:
        bench.storage.close()
        shutil.rmtree(directory, ignore_errors=True)
    table = summary(bench.rounds)
    show(table)
    if not args.quick:
        print('kept in ' + os.path.relpath(results.keep(
            args.results, 'storage', {
                'options': vars(args), 'backlog': bench.made,
                'summary': table, 'queries': queries,
                'problems': bench.problems, 'rounds': bench.rounds})))
    for text in bench.problems:
        print(f'WRONG: {text}', file=sys.stderr)
    return 1 if bench.problems else 0


if __name__ == '__main__':
    end_by_signals()
    try:
        sys.exit(main())
    except (StorageError, StackError, ConfError,
            subprocess.SubprocessError) as failure:
        sys.exit(f'bench_storage: {failure}')
