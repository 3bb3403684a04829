"""Summarise JMeter's results, a row a kind of request.

    summary.py RESULTS.csv

Exit status 1 if any request was not answered as asserted, or a kind of
request was never sent.
"""

import csv
import os
import re
import sys
from collections import defaultdict

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from results import quantile  # noqa: E402

PLAN = os.path.join(HERE, 'millrace.jmx')


def main(path):
    rows = defaultdict(list)
    failures = defaultdict(int)
    first, last = None, 0
    with open(path, newline='', encoding='utf-8') as f:
        for row in csv.DictReader(f):
            start, took = int(row['timeStamp']), int(row['elapsed'])
            first = start if first is None else min(first, start)
            last = max(last, start + took)
            rows[row['label']].append(took)
            if row['success'] != 'true':
                failures[row['label'], row['responseCode'],
                         row['failureMessage']] += 1
    if first is None:
        sys.exit('summary: JMeter has sent nothing')

    seconds = max(last - first, 1) / 1000
    print(f'{"":28} requests        /s     p50     p95     p99     max ms')
    for label, values in sorted(rows.items()):
        print(f'{label:28} {len(values):8} {len(values) / seconds:9.1f}'
              f' {quantile(values, 0.5):7} {quantile(values, 0.95):7}'
              f' {quantile(values, 0.99):7} {max(values):7}')
    print(f'{sum(map(len, rows.values()))} requests in {seconds:.1f} s, '
          f'{sum(failures.values())} not answered as they should be')

    for (label, status, message), n in failures.items():
        print(f'  {n} times {label}: {status}, {message[:200]}')

    with open(PLAN, encoding='utf-8') as f:
        wanted = re.findall(r'<HTTPSamplerProxy .*testname="([^"]*)"',
                            f.read())
    missing = [label for label in wanted if label not in rows]
    for label in missing:
        print(f'  never sent: {label}')
    return 1 if failures or missing else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
