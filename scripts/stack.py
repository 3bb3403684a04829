#!/usr/bin/env python3
"""The parts of a running Millrace: started, watched, killed, stopped.

One piece of code for `make up`, `make down`, `make run` and the tests; only
the standard library.  A stack is a directory:

    DIRECTORY/<part>.pid, <part>.log   one a process
    DIRECTORY/conf/                    made from the files in conf/
    DIRECTORY/data/                    Kafka's log, MongoDB's files

Parts: kafka, mongod, millrace-setup (one shot), millrace-query,
millrace-writer, millrace-stats, nginx; the prefix "millrace-" may be left
out.  A second writer, stats or query is "millrace-writer-2" and so on.

In a test:

    with Stack(tmp_path, build='build-asan') as stack:   # free ports
        stack.start()                         # everything, until ready
        httpx.post(stack.url + '/events', ...)
        stack.kill('writer')                  # SIGKILL
        stack.start('writer')
        assert stack.problems() == []

    Stack(path).start('kafka')                # just one part

    stack.options = {'writer': {'flush_interval': '50ms'}}   # millrace.conf
    stack.kafka_properties = {'message.max.bytes': '2000000'}
    stack.mongod_parameters = {'ttlMonitorSleepSecs': 1}
    stack.nginx_changes = {'10s': '1s'}       # text of conf/nginx.conf
    stack.nginx_template = '...'              # instead of conf/nginx.conf
    stack.environment = {'MILLRACE_LOG': 'debug'}
    stack.configure(); stack.signal('nginx', signal.SIGHUP)  # reload

Attributes: ports (dict), url, query_url, brokers, mongo_uri, directory.
A stack made in Python is tied to its process: when that ends, in whatever
way, a guard process kills what is left.  `make up` starts an untied one.

On the command line:

    scripts/stack.py [-d run] [-b build] up|down|status
    scripts/stack.py [-d run] [-b build] start|stop|kill|restart PART...
"""

import argparse
import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import stackconf  # noqa: E402
import wire  # noqa: E402
from process import (  # noqa: E402
    HOST, StackError, alive, free_port, guard, http_status, in_directory,
    send_kill, session, tail, wait_for, working_directory)

REPO = stackconf.REPO
CACHE = os.path.join(REPO, '.cache')

# In the order in which they are started; stopped in the reverse order.
ORDER = ('kafka', 'mongod', 'millrace-setup', 'millrace-query',
         'millrace-writer', 'millrace-stats', 'nginx')

# Seconds: until ready, and from SIGTERM to SIGKILL.
START = {'kafka': 90, 'mongod': 60, 'nginx': 20}
STOP = {'kafka': 30, 'mongod': 30, 'nginx': 30}
START_DEFAULT = 30
STOP_DEFAULT = 20

VALGRIND = os.environ.get('MILLRACE_VALGRIND')
if VALGRIND:
    START['nginx'] = STOP['nginx'] = 90

# The last is the first line of anything that valgrind has found.
TROUBLE = re.compile(
    r'\[(alert|crit|emerg)\]|Sanitizer|runtime error: |Assertion .* failed'
    r'|^==\d+== (?!Warning: )\S')


def fixed_ports(running=None):
    """The default ports, each changeable through the environment.

    `running`: the ports of a stack that runs already.  They stay, and one
    that the environment names must be the same.
    """
    ports = {}
    for name, (variable, default) in stackconf.PORTS.items():
        if running is not None:
            default = running.get(name, default)
        text = os.environ.get(variable, str(default))
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise StackError(f'{variable}={text}: a port is 1 to 65535')
        ports[name] = int(text)
        if running is not None and ports[name] != default:
            raise StackError(
                f'{variable}={text}, but it runs already, with {default}: '
                f'make down first')
    return ports


