#!/usr/bin/env python3
"""`make run`: everything up, real data in, and what it answers.

Starts what does not run yet, sends the clickstream through POST /events,
compares what GET /events and GET /stats answer with the file, then adds a
minute of live events.  All of it stays up until Ctrl-C, and is stopped then;
with MILLRACE_RUN_ONCE=1 it is stopped after the minute.

Exits with 1 when an answer is not what was sent.
"""

import argparse
import collections
import datetime
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse

import clickstream
import feed
import process
import stack as stacks
import stackconf

RATE = 500
BOX = 62
SECONDS = 60


class Stopped(Exception):
    """Asked to stop, by Ctrl-C or SIGTERM."""


class Wrong(Exception):
    """An answer is not what was sent."""


def say(text=''):
    print(text, flush=True)


def get(stack, path, **parameters):
    url = stack.url + path
    if parameters:
        url += '?' + urllib.parse.urlencode(parameters, doseq=True)
    try:
        with process.DIRECT.open(url, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        body = error.read(500).decode(errors='replace')
        raise Wrong(f'GET {url}: {error.code} {body}') from None


def wait_counted(stack, sent_until):
    """Wait until everything received before `sent_until` is in GET /stats."""
    process.wait_for(
        lambda: (get(stack, '/stats').get('as_of') or 0) >= sent_until,
        120, 'GET /stats having all events in it')


def pages(stack, **parameters):
    """All events of a query, page by page."""
    cursor = {}
    while True:
        page = get(stack, '/events', limit=1000, **parameters, **cursor)
        yield from page['events']
        if page['next_cursor'] is None:
            return
        cursor = {'cursor': page['next_cursor']}


def send_clickstream(stack, events):
    say(f'\nThe clickstream: {len(events)} events of '
        f'{len({e["user_id"] for e in events})} users through POST /events')
    sender = feed.Sender(stack.url)
    start = time.monotonic()
    for at in range(0, len(events), 500):
        sender.send(events[at:at + 500])
    seconds = time.monotonic() - start
    sender.close()
    say(f'  {sender.accepted} accepted in {seconds:.1f} s, each answered '
        f'after Kafka had it')


def check_events(stack, events, start, end):
    say('\nGET /events, paged through to the end in both orders')
    expected = sorted(events, key=clickstream.key)
    for order, want in (('asc', expected), ('desc', expected[::-1])):
        got = [e for e in pages(stack, order=order, **{
            'from': start, 'to': end}) if e['event_id'].startswith('ecom-')]
        if got != want:
            raise Wrong(f'order={order}: {len(got)} events, which differ '
                        f'from the {len(want)} of the file')
        say(f'  order={order}: {len(got)} events, equal to the file')
    say('  the newest one:')
    say('  ' + json.dumps(expected[-1]))


def check_stats(stack, events, start, end):
    say('\nGET /stats by day, for each type; and counted from the file')
    types = collections.Counter(e['event_type'] for e in events)
    days = collections.Counter((e['event_type'], e['timestamp'] // 86400)
                               for e in events)
    for name, n in types.most_common():
        answer = get(stack, '/stats', event_type=name, time_interval='1d',
                     **{'from': start, 'to': end})
        series = {point['start'] // 86400: point['count']
                  for point in answer['series'] if point['count']}
        want = {day: count for (kind, day), count in days.items()
                if kind == name}
        total = answer['total']['count']
        say(f'  {name:18} {total:6}  {n:6}  on {len(want):3} days')
        if total != n or series != want:
            raise Wrong(f'GET /stats of {name} differs from the file')


def clock(seconds):
    return datetime.datetime.fromtimestamp(
        seconds, datetime.timezone.utc).strftime('%H:%M:%S')


def show_minutes(stack, start, end):
    answer = get(stack, '/stats', time_interval='1m', **{
        'from': start, 'to': end})
    say('  minute      events     rate  average value')
    for point in answer['series']:
        average = point['average']
        say(f'  {clock(point["start"])}  {point["count"]:8} '
            f'{point["rate"]:8.1f}  '
            + ('-' if average is None else f'{average:.2f}'))


def show_addresses(stack):
    say('\n' + '=' * BOX)
    say(f'  The dashboard:  {stack.url}/')
    say(f'  The API:        {stack.url}/docs')
    say('=' * BOX)


def view_of(start, end):
    """The dashboard's address of a range."""
    return '/?' + urllib.parse.urlencode({
        'range': 'custom', 'from': start, 'to': end, 'zone': 'utc'})


def counts(stack, bounds):
    """(of the feed's types, of all) events in a range."""
    return [get(stack, '/stats', **bounds, **types)['total']['count']
            for types in ({'event_type': feed.TYPES}, {})]


def live_minute(stack):
    say(f'\nA minute of live events, {RATE} a second, 1 % of them late by '
        f'up to an hour;\nwatch them arrive: {stack.url}/?range=5m')
    # Whole minutes, as GET /stats widens its range to them.
    first = int(time.time()) // 60 * 60 - 3660
    last = first + 3660 + 300
    wait_counted(stack, time.time())
    bounds = {'from': first, 'to': last}
    before = counts(stack, bounds)
    sender = feed.Sender(stack.url)
    traffic = feed.Traffic()
    began = int(time.time())

    def report(second):
        if second % 15 == 0 and second < SECONDS:
            show_minutes(stack, began, int(time.time()) + 1)

    feed.live(sender, traffic, RATE, SECONDS, report)
    sender.close()
    wait_counted(stack, time.time())
    say('\nGET /stats by minute')
    show_minutes(stack, began, int(time.time()) + 1)
    own, every = (after - n for after, n in zip(counts(stack, bounds), before))
    say(f'  {sender.accepted} accepted, {traffic.repeats} of them repeats: '
        f'{own} of these types counted')
    if own < traffic.distinct:
        raise Wrong(f'{traffic.distinct} different events were sent')
    if every > traffic.distinct:
        # It is up for everybody, and its pages invite to send one.
        say(f'  {every - traffic.distinct} more came from somebody else')


def demonstrate(stack):
    events = list(clickstream.events())
    start = min(e['timestamp'] for e in events)
    end = max(e['timestamp'] for e in events) + 1
    found = get(stack, '/events', user_id=events[0]['user_id'],
                event_id=events[0]['event_id'])
    if found['events']:
        say('\nThe clickstream is in already, from a run before: its '
            'event_ids are\nrecognised, so sending it again changes nothing.')
    send_clickstream(stack, events)
    wait_counted(stack, time.time())
    check_events(stack, events, start, end)
    check_stats(stack, events, start, end)
    say(f'  on the dashboard: {stack.url}{view_of(start, end)}')
    live_minute(stack)


def stop(stack):
    say('Stopping everything.')
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    stack.stop()


def run(stack, once):
    names = [n for n in stacks.ORDER if n != 'millrace-setup']
    say(f'Starting {", ".join(names)}')
    stack.start()
    say(f'Millrace is up; its logs are {stack.directory}/*.log')
    show_addresses(stack)
    demonstrate(stack)
    if not once:
        show_addresses(stack)
        say('Everything stays up until Ctrl-C.')
        threading.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('-d', '--directory', default='run')
    parser.add_argument('-b', '--build', default='build')
    args = parser.parse_args()
    try:
        stack = stacks.background(args.directory, args.build)
    except (process.StackError, stackconf.ConfError) as failure:
        sys.exit(f'run: {failure}')

    def asked(_number, _frame):
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, asked)

    try:
        run(stack, os.environ.get('MILLRACE_RUN_ONCE', '') not in ('', '0'))
        return 0
    except Stopped:
        say()
        return 0
    except (Wrong, feed.SendError, process.StackError,
            stackconf.ConfError) as failure:
        print(f'run: {failure}', file=sys.stderr)
        return 1
    finally:
        stop(stack)


if __name__ == '__main__':
    sys.exit(main())
