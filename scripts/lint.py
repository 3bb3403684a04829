#!/usr/bin/env python3
"""`make lint`: what docs/coding-standard.md asks and a program can see.

Prints each offence as file:line: what is wrong; exits with 1 if there is one.
"""

import os
import re
import subprocess
import sys

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

C_FOLDERS = ('include', 'core', 'ngx_module', 'workers', 'tests/unit',
             'tests/fuzz', 'loadtest')
LINES_MAX = 800
COLUMNS_MAX = 80

BANNED = re.compile(r'\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol'
                    r'|atoll|atof|alloca)\s*\(')

LIBC = {
    'arpa/inet.h', 'assert.h', 'ctype.h', 'dirent.h', 'emmintrin.h', 'endian.h', 'errno.h',
    'fcntl.h', 'malloc.h',
    'float.h', 'getopt.h', 'inttypes.h', 'limits.h', 'locale.h', 'math.h',
    'netdb.h', 'netinet/in.h', 'netinet/tcp.h', 'poll.h', 'pthread.h',
    'sched.h', 'signal.h', 'stdalign.h', 'stdarg.h', 'stdatomic.h',
    'stdbool.h', 'stddef.h', 'stdint.h', 'stdio.h', 'stdlib.h', 'string.h',
    'strings.h', 'sys/epoll.h', 'sys/eventfd.h', 'sys/random.h',
    'sys/resource.h', 'sys/signalfd.h', 'sys/socket.h', 'sys/stat.h',
    'sys/time.h', 'sys/timerfd.h', 'sys/types.h', 'sys/uio.h', 'sys/un.h',
    'sys/wait.h', 'time.h', 'unistd.h',
}

# What an include may match, besides libc: folder -> patterns.  The first
# folder that is a prefix of the file's path counts.
MILLRACE = r'<millrace/[a-z0-9_]+\.h>'
LOCAL = r'"[a-z0-9_]+\.h"'
COMMON = r'"(\.\./)?common/[a-z_]+\.h"'
KAFKA = r'<librdkafka/rdkafka\.h>'
MONGO = r'<(mongoc|bson)/(mongoc|bson)\.h>'

RULES = (
    (r'include/', (MILLRACE,)),
    (r'core/', (MILLRACE, LOCAL, r'<(yyjson|zlib|zstd|zstd_errors|xxhash)\.h>')),
    (r'ngx_module/', (MILLRACE, r'"ngx_http_millrace[a-z_]*\.h"',
                      r'<ngx_[a-z0-9_]+\.h>', KAFKA)),
    (r'workers/common/kafka[a-z_]*\.[ch]$', (MILLRACE, LOCAL, KAFKA,
                                             r'<jansson\.h>')),
    (r'workers/common/mongo[a-z_]*\.[ch]$', (MILLRACE, LOCAL, MONGO)),
    (r'workers/common/', (MILLRACE, LOCAL, r'<(jansson|microhttpd|ini)\.h>')),
    # A worker's files that know MongoDB are named for it.
    (r'workers/[a-z]+/(store[a-z_]*|[a-z_]+_store)\.[ch]$',
     (MILLRACE, LOCAL, COMMON, MONGO)),
    (r'workers/stats/publish[a-z_]*\.[ch]$',
     (MILLRACE, LOCAL, COMMON, KAFKA, r'<jansson\.h>')),
    (r'workers/', (MILLRACE, LOCAL, COMMON,
                   r'<(jansson|microhttpd|xxhash|zlib)\.h>',
                   # A data format; the client is libmongoc.
                   r'<bson/bson\.h>')),
)

# Addresses of package registries come from the machine's configuration.
REGISTRY = re.compile(
    r'https?://[a-z0-9.-]*('
    r'pypi\.org|pythonhosted\.org|repo1?\.maven|maven\.apache\.org/maven2'
    r'|deb\.debian\.org|registry\.npmjs|docker\.io|ghcr\.io|proxy\.golang'
    r'|crates\.io)')

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"][^>"]+[>"])')

offences = 0


def offence(path, line, text):
    global offences
    offences += 1
    print(f'{path}:{line}: {text}')


def tracked():
    """Files of the project: tracked, or new and not ignored."""
    out = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others',
         '--exclude-standard'], cwd=REPO, check=True,
        stdout=subprocess.PIPE).stdout
    return sorted(name for name in out.decode().split('\0')
                  if name and os.path.isfile(os.path.join(REPO, name)))