class Stack:

    def __init__(self, directory, build='build', ports=None, options=None,
                 heap='384m', mongo_cache=0.25, tied=True, members=1,
                 create=True):
        self.directory = os.path.realpath(directory)
        self.build = os.path.join(REPO, build)
        self.ports = {} if ports is None else dict(ports)
        self.options = {} if options is None else options
        self.heap = heap
        self.mongo_cache = mongo_cache
        self.members = members
        self.kafka_properties = {}
        self.mongod_parameters = {}
        self.format_options = []  # of Kafka's storage
        self.nginx_changes = {}
        self.nginx_template = None
        self.environment = {}
        self.children = {}
        self.guard = None
        names = list(stackconf.PORTS)
        folders = ['conf', 'data/nginx']
        for n in range(1, members + 1):
            names += [stackconf.member(part, n)
                      for part in ('kafka', 'controller', 'mongod')]
            folders += [stackconf.member(f'data/{part}', n)
                        for part in ('kafka', 'mongod')]
        for name in names:
            if name not in self.ports:
                self.ports[name] = free_port(self.ports.values())
        for sub in folders if create else ():
            os.makedirs(os.path.join(self.directory, sub), exist_ok=True)
        if tied:
            self._start_guard()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Stop everything, and the guard."""
        self.stop()
        if self.guard is not None:
            self.guard.stdin.close()
            self.guard.wait()
            self.guard = None

    # Addresses and paths.

    @property
    def url(self):
        return f'http://{HOST}:{self.ports["nginx"]}'

    @property
    def query_url(self):
        return f'http://{HOST}:{self.ports["query"]}'

    @property
    def brokers(self):
        return stackconf.brokers(self.ports, self.members)

    @property
    def mongo_uri(self):
        return stackconf.mongo_uri(self.ports, self.members)

    @property
    def conf(self):
        """The daemons' configuration file."""
        return self.path('conf/millrace.conf')

    def path(self, name):
        return os.path.join(self.directory, name)

    def log(self, part):
        return self.path(part_name(part) + '.log')

    def log_text(self, part):
        try:
            with open(self.log(part), errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    # What runs.

    def pid(self, part):
        """The part's process id, or None when it does not run."""
        try:
            with open(self.path(part_name(part) + '.pid')) as f:
                pid = int(f.read())
        except (FileNotFoundError, ValueError):
            return None
        child = self.children.get(part_name(part))
        if child is not None and child.pid == pid:
            child.poll()
        # Every part works in the stack's directory: a pid that was given
        # to another program since is recognised by that.
        if not alive(pid) or working_directory(pid) != self.directory:
            return None
        return pid

    def running(self, part):
        return self.pid(part) is not None

    def parts(self):
        """Names of all parts that have been started, in order."""
        files = glob.glob(self.path('*.pid'))
        names = {os.path.basename(f)[:-4] for f in files}
        return sorted(names.union(self.children), key=_rank)

    def problems(self):
        """Lines in the logs that no healthy run has."""
        found = []
        for log in sorted(glob.glob(self.path('*.log'))):
            if log.endswith('access.log'):
                continue
            with open(log, errors='replace') as f:
                found += [f'{os.path.basename(log)}: {line.rstrip()}'
                          for line in f if TROUBLE.search(line)]
        return found

    def ready(self):
        """Does /readyz say yes?"""
        return http_status(self.url + '/readyz') == 200

    # Starting.

    def configure(self):
        """Write DIRECTORY/conf from conf/ and this stack's settings."""
        module = os.path.join(self.build, 'ngx_http_millrace_module.so')
        text = stackconf.nginx(self.ports, module, self.nginx_template,
                               self.members)
        text = stackconf.replace(text, self.nginx_changes, 'conf/nginx.conf')
        properties = {}
        if self.guard is not None:
            # After a SIGKILL the broker waits for its own old session.
            properties = {'broker.session.timeout.ms': '4000',
                          'broker.heartbeat.interval.ms': '500'}
        properties.update(self.kafka_properties)
        files = {
            'nginx.conf': text,
            'millrace.conf': stackconf.millrace(self.ports, self.options,
                                                self.members),
        }
        for n in range(1, self.members + 1):
            files[stackconf.member('kafka', n) + '.properties'] = \
                stackconf.kafka(self.ports, properties, n, self.members)
            files[stackconf.member('mongod', n) + '.conf'] = \
                stackconf.mongod(self.ports, self.mongo_cache, n,
                                 self.mongod_parameters)
        for name, content in files.items():
            with open(self.path('conf/' + name), 'w') as f:
                f.write(content)

    def start(self, *parts, wait=True):
        """Start what does not run yet (all parts when none is named).

        Returns when all of it is ready; with wait=False at once.
        """
        names = [part_name(part) for part in parts] or list(ORDER) + [
            stackconf.member(part, n) for n in range(2, self.members + 1)
            for part in ('kafka', 'mongod')]
        names.sort(key=_rank)
        self.configure()
        waiting = []
        for name in names:
            if name == 'millrace-setup':
                self._wait_all(waiting)
                waiting = []
                self._setup()
            elif not self.running(name):
                start = self._spawn(name)
                waiting.append((name, start))
        if wait:
            self._wait_all(waiting)
            if not parts:
                wait_for(self.ready, 30, f'{self.url}/readyz')

    def restart(self, *parts):
        self.stop(*parts)
        self.start(*parts)

    def _wait_all(self, waiting):
        for name, start in waiting:
            self._wait_ready(name, start)

    def _setup(self):
        log = self.log('setup')
        with open(log, 'ab') as out:
            done = subprocess.run(
                [self._binary('millrace-setup'), '-c', self.conf],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.directory, env=self._environment(), timeout=180)
        if done.returncode != 0:
            raise StackError(f'millrace-setup failed with '
                             f'{done.returncode}:\n{tail(log)}')

    def _binary(self, name):
        path = os.path.join(self.build, name)
        if not os.path.exists(path):
            raise StackError(f'{path} is not built: make '
                             f'BUILD={os.path.basename(self.build)}')
        return path

    def _environment(self, extra=None):
        env = dict(os.environ)
        env.pop('MILLRACE_RUN_ONCE', None)
        # Every dynamic module of nginx defines the same three globals.
        env.setdefault('ASAN_OPTIONS', 'detect_odr_violation=0:'
                       'detect_stack_use_after_return=1')
        env.setdefault('UBSAN_OPTIONS', 'print_stacktrace=1')
        # Else libmongoc keeps counters that nobody reads in /dev/shm, and a
        # process that is killed leaves its file to a later one of its id.
        env.setdefault('MONGOC_DISABLE_SHM', '1')
        env.setdefault('LSAN_OPTIONS', 'suppressions=' + os.path.join(
            REPO, 'tests', 'lsan.supp') + ':print_suppressions=0')
        env.setdefault('TSAN_OPTIONS', 'suppressions=' + os.path.join(
            REPO, 'tests', 'tsan.supp') + ':second_deadlock_stack=1')
        env.update(self.environment)
        env.update(extra or {})
        return env

    def _command(self, name):
        """The command of a part, and what it adds to the environment."""
        if _kind(name) == 'kafka':
            quick = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'] \
                if self.guard is not None else []
            return _java(f'-Xmx{self.heap}', *quick) + [
                'kafka.Kafka', self.path(f'conf/{name}.properties')], {}
        if _kind(name) == 'mongod':
            return [os.path.join(CACHE, 'mongod', 'mongod'), '--quiet',
                    '--config', self.path(f'conf/{name}.conf')], {}
        if name == 'nginx':
            # A sanitized module needs a sanitized nginx.
            own = os.path.join(self.build, 'nginx')
            binary = own if os.access(own, os.X_OK) and os.path.isfile(own) \
                else _system_nginx()
            return [*self._valgrind(), binary,
                    '-p', self.directory + '/', '-e', 'nginx.log',
                    '-c', self.path('conf/nginx.conf'),
                    '-g', 'daemon off;'], {}
        kind, number = _daemon(name)
        # What libmongoc loses (tests/lsan.supp) is told from what we lose.
        extra = {'ASAN_OPTIONS': 'fast_unwind_on_malloc=0:'
                 'detect_stack_use_after_return=1'}
        if number > 1:
            # A further one of a kind has addresses of its own.
            kinds = ('metrics', 'listen') if kind == 'query' else ('metrics',)
            for key in kinds:
                port = self._port(f'{kind}_{key}_{number}')
                extra[f'MILLRACE_{kind}_{key}'.upper()] = f'{HOST}:{port}'
        return [self._binary(f'millrace-{kind}'), '-c', self.conf], extra

    def _valgrind(self):
        """nginx is run under memcheck with MILLRACE_VALGRIND=1.

        Each process, master and workers, has a log of its own.
        """
        if not VALGRIND:
            return []
        return ['valgrind', '--quiet', '--leak-check=full',
                '--show-leak-kinds=definite',
                '--errors-for-leak-kinds=definite',
                # The module is unloaded before leaks are told.
                '--keep-debuginfo=yes', '--num-callers=30',
                '--suppressions=' + os.path.join(REPO, 'tests',
                                                 'valgrind.supp'),
                '--log-file=' + self.path('valgrind-%p.log')]

    def _port(self, name):
        if name not in self.ports:
            self.ports[name] = free_port(self.ports.values())
        return self.ports[name]

    def _listens(self, name):
        """Keys of `ports` that the part listens on."""
        if _kind(name) == 'kafka':
            return (name, name.replace('kafka', 'controller'))
        if _kind(name) in ('mongod', 'nginx'):
            return (name,)
        kind, number = _daemon(name)
        if number > 1:
            return ()
        return ('query', 'query_metrics') if kind == 'query' \
            else (kind + '_metrics',)

    def _check_ports(self, name):
        for key in self._listens(name):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((HOST, self.ports[key]))
                except OSError:
                    raise StackError(
                        f'port {self.ports[key]}, which {name} needs, is '
                        f'taken by another program; set '
                        f'{stackconf.PORTS[key][0]} to a free one, as in '
                        f'{stackconf.PORTS[key][0]}='
                        f'{free_port()} make up'
                        if key in stackconf.PORTS else
                        f'{name}: port {self.ports[key]} is taken') from None

    def _end_orphans(self, name):
        """nginx's workers outlive a master that was killed.

        They go on answering, and hold the port, but nobody would replace one
        or pass a reload on to them.
        """
        orphans = self.group(name)
        if not orphans:
            return
        print(f'stack: the main process of {name} has ended without '
              f'{len(orphans)} of its processes: they finish what they '
              f'have begun, then it is started again', file=sys.stderr)
        ask = signal.SIGQUIT if name == 'nginx' else signal.SIGTERM
        for pid in orphans:
            try:
                os.kill(pid, ask)
            except ProcessLookupError:
                pass
        self._finish(name, STOP.get(name, STOP_DEFAULT))

    def _spawn(self, name):
        self._end_orphans(name)
        self._check_ports(name)
        if _kind(name) == 'kafka':
            self._format_kafka(name)
        command, extra = self._command(name)
        log = self.log(name)
        with open(log, 'ab') as out:
            # A session of its own: Ctrl-C in a terminal does not reach it,
            # and all its processes can be signalled as one group.
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.directory, env=self._environment(extra),
                start_new_session=True)
        self.children[name] = child
        with open(self.path(name + '.pid'), 'w') as f:
            f.write(f'{child.pid}\n')
        return time.monotonic()

    def _format_kafka(self, name):
        if os.path.exists(self.path(f'data/{name}/meta.properties')):
            return
        done = subprocess.run(
            _java('-Xmx128m', '-XX:TieredStopAtLevel=1') + [
                'kafka.tools.StorageTool', 'format',
                '-t', 'bWlsbHJhY2UtbG9jYWwtMQ',
                '-c', self.path(f'conf/{name}.properties'),
                *self.format_options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=self.directory, timeout=120)
        if done.returncode != 0:
            raise StackError('formatting Kafka\'s storage failed:\n'
                             + done.stdout.decode(errors='replace'))

    def _wait_ready(self, name, start):
        seconds = START.get(_kind(name), START_DEFAULT)
        deadline = start + seconds

        def ready():
            if not self.running(name):
                raise StackError(
                    f'{name} ended while it was starting, '
                    f'{self._how_ended(name)}:\n' + tail(self.log(name)))
            return self._is_ready(name)

        try:
            wait_for(ready, max(deadline - time.monotonic(), 1), name)
        except StackError as error:
            if 'ended' in str(error):
                raise
            raise StackError(f'{error}; the end of {self.log(name)}:\n'
                             + tail(self.log(name))) from None

    def _how_ended(self, name):
        child = self.children.get(name)
        status = None if child is None else child.poll()
        if status is None:
            return 'nobody saw how'
        if status < 0:
            return f'by {signal.Signals(-status).name}'
        return f'with status {status}'

    def _is_ready(self, name):
        if name == 'nginx':
            return http_status(self.url + '/healthz') == 200
        try:
            if _kind(name) == 'kafka':
                return len(wire.kafka_brokers(self.ports[name])) \
                    > self.members // 2
            if _kind(name) == 'mongod':
                return self._mongod_ready() if self.members == 1 \
                    else self._mongods_ready(name)
        except (OSError, ValueError, LookupError):
            return False
        kind, number = _daemon(name)
        suffix = f'_{number}' if number > 1 else ''
        port = self.ports[f'{kind}_metrics{suffix}']
        if http_status(f'http://{HOST}:{port}/healthz') != 200:
            return False
        # Its metrics can be asked for a little before it listens itself.
        port = self.ports.get(f'query_listen{suffix}', self.ports['query'])
        return kind != 'query' or http_status(f'http://{HOST}:{port}/') != 0

    def _mongod_ready(self):
        port = self.ports['mongod']
        if wire.mongod_is_primary(port):
            return True
        marker = self.path('data/mongod.port')
        before = None
        if os.path.exists(marker):
            with open(marker) as f:
                before = int(f.read())
        if before != port:
            # The port is part of the replica set's configuration.
            wire.mongod_initiate(port, force=before is not None)
            with open(marker, 'w') as f:
                f.write(f'{port}\n')
        return False

    def _mongods_ready(self, name):
        """One of several: is there a primary that it knows of?"""
        ports = [self.ports[stackconf.member('mongod', n)]
                 for n in range(1, self.members + 1)]
        if wire.mongod_command(self.ports[name], {'hello': 1}).get('primary'):
            return True
        marker = self.path('data/mongod.port')
        # All of them answer, or the command fails.
        for port in ports:
            wire.mongod_command(port, {'ping': 1})
        if not os.path.exists(marker):
            wire.mongod_initiate(*ports)
            with open(marker, 'w') as f:
                f.write(f'{ports[0]}\n')
        return False

    # Stopping.

    def stop(self, *parts):
        """Stop in the reverse order; {part: exit status or None}."""
        names = [part_name(part) for part in parts] or self.parts()
        names.sort(key=_rank, reverse=True)
        status = {}
        for name in names:
            ask = signal.SIGQUIT if name == 'nginx' else signal.SIGTERM
            if self.running(name):
                self.signal(name, signal.SIGCONT)
                self.signal(name, ask)
            status[name] = self._finish(
                name, STOP.get(_kind(name), STOP_DEFAULT))
        return status

    def kill(self, part):
        """SIGKILL for all processes of the part; returns once they are gone."""
        return self._finish(part_name(part), 0)

    def signal(self, part, number):
        """Signal the part's (main) process."""
        pid = self.pid(part)
        if pid is None:
            raise StackError(f'{part_name(part)} does not run')
        os.kill(pid, number)

    def wait_exit(self, part, seconds=20):
        """Wait until the part has ended by itself; its exit status."""
        name = part_name(part)
        wait_for(lambda: not self.running(name), seconds, f'{name} ending')
        return self._finish(name, 0)

    def group(self, part):
        """All processes of a part, orphans included."""
        name = part_name(part)
        try:
            with open(self.path(name + '.pid')) as f:
                leader = int(f.read())
        except (FileNotFoundError, ValueError):
            if name not in self.children:
                return []
            leader = self.children[name].pid
        return [pid for pid in in_directory(self.directory)
                if session(pid) == leader]

    def _finish(self, name, seconds):
        deadline = time.monotonic() + seconds
        while seconds and self.group(name) and time.monotonic() < deadline:
            self._reap(name)
            time.sleep(0.02)
        late = self.group(name)
        wait_for(lambda: self._killed(name), 30,
                 f'{name} ending after SIGKILL')
        if late and seconds:
            print(f'stack: {name} did not stop within {seconds} s and was '
                  f'killed', file=sys.stderr)
        try:
            os.unlink(self.path(name + '.pid'))
        except FileNotFoundError:
            pass
        child = self.children.pop(name, None)
        return child.wait() if child is not None else None

    def _killed(self, name):
        # The leader first: nginx's master would replace a worker.  And again
        # until none is left: it may have done so after the list was made.
        for pid in sorted(self.group(name), key=lambda pid: session(pid) != pid):
            send_kill(pid)
        self._reap(name)
        return not self.group(name)

    def _reap(self, name):
        child = self.children.get(name)
        if child is not None:
            child.poll()

    def _start_guard(self):
        # A guard that is there already is at work still after the end of an
        # earlier stack, or has an owner that lives.
        wait_for(lambda: not self._old_guard(), 15,
                 f'{self.directory}: the end of another stack there')
        # It reads a pipe whose other end only this process holds, so its
        # end is noticed even after SIGKILL.
        self.guard = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), '--guard',
             self.directory], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd='/', start_new_session=True)
        with open(self.path('guard'), 'w') as f:
            f.write(f'{self.guard.pid}\n')

    def _old_guard(self):
        try:
            with open(self.path('guard')) as f:
                pid = int(f.read())
            with open(f'/proc/{pid}/cmdline') as f:
                command = f.read().split('\0')
        except (OSError, ValueError):
            return False
        return '--guard' in command and self.directory in command


