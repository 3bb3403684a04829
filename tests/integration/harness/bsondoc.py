"""
A BSON reader of our own, for blocks: pymongo's turns {"$ref", "$id"} into a
DBRef and does not say whether an integer was stored in 32 or 64 bits.  A
UUID is a uuid.UUID, other binary data are bytes.
"""

import struct
import uuid


class Long(int):
    """A 64-bit integer of BSON, as against a 32-bit one."""


class Date(int):
    """Milliseconds since the epoch."""


def decode(data):
    """One document, a dict.  ValueError if a key is there twice."""

    value, end = _document(bytes(data), 0, False)
    if end != len(data):
        raise ValueError("bytes after the document")
    return value


def _cstring(data, pos):
    end = data.index(0, pos)
    return data[pos:end].decode(), end + 1


def _document(data, pos, is_array):
    (size,) = struct.unpack_from("<i", data, pos)
    last = pos + size - 1
    if data[last] != 0:
        raise ValueError("the document does not end with NUL")
    pos += 4
    names, values = [], []

    while pos < last:
        kind = data[pos]
        name, pos = _cstring(data, pos + 1)
        names.append(name)

        if kind == 0x01:
            value, pos = struct.unpack_from("<d", data, pos)[0], pos + 8
        elif kind == 0x02:
            (n,) = struct.unpack_from("<i", data, pos)
            value = data[pos + 4:pos + 3 + n].decode()
            pos += 4 + n
        elif kind in (0x03, 0x04):
            value, pos = _document(data, pos, kind == 0x04)
        elif kind == 0x05:
            n, subtype = struct.unpack_from("<iB", data, pos)
            value = data[pos + 5:pos + 5 + n]
            pos += 5 + n
            if subtype == 0x04:
                value = uuid.UUID(bytes=value)
            elif subtype != 0x00:
                raise ValueError(f"binary of subtype {subtype:#x}")
        elif kind == 0x08:
            value, pos = bool(data[pos]), pos + 1
        elif kind == 0x09:
            value = Date(struct.unpack_from("<q", data, pos)[0])
            pos += 8
        elif kind == 0x0A:
            value = None
        elif kind == 0x10:
            value, pos = struct.unpack_from("<i", data, pos)[0], pos + 4
        elif kind == 0x12:
            value = Long(struct.unpack_from("<q", data, pos)[0])
            pos += 8
        else:
            raise ValueError(f"BSON type {kind:#x} has no business here")

        values.append(value)

    if pos != last:
        raise ValueError("the document's size is wrong")

    if is_array:
        if names != [str(i) for i in range(len(names))]:
            raise ValueError("an array's keys are not 0, 1, 2, ...")
        return values, last + 1

    result = dict(zip(names, values))
    if len(result) != len(names):
        raise ValueError("a key is there twice")
    return result, last + 1
