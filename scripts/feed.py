#!/usr/bin/env python3
"""A sender of events, and events in the shape of live traffic.

    scripts/feed.py [--url http://127.0.0.1:8080] [--rate 500] [--seconds 60]

This is for a demonstration: it sends a modest rate in batches and keeps no
record of what it sent beyond counts.
"""

import argparse
import http.client
import json
import math
import random
import sys
import time
import urllib.parse
import uuid

USERS = 1_000_000
TYPES = ('view', 'click', 'search', 'add_to_cart', 'purchase', 'signup')
WEIGHTS = (60, 25, 8, 4, 2, 1)
PAGES = ('/', '/sale', '/product/17', '/product/99', '/cart', '/account')
DEVICES = ('desktop', 'mobile', 'tablet')
REFERRERS = ('https://news.example/', 'https://search.example/?q=shoes',
             'https://blog.example/2026/11/review', 'direct')


# Seconds from one wave of traffic to the next, and how high it goes: 0 to 1.
WAVE = 30
SWELL = 0.4


class SendError(Exception):
    """The server refused, or stayed away for too long."""


def connection(url):
    """To the server of a URL; nothing is sent yet."""
    kinds = {'http': http.client.HTTPConnection,
             'https': http.client.HTTPSConnection}
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in kinds and parts.hostname:
            return kinds[parts.scheme](parts.hostname, parts.port, timeout=30)
    except ValueError:
        pass
    raise SendError(f'{url}: a URL is like http://127.0.0.1:8080 or '
                    f'https://events.example')


class Sender:
    """One keep-alive connection; what is not answered 202 is sent again.

    That is safe: the event_ids make it a repeat, which is stored once.
    """

    def __init__(self, url, patience=60):
        self.connection = connection(url)
        self.patience = patience
        self.accepted = 0
        self.retried = 0

    def send(self, events):
        body = '\n'.join(json.dumps(event, separators=(',', ':'))
                         for event in events).encode()
        deadline = time.monotonic() + self.patience
        while True:
            status, answer, wait = self._post(body)
            if status == 202:
                self.accepted += json.loads(answer)['accepted']
                return
            if status not in (0, 429, 503):
                raise SendError(f'POST /events: {status} {answer[:500]}')
            if time.monotonic() > deadline:
                raise SendError(f'no 202 within {self.patience} s; the last '
                                f'answer: {status} {answer[:500]}')
            self.retried += 1
            time.sleep(wait)

    def _post(self, body):
        try:
            self.connection.request('POST', '/events', body, {
                'Content-Type': 'application/x-ndjson'})
            answer = self.connection.getresponse()
            text = answer.read().decode(errors='replace')
            wait = answer.headers.get('Retry-After', '1')
            return (answer.status, text,
                    min(float(wait), 5.0) if wait.isdigit() else 1.0)
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return 0, str(error), 0.5

    def close(self):
        self.connection.close()


class Traffic:
    """Events as a web shop's visitors make them, endlessly."""

    def __init__(self, seed=None):
        self.random = random.Random(seed)
        self.recent = []
        self.repeats = 0
        self.distinct = 0

    def event(self):
        rng = self.random
        if self.recent and rng.random() < 0.005:
            self.repeats += 1
            return rng.choice(self.recent)
        event = self._new()
        self.distinct += 1
        self.recent.append(event)
        if len(self.recent) > 5000:
            del self.recent[:1000]
        return event

    def _new(self):
        rng = self.random
        kind = rng.choices(TYPES, WEIGHTS)[0]
        late = rng.uniform(0, 3600) if rng.random() < 0.01 else 0
        metadata = {'page': rng.choice(PAGES),
                    'referrer': rng.choice(REFERRERS),
                    'device': rng.choice(DEVICES),
                    'session': f'{rng.getrandbits(48):012x}'}
        if rng.random() < 0.3:
            metadata['campaign'] = f'autumn-{rng.randrange(20)}'
        if kind in ('purchase', 'add_to_cart'):
            metadata['value'] = round(rng.lognormvariate(3.3, 0.9), 2)
        return {
            'event_id': str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            'user_id': f'user-{self._user():07d}',
            'event_type': kind,
            'timestamp': round(time.time() - late, 3),
            'metadata': metadata,
        }

    def _user(self):
        # Zipf with exponent 0.9, by the inverse of its continuous form.
        u = self.random.random()
        return min(int((1 + u * (USERS ** 0.1 - 1)) ** 10), USERS) - 1


def due_after(seconds, rate):
    """Events due by then: `rate` a second on average, in waves of WAVE s."""
    turn = 2 * math.pi / WAVE
    return int(rate * (seconds + SWELL / turn * (1 - math.cos(
        turn * seconds))))


def live(sender, traffic, rate, seconds, report=None):
    """Send about `rate` events a second, in waves as visitors come.

    `report(elapsed)` is called about once a second.
    """
    start = time.monotonic()
    sent = 0
    reported = 0
    while True:
        elapsed = time.monotonic() - start
        if elapsed >= seconds:
            return sent
        due = due_after(elapsed, rate) - sent
        if due > 0:
            batch = [traffic.event() for _ in range(min(due, 1000))]
            sender.send(batch)
            sent += len(batch)
        if report is not None and elapsed >= reported + 1:
            reported = int(elapsed)
            report(reported)
        time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description='Send live events.')
    parser.add_argument('--url', default='http://127.0.0.1:8080')
    parser.add_argument('--rate', type=int, default=500)
    parser.add_argument('--seconds', type=float, default=60)
    args = parser.parse_args()
    sender = Sender(args.url)
    traffic = Traffic()
    live(sender, traffic, args.rate, args.seconds)
    print(f'{sender.accepted} events accepted, {traffic.repeats} of them '
          f'repeats')
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except SendError as failure:
        sys.exit(f'feed: {failure}')
    except KeyboardInterrupt:
        sys.exit(130)
