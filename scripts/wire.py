"""Just enough of two wire protocols to see whether a server is ready.

Kafka: is there a broker that is not fenced?  MongoDB: make one mongod a
replica set, and is it primary?  Standard library only, so that `make up`
needs no Python package.  What the project itself says to Kafka and MongoDB
goes through librdkafka and libmongoc.
"""

import socket
import struct

_OP_MSG = 2013


def _receive(sock, n):
    data = b''
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise ConnectionError('connection closed')
        data += more
    return data


def kafka_brokers(port, timeout=2.0):
    """Ids of the unfenced brokers, by a Metadata request (version 1)."""
    client = b'millrace'
    request = struct.pack('>hhih', 3, 1, 1, len(client)) + client
    request += struct.pack('>i', 0)
    with socket.create_connection(('127.0.0.1', port), timeout) as sock:
        sock.settimeout(timeout)
        sock.sendall(struct.pack('>i', len(request)) + request)
        size, = struct.unpack('>i', _receive(sock, 4))
        answer = _receive(sock, size)
    n, = struct.unpack_from('>i', answer, 4)
    at = 8
    ids = []
    for _ in range(n):
        broker, length = struct.unpack_from('>ih', answer, at)
        at += 6 + length + 4
        rack, = struct.unpack_from('>h', answer, at)
        at += 2 + max(rack, 0)
        ids.append(broker)
    return ids


def _encode(document):
    out = b''
    for key, value in document.items():
        name = key.encode() + b'\0'
        if isinstance(value, bool):
            out += b'\x08' + name + (b'\1' if value else b'\0')
        elif isinstance(value, int):
            out += b'\x10' + name + struct.pack('<i', value)
        elif isinstance(value, str):
            text = value.encode() + b'\0'
            out += b'\x02' + name + struct.pack('<i', len(text)) + text
        elif isinstance(value, list):
            items = {str(i): item for i, item in enumerate(value)}
            out += b'\x04' + name + _encode(items)
        elif isinstance(value, dict):
            out += b'\x03' + name + _encode(value)
        else:
            raise TypeError(f'{key}: {type(value).__name__}')
    return struct.pack('<i', len(out) + 5) + out + b'\0'


# Sizes of the BSON types of fixed length that an answer may hold.
_FIXED = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8,
          0x12: 8, 0x13: 16}


def _decode(data):
    """The document's numbers, strings and booleans; the rest is skipped."""
    result = {}
    at = 4
    while data[at] != 0:
        kind = data[at]
        end = data.index(b'\0', at + 1)
        key = data[at + 1:end].decode()
        at = end + 1
        if kind == 0x02:
            size, = struct.unpack_from('<i', data, at)
            result[key] = data[at + 4:at + 3 + size].decode()
            at += 4 + size
        elif kind in (0x03, 0x04):
            at += struct.unpack_from('<i', data, at)[0]
        elif kind == 0x05:
            at += 5 + struct.unpack_from('<i', data, at)[0]
        else:
            if kind == 0x08:
                result[key] = data[at] == 1
            elif kind == 0x10:
                result[key], = struct.unpack_from('<i', data, at)
            elif kind == 0x01:
                result[key], = struct.unpack_from('<d', data, at)
            at += _FIXED[kind]
    return result


def mongod_command(port, command, timeout=5.0):
    """Run one command on the admin database; returns the answer's scalars."""
    body = b'\0' + _encode({**command, '$db': 'admin'})
    message = struct.pack('<I', 0) + body
    header = struct.pack('<iiii', 16 + len(message), 1, 0, _OP_MSG)
    with socket.create_connection(('127.0.0.1', port), timeout) as sock:
        sock.settimeout(timeout)
        sock.sendall(header + message)
        size, = struct.unpack('<i', _receive(sock, 4))
        answer = _receive(sock, size - 4)
    return _decode(answer[12 + 4 + 1:])


def mongod_initiate(port, *others, name='rs0', force=False):
    """Make it a replica set of one, or of as many as there are ports.

    `force`: it is one already, whose member had another port.
    """
    config = {'_id': name,
              'members': [{'_id': i, 'host': f'127.0.0.1:{p}'}
                          for i, p in enumerate((port, *others))]}
    if force:
        command = {'replSetReconfig': {'version': 1, **config},
                   'force': True}
    else:
        command = {'replSetInitiate': config}
    answer = mongod_command(port, command, timeout=30.0)
    if answer.get('ok') != 1 \
            and answer.get('codeName') != 'AlreadyInitialized':
        raise RuntimeError(answer.get('errmsg', 'no replica set'))


def mongod_is_primary(port):
    return mongod_command(port, {'hello': 1}).get('isWritablePrimary', False)