def part_name(part):
    """The full name of a part; StackError for one that there is not."""
    name = part if part.startswith('millrace-') else f'millrace-{part}'
    if re.fullmatch(r'(kafka|mongod)(-[2-9])?|nginx', part):
        return part
    if re.fullmatch(r'millrace-(setup|(writer|stats|query)(-[2-9])?)', name):
        return name
    raise StackError(f'there is no part "{part}"; parts: ' + ', '.join(ORDER))


def _kind(name):
    """The name without a number."""
    return re.sub(r'-\d+$', '', name)


def _daemon(name):
    kind, _, number = name[len('millrace-'):].partition('-')
    return kind, int(number or 1)


def _rank(name):
    base = _kind(name)
    return (ORDER.index(base) if base in ORDER else len(ORDER), name)


def _java(*flags):
    jars = os.path.join(CACHE, 'kafka', '*')
    simple = '-Dorg.slf4j.simpleLogger.'
    # Without that flag the JVM leaves its working directory for a moment.
    return ['java', '-XX:-UsePerfData', *flags, '-cp', jars,
            simple + 'showDateTime=true',
            simple + 'dateTimeFormat=yyyy-MM-dd\'T\'HH:mm:ss.SSSXXX',
            simple + 'defaultLogLevel=warn', simple + 'log.kafka=info']