def read(path):
    with open(os.path.join(REPO, path), encoding='utf-8') as f:
        return f.read()


def without_comments(text):
    """C with comments and string literals blanked, line by line the same."""
    def blank(match):
        return re.sub(r'[^\n]', ' ', match.group(0))
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, blank, text, flags=re.S)


def check_includes(path, text):
    patterns = next((p for prefix, p in RULES if re.match(prefix, path)),
                    None)
    if patterns is None:
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(1)
        if name[0] == '<' and name[1:-1] in LIBC:
            continue
        if not any(re.fullmatch(pattern, name) for pattern in patterns):
            offence(path, number, f'{name} may not be included here '
                    '(docs/coding-standard.md, who may include whom)')


def check_c(path):
    text = read(path)
    lines = text.splitlines()
    code = without_comments(text).splitlines()
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            offence(path, number, f'{len(line)} columns; at most '
                    f'{COLUMNS_MAX}')
        if '\t' in line or line.rstrip() != line:
            offence(path, number, 'a tab, or white space at the end')
        match = BANNED.search(code[number - 1]) \
            if number <= len(code) else None
        if match:
            offence(path, number, f'{match.group(1)}() is banned')
        if '//' in code[number - 1] if number <= len(code) else False:
            offence(path, number, 'comments are /* */')
    if path.endswith('.h') and not re.search(
            r'#ifndef (\w+_H)\n#define \1\n', text) \
            and not re.search(r'#ifndef (\w+_H_INCLUDED_)\n#define \1\n',
                              text):
        offence(path, 1, 'a header needs an include guard')
    check_includes(path, text)


def check_length(path):
    n = read(path).count('\n')
    if n > LINES_MAX:
        offence(path, n, f'{n} lines; at most {LINES_MAX}')


def check_registry(path):
    try:
        text = read(path)
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if REGISTRY.search(line):
            offence(path, number, 'the address of a package registry')


def check_format(files):
    """clang-format decides; only the first line of each complaint."""
    done = subprocess.run(
        ['clang-format', '--dry-run', '--Werror', '--ferror-limit=1', *files],
        cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        check=False)
    global offences
    for line in done.stdout.decode(errors='replace').splitlines():
        if ': error:' in line:
            offences += 1
            print(line)


def check_scripts(files):
    for path in files:
        first = read(path).partition('\n')[0]
        if path.endswith('.py') or first.endswith('python3'):
            try:
                compile(read(path), path, 'exec')
            except SyntaxError as error:
                offence(path, error.lineno or 1, str(error.msg))
            check_length(path)
        elif first.startswith('#!') and first.endswith('sh'):
            done = subprocess.run(['bash', '-n', path], cwd=REPO,
                                  stderr=subprocess.PIPE, check=False)
            if done.returncode:
                offence(path, 1, done.stderr.decode().strip())
            check_length(path)


def main():
    files = tracked()
    c_files = [f for f in files if f.endswith(('.c', '.h'))
               and f.startswith(C_FOLDERS)]
    for path in c_files:
        check_c(path)
        check_length(path)
    check_format(c_files)
    for path in files:
        if path != 'scripts/lint.py':
            check_registry(path)
    check_scripts([f for f in files if f.startswith(
        ('scripts/', 'tests/', '.ci/', 'loadtest/'))
        and not f.endswith(('.c', '.h', '.md', '.json', '.bin'))
        and is_text(f)])
    print(f'lint: {len(files)} files, {len(c_files)} of them C: '
          + (f'{offences} offences' if offences else 'no offence'))
    return 1 if offences else 0


def is_text(path):
    try:
        return '\0' not in read(path)
    except UnicodeDecodeError:
        return False


if __name__ == '__main__':
    sys.exit(main())
