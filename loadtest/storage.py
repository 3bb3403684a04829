"""A broker, a mongod and Millrace's daemons with a backlog of the measured
workload: what bench_storage.py and bench_query.py measure on.

Events go straight into Kafka, with times spread over a day (loadtest/
raw_producer.c -n); the writer under test drains them.
"""

import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(REPO, 'scripts'))

import pymongo  # noqa: E402

import cpu  # noqa: E402
from process import (  # noqa: E402, F401
    StackError, end_by_signals, free_port, wait_for)
from stack import Stack  # noqa: E402
from stackconf import ConfError  # noqa: E402, F401

DAY = 86400
STALLED = 60    # seconds without progress that end a drain
TICK = 0.25     # seconds between two looks at the ledger

COLLECTIONS = ('blocks', 'partials', 'windows', 'ledger')


class StorageError(Exception):
    pass


class Storage:
    """The servers in a directory; start() what there is, close() in the end.

    A directory that holds data already is used as it is.
    """

    def __init__(self, directory, build='build', cache=2, heap='512m',
                 options=None, kind=Stack):
        # As in bench_ingest.py: a tied stack saves on the JVM's compiler, so
        # the servers' is not, and the guard of a second one in the same
        # place ends them all the same, should this process be killed.
        self.guard = Stack(directory, build)
        self.stack = kind(directory, build, ports=self.guard.ports,
                           heap=heap, mongo_cache=cache, options=options,
                           tied=False)
        # Elections of a set of one cost nothing but time.
        self.stack.kafka_properties = {
            'broker.session.timeout.ms': '4000',
            'broker.heartbeat.interval.ms': '500'}
        self.build = os.path.join(REPO, build)
        self._mongo = None

    def start(self, *parts):
        self.stack.start('kafka', 'mongod', *parts)
        self.stack.start('setup')

    def close(self):
        if self._mongo is not None:
            self._mongo.close()
        self.stack.close()
        self.guard.close()

    @property
    def mongo(self):
        if self._mongo is None:
            self._mongo = pymongo.MongoClient(
                self.stack.mongo_uri, serverSelectionTimeoutMS=20000)
        return self._mongo

    @property
    def database(self):
        return self.mongo['millrace']

    def program(self, name):
        path = os.path.join(self.build, name)
        if not os.path.exists(path):
            raise StorageError(f'{path} is not there: make '
                               f'BUILD={os.path.basename(self.build)} '
                               f'loadtest')
        return path

    def run(self, name, *words):
        """A program that prints one line of JSON: that."""
        done = subprocess.run(
            [self.program(name), *map(str, words)], stdout=subprocess.PIPE,
            timeout=3600, check=True)
        return json.loads(done.stdout)

    # The log.

    def backlog(self, events, seed=1, spread=DAY, topic='events'):
        """Put so many events into the topic; what the producer says."""
        made = self.run('raw_producer', '-b', self.stack.brokers, '-n',
                        events, '-S', spread, '-s', seed, topic)
        if made['failed'] or made['sent'] != events:
            raise StorageError(f'the backlog was not made: {made}')
        return made

    def log_end(self, topic='events'):
        """Records that the topic has ever had."""
        return self.run('topic_tool', self.stack.brokers, 'marks',
                        topic)['total']

    # The writer.

    def judged(self):
        """Records that are stored, dropped as repeats, or dead."""
        found = next(self.database.ledger.aggregate([{'$group': {
            '_id': None, **{name: {'$sum': '$' + name} for name in
                            ('stored', 'repeated', 'dead')}}}]), {})
        return [found.get(name, 0) for name in ('stored', 'repeated', 'dead')]

    def drain(self, until=None, parts=('writer',)):
        """Start `parts` and wait until `until` records are judged (the log's
        end): the rate, its course, CPU seconds and memory."""
        until = self.log_end() if until is None else until
        before = sum(self.judged())
        self.stack.start(*parts)
        roles = {'broker': self.stack.group('kafka'),
                 'mongod': self.stack.group('mongod')}
        for part in parts:
            roles[part] = self.stack.group(part)
        course = [(time.monotonic(), before)]
        sample = cpu.sample(roles)
        moved = time.monotonic()
        while course[-1][1] < until:
            time.sleep(TICK)
            now = sum(self.judged())
            if now != course[-1][1]:
                moved = time.monotonic()
            course.append((time.monotonic(), now))
            if time.monotonic() - moved > STALLED:
                raise StorageError(
                    f'{until - now} records are left and none was stored '
                    f'for {STALLED} s:\n'
                    + self.stack.log_text(parts[0])[-2000:])
        used = cpu.difference(sample, cpu.sample(roles))
        # From the first record that was seen stored: joining the group is
        # not draining.
        started = next(i for i, (_, n) in enumerate(course) if n > before)
        begin = course[max(started - 1, 0)]
        seconds = course[-1][0] - begin[0]
        stored, repeated, dead = self.judged()
        return {
            'records': until - before,
            'seconds': seconds,
            'rate': (until - before) / seconds,
            'tenths': tenths(course[max(started - 1, 0):]),
            'stored': stored, 'repeated': repeated, 'dead': dead,
            'cpu': used,
            'core_us': {role: used[role] * 1e6 / (until - before)
                        for role in roles},
            'memory_peak': {role: cpu.memory_peak(pids)
                            for role, pids in roles.items()},
        }

    # What it takes on the disk.

    def sizes(self, database='millrace'):
        """Bytes by collection after a checkpoint, indexes by name."""
        self.mongo.admin.command('fsync')
        found = {}
        for name in COLLECTIONS:
            stats = next(self.mongo[database][name].aggregate(
                [{'$collStats': {'storageStats': {}}}]))['storageStats']
            found[name] = {
                'documents': stats['count'], 'bson': stats['size'],
                'data': stats['storageSize'],
                'free': stats['freeStorageSize'],
                'indexes': dict(stats['indexSizes']),
                # What checkpoints have left behind and will be used again.
                'free_indexes': {
                    index: about['block-manager'][
                        'file bytes available for reuse']
                    for index, about in stats['indexDetails'].items()}}
        return found

    def drop_caches(self):
        """Stop mongod, let the kernel forget its files, start it again."""
        self.stack.stop('mongod')
        for folder, _, files in os.walk(self.stack.path('data/mongod')):
            for name in files:
                fd = os.open(os.path.join(folder, name), os.O_RDONLY)
                try:
                    os.fsync(fd)
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(fd)
        self.stack.start('mongod')
        wait_for(lambda: self.mongo.admin.command('hello')
                 .get('isWritablePrimary'), 30, 'a primary')


def tenths(course):
    """The rate in each tenth of the records: [(time, records)] -> [rate]"""
    first, last = course[0], course[-1]
    step = (last[1] - first[1]) / 10
    marks, at = [first[0]], 1
    for (t0, n0), (t1, n1) in zip(course, course[1:]):
        while at <= 10 and n1 >= first[1] + at * step - 0.5:
            share = (first[1] + at * step - n0) / (n1 - n0) if n1 > n0 else 1
            marks.append(t0 + share * (t1 - t0))
            at += 1
    return [step / (b - a) if b > a else 0.0
            for a, b in zip(marks, marks[1:])]


def total(sizes, names=('blocks', 'partials', 'windows', 'ledger')):
    """Bytes of disk of these collections with their indexes."""
    return sum(sizes[name]['data'] + sum(sizes[name]['indexes'].values())
               for name in names)
