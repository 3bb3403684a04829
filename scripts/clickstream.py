"""The real data of `make run`: an e-commerce clickstream of 2024.

datasets/ecom.csv.gz of the Python package retentioneering (Apache-2.0);
scripts/install fetches it.
"""

import csv
import datetime
import gzip
import os

import stackconf

FILE = os.path.join(stackconf.REPO, '.cache', 'dataset', 'ecom.csv.gz')

# Columns that have a field of their own; the others go into metadata.
FIELDS = ('user_id', 'event', 'timestamp')


def events():
    """Every row as an event, in the file's order."""
    with gzip.open(FILE, 'rt', newline='', encoding='utf-8') as f:
        for number, row in enumerate(csv.DictReader(f), 1):
            when = datetime.datetime.strptime(
                row['timestamp'], '%Y-%m-%d %H:%M:%S')
            when = when.replace(tzinfo=datetime.timezone.utc)
            yield {
                'event_id': f'ecom-{number}',
                'user_id': row['user_id'],
                'event_type': row['event'],
                'timestamp': int(when.timestamp()),
                'metadata': {name: value for name, value in row.items()
                             if name not in FIELDS},
            }


def key(event):
    """The order of GET /events."""
    return (event['timestamp'], event['event_id'].encode(),
            event['user_id'].encode())
