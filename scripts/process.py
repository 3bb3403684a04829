"""Processes, ports and waiting: what a stack is made of."""

import http.client
import os
import random
import signal
import socket
import sys
import time
import urllib.error
import urllib.request

HOST = '127.0.0.1'

# Whatever proxy the environment names: it is not for this machine.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class StackError(Exception):
    """Something could not be started or stopped; says which and why."""


def free_port(taken=()):
    """A port that nobody has.

    Below the kernel's range for outgoing connections: from that range a
    client's connection could take a server's port while the server is down.
    """
    with open('/proc/sys/net/ipv4/ip_local_port_range') as f:
        low = int(f.read().split()[0])
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, low) if low > 12000 else 0
        with socket.socket() as sock:
            try:
                sock.bind((HOST, port))
            except OSError:
                continue
            port = sock.getsockname()[1]
            if port not in taken:
                return port
    raise StackError('no free port found')


def end_by_signals():
    """Ctrl-C and SIGTERM end the program by an exit, its finally clauses and all.

    SIGINT also where a shell has had it ignored, as it does with `&`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def wait_for(condition, seconds, what):
    """Poll until condition() is true; StackError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise StackError(f'{what}: not within {seconds:g} s')
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def http_status(url, timeout=2.0):
    """The status that a GET answers; 0 when there is no answer."""
    try:
        with DIRECT.open(url, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return 0


def alive(pid):
    """Is there such a process, other than a zombie?"""
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def working_directory(pid):
    """Where a process works, or None when there is none."""
    try:
        return os.readlink(f'/proc/{pid}/cwd')
    except OSError:
        return None


def tail(path, lines=20):
    """The last lines of a file."""
    with open(path, errors='replace') as f:
        return ''.join(f.readlines()[-lines:])


def in_directory(directory):
    """All processes whose working directory this is."""
    pids = [int(name) for name in os.listdir('/proc') if name.isdigit()]
    return [pid for pid in pids
            if working_directory(pid) == directory and alive(pid)]


def session(pid):
    """The session of a process, or None when there is none."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def send_kill(pid):
    """SIGKILL, also when it is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def guard(directory):
    """Wait for the end of standard input, then kill what works there.

    Only what was there at that moment, and its children: by the time they
    are gone another stack may have begun in the same directory.
    """
    sys.stdin.buffer.read()
    sessions = {session(pid) for pid in in_directory(directory)}
    for _ in range(200):
        pids = [pid for pid in in_directory(directory)
                if session(pid) in sessions]
        if not pids:
            return
        for pid in pids:
            send_kill(pid)
        time.sleep(0.05)
