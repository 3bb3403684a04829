"""What every benchmark keeps: its results, with the quantiles that they are
stated in, and the machine they come from."""

import datetime
import json
import math
import os
import platform
import subprocess

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def quantile(values, q):
    """The smallest of the values that a share of q (0 to 1) does not exceed:
    the nearest rank.  None of nothing."""
    if not values:
        return None
    # 0.07 * 100 is a little more than 7.
    rank = math.ceil(q * len(values) - 1e-9)
    return sorted(values)[max(rank, 1) - 1]


def machine():
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        models = [line.partition(':')[2].strip() for line in f
                  if line.startswith('model name')]
    with open('/proc/meminfo', encoding='utf-8') as f:
        memory = int(f.readline().split()[1]) // 1024

    def say(*command):
        try:
            return subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                cwd=REPO, check=False).stdout.decode().strip()
        except OSError:
            return None
    return {'cpu': models[0] if models else platform.machine(),
            'cores': os.cpu_count(), 'memory_mib': memory,
            'kernel': platform.release(),
            'nginx': (say('nginx', '-v') or say('/usr/sbin/nginx', '-v')
                      or '').rpartition('/')[2],
            'librdkafka': say('pkg-config', '--modversion', 'rdkafka'),
            'go': say('go', 'version'),
            'commit': say('git', 'describe', '--always', '--dirty')}


def keep(directory, name, content):
    """Write `content` with date and machine to a new file; where to.

    Of its options those stay out that are folders of this machine.
    """
    if 'options' in content:
        options = {name: value for name, value in content['options'].items()
                   if name not in ('directory', 'keep', 'results', 'use')}
        content = {**content, 'options': options}
    now = datetime.datetime.now(datetime.timezone.utc)
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f'{now:%Y-%m-%d}-{name}.json')
    number = 1
    while os.path.exists(path):
        number += 1
        path = os.path.join(directory, f'{now:%Y-%m-%d}-{name}-{number}.json')
    with open(path, 'w', encoding='utf-8') as f:
        json.dump({'date': now.isoformat(timespec='seconds'),
                   'machine': machine(), **content}, f, indent=1)
        f.write('\n')
    return path
