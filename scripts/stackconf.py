"""Makes run/conf/ from the files in conf/.

The files in conf/ are complete and valid with their default addresses and
paths.  A stack replaces exactly those, and a default that is no longer found
is an error: so the files stay readable, and a change of one cannot be missed.
"""

import os
import re

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Default ports: part -> (environment variable, port in conf/).
PORTS = {
    'nginx': ('NGINX_PORT', 8080),
    'query': ('QUERY_PORT', 8081),
    'kafka': ('KAFKA_PORT', 9092),
    'controller': ('KAFKA_CONTROLLER_PORT', 9093),
    'mongod': ('MONGOD_PORT', 27017),
    'writer_metrics': ('WRITER_METRICS_PORT', 9101),
    'stats_metrics': ('STATS_METRICS_PORT', 9102),
    'query_metrics': ('QUERY_METRICS_PORT', 9103),
}


class ConfError(Exception):
    pass


def replace(text, changes, name):
    """Replace each default in `changes`; each must be there."""
    for old, new in changes.items():
        if old not in text:
            raise ConfError(f'{name}: "{old}" is not there to be replaced')
        text = text.replace(old, new)
    return text


def read(name):
    with open(os.path.join(REPO, 'conf', name), encoding='utf-8') as f:
        return f.read()


def set_properties(text, values):
    """Set keys of a Java properties file."""
    for key, value in values.items():
        line = f'{key}={value}'
        pattern = re.compile(rf'^#?\s*{re.escape(key)}\s*=.*$', re.M)
        text, n = pattern.subn(lambda _: line, text, count=1)
        if n == 0:
            text = text.rstrip('\n') + '\n' + line + '\n'
    return text


def set_ini(text, options):
    """Set keys of an INI file: {section: {key: value}}; keeps comments."""
    lines = text.splitlines()
    for section, values in options.items():
        for key, value in values.items():
            _set_ini_key(lines, section, key, f'{key} = {value}')
    return '\n'.join(lines) + '\n'


def _set_ini_key(lines, section, key, new):
    inside = False
    last = None
    pattern = re.compile(rf'^\s*(?P<off>[;#]\s*)?{re.escape(key)}\s*=')
    commented = None
    for i, line in enumerate(lines):
        header = re.match(r'^\s*\[([^]]+)\]', line)
        if header:
            inside = header.group(1) == section
            if inside:
                last = i
            continue
        if not inside:
            continue
        match = pattern.match(line)
        if match and match.group('off') is None:
            lines[i] = new
            return
        if match and commented is None:
            commented = i
    if commented is not None:
        lines[commented] = new
    elif last is not None:
        lines.insert(last + 1, new)
    else:
        lines += ['', f'[{section}]', new]


def member(name, number):
    """The name of the n-th of several brokers or mongods: kafka, kafka-2."""
    return name if number == 1 else f'{name}-{number}'


def kafka(ports, properties, number=1, members=1):
    text = replace(read('kafka.properties'), {
        '127.0.0.1:9092': f'127.0.0.1:{ports[member("kafka", number)]}',
        'CONTROLLER://127.0.0.1:9093':
            f'CONTROLLER://127.0.0.1:{ports[member("controller", number)]}',
    }, 'conf/kafka.properties')
    voters = ','.join(f'{n}@127.0.0.1:{ports[member("controller", n)]}'
                      for n in range(1, members + 1))
    own = {'node.id': number, 'controller.quorum.voters': voters,
           'log.dirs': f'data/{member("kafka", number)}'}
    if members > 1:
        own.update({'offsets.topic.replication.factor': members,
                    'transaction.state.log.replication.factor': members,
                    'transaction.state.log.min.isr': members - 1})
    return set_properties(set_properties(text, own), properties)


def mongod(ports, cache, number=1, parameters=None):
    name = member('mongod', number)
    more = ''.join(f'\n  {key}: {value}'
                   for key, value in (parameters or {}).items())
    return replace(read('mongod.conf'), {
        'port: 27017': f'port: {ports[name]}',
        'dbPath: data/mongod': f'dbPath: data/{name}',
        'cacheSizeGB: 2': f'cacheSizeGB: {cache}',
        'setParameter:': 'setParameter:' + more,
    }, 'conf/mongod.conf')


def brokers(ports, members=1):
    return ','.join(f'127.0.0.1:{ports[member("kafka", n)]}'
                    for n in range(1, members + 1))


def millrace(ports, options, members=1):
    merged = {
        'kafka': {'brokers': brokers(ports, members)},
        'mongodb': {'uri': mongo_uri(ports, members)},
        'writer': {'metrics': f'127.0.0.1:{ports["writer_metrics"]}'},
        'stats': {'metrics': f'127.0.0.1:{ports["stats_metrics"]}'},
        'query': {'listen': f'127.0.0.1:{ports["query"]}',
                  'metrics': f'127.0.0.1:{ports["query_metrics"]}'},
    }
    for section, values in options.items():
        merged.setdefault(section, {}).update(values)
    return set_ini(read('millrace.conf'), merged)


def mongo_uri(ports, members=1):
    hosts = ','.join(f'127.0.0.1:{ports[member("mongod", n)]}'
                     for n in range(1, members + 1))
    return f'mongodb://{hosts}/?replicaSet=rs0'


def nginx(ports, module, template=None, members=1):
    """`template`: the text to use instead of conf/nginx.conf."""
    name = 'conf/nginx.conf' if template is None else 'nginx template'
    text = read('nginx.conf') if template is None else template
    temp = ''.join(f'    {kind}_temp_path data/nginx/{kind};\n' for kind in (
        'client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    changes = {
        'modules/ngx_http_millrace_module.so': module,
        # The work tree need not be readable for another user; one who is not
        # root cannot change to another.
        'user             www-data;':
            'user             root;' if os.geteuid() == 0 else '',
        # Longer than a request may wait for Kafka: who stops it waits, too.
        'worker_shutdown_timeout 60s': 'worker_shutdown_timeout 12s',
        '/run/nginx.pid': 'data/nginx/nginx.pid',
        '/var/lib/nginx/millrace': 'data/nginx/stats',
        '/var/log/nginx/error.log': 'nginx.log',
        '/var/log/nginx/access.log': 'access.log',
        '/usr/share/millrace/lib/': os.path.join(REPO, '.cache/web/'),
        '/usr/share/millrace': REPO,
        '127.0.0.1:9092': brokers(ports, members).replace(',', ' '),
        '127.0.0.1:8081': f'127.0.0.1:{ports["query"]}',
        '127.0.0.1:8080': f'127.0.0.1:{ports["nginx"]}',
        'http {\n': 'http {\n' + temp,
    }
    if template is not None:
        changes = {old: new for old, new in changes.items() if old in text}
    return replace(text, changes, name)
