#!/usr/bin/env python3
"""The newest results of every benchmark as one Markdown table.

`make bench` ends with it.  Rates stand beside the machine and the date they
were measured at; a ratio is of two things measured in turn in one run.
"""

import glob
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def newest(directory, name):
    """The content of the newest NAME results, or None.  2026-01-02-x.json is
    followed by 2026-01-02-x-2.json."""
    pattern = re.compile(rf'(\d{{4}}-\d\d-\d\d)-{name}(?:-(\d+))?\.json')
    names = map(os.path.basename, glob.glob(os.path.join(directory, '*.json')))
    found = filter(None, map(pattern.fullmatch, names))
    last = max(found, default=None,
               key=lambda match: (match[1], int(match[2] or 1)))
    if last is None:
        return None
    with open(os.path.join(directory, last[0]), encoding='utf-8') as f:
        return json.load(f)


def ingest(result):
    for what, wanted in (
            ('batches: module, 1 / librdkafka', 'batches of 100, of librdkafka'
             ' alone'),
            ('batches: module, 1 / Go', 'batches of 100, of the Go peer'),
            ('single: module, 1 / return 204, 1', 'single events, of '
             '`return 204`'),
            ('single: module, 1 / Go', 'single events, of the Go peer')):
        yield wanted, f'{result["ratios"][what]:.2f}'
    for kind, unit in (('batches', 'events/s'), ('single', 'requests/s')):
        row = result['summary'][kind]['module, 1']
        yield f'{kind}, one worker', f'{row["rate"]:,.0f} {unit}'


def storage(result):
    found = result['summary']
    row = found['writer']
    yield 'backlog drained', f'{row["rate"]:,.0f} events/s'
    yield 'mongod, writer', \
        f'{row["core_us"]["mongod"]:.1f}, {row["core_us"]["writer"]:.1f} ' \
        'core-us an event'
    yield 'disk', f'{row["bytes_per_event"]:.1f} bytes an event'
    for other in ('blocks alone', 'connector'):
        if 'to ' + other in row:
            yield f'writer / {other}', f'{row["to " + other]:.2f}'


def stats(result):
    if 'windows' in result:
        yield 'what the windows add', \
            f'{result["windows"]["added_core_us"]:.2f} core-us an event'
    if 'fresh' in result:
        row = result['fresh']
        yield f'202 to GET /stats at {row["taken"]:,.0f} events/s', \
            f'p50 {row["query"]["p50"]:.2f} s, p99 {row["query"]["p99"]:.2f} s'
    if 'types' in result:
        row = result['types']
        yield f'{row["types"]} types, {row["rate"]:,.0f} events/s', \
            f'true counts published after {row["second_half"]["p50"]:.1f} s ' \
            f'(p50), {row["second_half"]["p99"]:.1f} s (p99)'


def cache(result):
    for name, row in result['daemon'].items():
        yield f'GET /stats, {name}', \
            f'p50 {row["p50_ms"]} ms, p99 {row["p99_ms"]} ms'
    for name, row in result['nginx'].items():
        yield f'nginx\'s cache, {name}', \
            f'{row["per_second"]:,} answers/s, hit ratio {row["hit_ratio"]}'


def pipeline(result):
    yield 'held', f'{result["held"]:,.0f} events/s'
    for row in result['summary']:
        if row['name'] == 'burst':
            yield 'burst', f'{row["taken"]:,.0f} events/s taken, drained ' \
                f'within {row["drain"]:.0f} s'


def main():
    directory = sys.argv[1] if sys.argv[1:] else os.path.join(HERE, 'results')
    print('| benchmark | | |\n|---|---|---|')
    for name, rows in (('ingest', ingest), ('storage', storage),
                       ('stats', stats), ('cache', cache),
                       ('pipeline', pipeline)):
        result = newest(directory, name)
        if result is None:
            print(f'| {name} | not measured | |')
            continue
        about = result['machine']
        print(f'| **{name}** | {about["cores"]} cores of {about["cpu"]} | '
              f'{result["date"][:10]}, {about["commit"]} |')
        for what, value in rows(result):
            print(f'| | {what} | {value} |')
        for problem in result.get('problems') or []:
            print(f'| | WRONG | {problem} |')


if __name__ == '__main__':
    main()
