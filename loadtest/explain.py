#!/usr/bin/env python3
"""What mongod does for each kind of GET /events: docs/storage.md quotes it.

    loadtest/explain.py --use DIRECTORY     data that bench_query --keep left

mongod's profiler notes the commands that the query daemon really sends; the
one of each kind that looks at most documents is explained.
"""

import argparse
import random
import sys

import bench_query
from storage import DAY, Storage

# What belongs to a connection, not to the question.
PRIVATE = ('lsid', '$db', '$clusterTime', 'txnNumber', 'maxTimeMS',
           '$readPreference', 'startTransaction', 'autocommit', 'readConcern')

SHOWN = 8   # intervals of a field; of `who.t` there are up to 126


def stages(plan):
    """The stages of a plan, the outermost first, branch by branch."""
    inner = plan.get('inputStages', [])
    if 'inputStage' in plan:
        inner = [plan['inputStage']]
    return [plan] + [stage for one in inner for stage in stages(one)]


def say(stage):
    text = stage['stage']
    if text == 'IXSCAN':
        bounds = ', '.join(
            f'{field}: ' + (' '.join(intervals) if len(intervals) <= SHOWN
                            else f'{len(intervals)} intervals')
            for field, intervals in stage['indexBounds'].items())
        text += f' {stage["indexName"]} {stage["direction"]}\n      {bounds}'
    if stage.get('filter'):
        text += f'\n      filter {list(stage["filter"])}'
    return (f'    {text}\n      {stage.get("keysExamined", "-")} keys, '
            f'{stage.get("docsExamined", "-")} documents examined, '
            f'{stage["nReturned"]} returned')


def explain(storage, name, make):
    database = storage.database
    database.command('profile', 0)
    database.drop_collection('system.profile')
    database.command('profile', 2)
    client = bench_query.Client(storage.stack)
    query = make()
    took, _ = client.get(query)
    database.command('profile', 0)
    seen = list(database['system.profile'].find(
        {'ns': 'millrace.blocks', 'op': {'$in': ['query', 'getmore']}}))
    finds = [d for d in seen if d['op'] == 'query']
    print(f'\n{name}: GET /events?{query}\n  {took:.1f} ms; {len(seen)} '
          f'commands, {sum(d.get("keysExamined", 0) for d in seen)} keys and '
          f'{sum(d.get("docsExamined", 0) for d in seen)} documents examined, '
          f'{sum(d.get("nreturned", 0) for d in seen)} returned, '
          f'{sum(d.get("responseLength", 0) for d in seen):,} bytes')
    if not finds:
        return
    most = max(finds, key=lambda d: (d.get('docsExamined', 0),
                                     d.get('keysExamined', 0)))
    command = {key: value for key, value in most['command'].items()
               if key not in PRIVATE}
    told = database.command('explain', command, verbosity='executionStats')
    for stage in stages(told['executionStats']['executionStages']):
        print(say(stage))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('--use', required=True, metavar='DIRECTORY')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    storage = Storage(args.use, args.build)
    try:
        storage.start('query', 'nginx')
        with open(storage.stack.path('made'), encoding='utf-8') as f:
            last = float(f.read())
        kinds = bench_query.Kinds(storage, random.Random(args.seed),
                                  last - DAY, last).all()
        for name, make in kinds.items():
            explain(storage, name, make)
    finally:
        storage.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