def _system_nginx():
    for folder in os.environ.get('PATH', '').split(':') + ['/usr/sbin']:
        path = os.path.join(folder, 'nginx')
        if os.access(path, os.X_OK):
            return path
    raise StackError('nginx is not installed: make deps')


def _recorded_ports(directory):
    try:
        with open(os.path.join(directory, 'ports.json')) as f:
            return json.load(f)
    except (FileNotFoundError, ValueError):
        return None


def _cache_size():
    text = os.environ.get('MONGOD_CACHE_GB', '2')
    try:
        return float(text)
    except ValueError:
        raise StackError(f'MONGOD_CACHE_GB={text}: a number of GB, as in 0.5'
                         ) from None


def background(directory, build, starting=True):
    """The stack of `make up`: fixed ports, not tied to this process.

    Without `starting` its directory need not be there, and is not made.
    """
    before = _recorded_ports(os.path.realpath(directory))
    stack = Stack(directory, build, ports=before or fixed_ports(), tied=False,
                  heap=os.environ.get('KAFKA_HEAP', '512m'),
                  mongo_cache=_cache_size(), create=starting)
    if starting:
        runs = any(stack.running(part) for part in stack.parts())
        stack.ports = fixed_ports(before if runs else None)
        with open(stack.path('ports.json'), 'w') as f:
            json.dump(stack.ports, f)
    return stack


