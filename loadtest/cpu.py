"""What processes and the machine have used of the CPUs, from /proc; and who
comes first."""

import ctypes
import os
import platform
import resource
import struct
import time

TICK = os.sysconf('SC_CLK_TCK')

# Who comes first where all share a busy machine, as docs/operations.md advises:
# systemd's CPUWeight 1000 and 300 against 100, as nice levels.
NICE = {'mongod': -10, 'millrace-writer': -5, 'millrace-stats': -5,
        'millrace-query': -5}

# And where answers to reads have to be quick: what all of them pass through
# needs little, and comes before mongod, of whose time most is the writer's.
# CPUWeight 3000.
NICE_READS = {**NICE, 'millrace-query': -15, 'nginx': -15}

# A client that measures, with what it has started to send events, stands for
# others' machines.
NICE_CLIENT = -10

# Of the threads by which mongod serves writers, among all of its own: a flush
# has time, and four at once leave a query's thread a fifth of a core.
NICE_STORES = 15

# How long a thread runs before others have their turn, ns, 3,000,000 unless
# said otherwise: who asks for little is served sooner.  The kernel's least.
SLICE_READS = 100_000

# sched_getattr(2), sched_setattr(2): not in the C library of Debian 12.
SCHED_CALLS = {'x86_64': (315, 314), 'aarch64': (275, 274)}
# struct sched_attr: size, policy, flags, nice, priority, runtime, deadline,
# period.
SCHED_ATTR = struct.Struct('<IIQiIQQQ')


def add_weigh(parser):
    """--weigh: whether weigh() is called."""
    parser.add_argument('--weigh', action='store_true',
                        help='as docs/operations.md advises; needs root')


def weigh(stack, levels=NICE):
    """Give the parts of a stack that run their weights; needs root.

    Each part is a session of its own, and so a group of the scheduler's.
    """
    for part, nice in levels.items():
        for pid in stack.group(part):
            set_group_nice(pid, nice)


def set_group_nice(pid, nice):
    """The nice level of a process's session among all sessions."""
    with open(f'/proc/{pid}/autogroup', 'w', encoding='ascii') as f:
        f.write(str(nice))


def serve_later(stack, mongo, application):
    """NICE_STORES for the threads by which mongod serves the connections that
    an application has; one that it opens later has it not."""
    served = {
        connection['desc'] for connection in mongo.admin.aggregate([
            {'$currentOp': {'allUsers': True, 'idleConnections': True}}])
        if connection.get('appName') == application}
    for pid in stack.group('mongod'):
        for task in os.listdir(f'/proc/{pid}/task'):
            try:
                with open(f'/proc/{pid}/task/{task}/comm',
                          encoding='ascii', errors='replace') as f:
                    name = f.read().rstrip()
                if name in served:
                    os.setpriority(os.PRIO_PROCESS, int(task), NICE_STORES)
            except (FileNotFoundError, ProcessLookupError):
                pass


def cut_slices(stack):
    """Short slices for what a read passes through; docs/operations.md."""
    for part in ('mongod', 'millrace-query', 'nginx'):
        for pid in stack.group(part):
            cut_slice(pid)


def cut_slice(pid):
    """A short slice for all threads of a process, and for those that they
    start later.  Linux 6.12; an older one ignores it."""
    for task in os.listdir(f'/proc/{pid}/task'):
        try:
            _cut_slice_of_thread(int(task))
        except ProcessLookupError:
            pass


def _cut_slice_of_thread(task):
    get, change = SCHED_CALLS[platform.machine()]
    attr = ctypes.create_string_buffer(SCHED_ATTR.size)
    _system_call(get, task, attr, SCHED_ATTR.size, 0)
    fields = list(SCHED_ATTR.unpack(attr))
    fields[5] = SLICE_READS
    _system_call(change, task, SCHED_ATTR.pack(*fields), 0)


def _system_call(number, *args):
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(ctypes.c_long(number), *args) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def process_seconds(pid):
    """User and system time of all threads of a process; 0 if it is gone."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii',
                  errors='replace') as f:
            fields = f.read().rpartition(')')[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def machine_seconds():
    """(all, idle) of all CPUs together."""
    with open('/proc/stat', encoding='ascii') as f:
        values = [int(v) / TICK for v in f.readline().split()[1:9]]
    return sum(values), values[3] + values[4]


def children_seconds():
    """Of children that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def sample(processes):
    """`processes`: {role: [pid]}.  Compare two with difference()."""
    everything, idle = machine_seconds()
    return {
        'time': time.monotonic(),
        'machine': everything,
        'idle': idle,
        'own': time.process_time(),
        'sender': children_seconds(),
        'pids': {pid: process_seconds(pid)
                 for pids in processes.values() for pid in pids},
        'roles': processes,
    }


def difference(first, last):
    """Seconds of CPU by role, and shares of the machine.

    `sender`: the children that ran and ended in between.  `foreign`: the
    share of the machine that nobody here has used.
    """
    used = {
        role: sum(last['pids'].get(pid, 0) - first['pids'].get(pid, 0)
                  for pid in pids)
        for role, pids in first['roles'].items()}
    used['sender'] = last['sender'] - first['sender']
    machine = last['machine'] - first['machine']
    idle = last['idle'] - first['idle']
    known = sum(last['pids'].get(pid, 0) - seconds
                for pid, seconds in first['pids'].items())
    known += used['sender'] + last['own'] - first['own']
    used['seconds'] = last['time'] - first['time']
    used['idle'] = idle / machine if machine else 0.0
    used['foreign'] = max(0.0, (machine - idle - known) / machine) \
        if machine else 0.0
    return used


def memory_peak(pids):
    """The largest resident size that one of the processes has had, bytes."""
    peak = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/status', encoding='ascii',
                      errors='replace') as f:
                for line in f:
                    if line.startswith('VmHWM:'):
                        peak = max(peak, int(line.split()[1]) * 1024)
        except OSError:
            pass
    return peak