def main():
    parser = argparse.ArgumentParser(
        description='Start and stop the parts of Millrace.')
    parser.add_argument('-d', '--directory', default='run')
    parser.add_argument('-b', '--build', default='build')
    parser.add_argument('action', choices=(
        'up', 'down', 'status', 'start', 'stop', 'kill', 'restart'))
    parser.add_argument('parts', nargs='*')
    args = parser.parse_args()
    stack = background(args.directory, args.build,
                       args.action in ('up', 'start', 'restart'))
    if args.action in ('start', 'stop', 'kill', 'restart') and not args.parts:
        parser.error(f'{args.action} needs the name of a part')
    try:
        act(stack, args)
    except KeyboardInterrupt:
        down = 'make down' if args.directory == 'run' else \
            f'scripts/stack.py -d {args.directory} down'
        print('stack: interrupted'
              + (f'; what has been started goes on: {down} ends it'
                 if any(map(stack.running, stack.parts())) else ''),
              file=sys.stderr)
        return 130
    return 0


def act(stack, args):
    """Do what the command line says."""
    if args.action == 'up':
        stack.start()
        print(f'Millrace is up at {stack.url}/')
    elif args.action == 'down':
        stack.stop()
    elif args.action == 'status':
        for name in ORDER:
            if name != 'millrace-setup':
                print(f'{name:16} {stack.pid(name) or "down"}')
    elif args.action == 'kill':
        for part in args.parts:
            stack.kill(part)
    else:
        getattr(stack, args.action)(*args.parts)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--guard']:
        guard(sys.argv[2])
        sys.exit(0)
    try:
        sys.exit(main())
    except (StackError, stackconf.ConfError) as failure:
        sys.exit(f'stack: {failure}')
