"""
Bytes of sketches, written from what the headers say of the format
(include/millrace/hll.h, ddsketch.h), without their code.
"""

import hashlib
import math

ALPHA = 0.005
GAMMA = (1 + ALPHA) / (1 - ALPHA)
ZERO = 3455
LOWEST = -6909


def varint(value):
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes(found + bytes([value]))


def hyperloglog(values):
    """Of at most 256 values; any good hash will do to count them."""

    hashes = sorted({int.from_bytes(hashlib.blake2b(
        value.encode(), digest_size=8).digest(), "little")
        for value in values})
    assert len(hashes) <= 256
    return b"H\x01\x0e\x00" + varint(len(hashes)) + b"".join(
        value.to_bytes(8, "little") for value in hashes)


def registers(values):
    """Dense, of any number of values: {index: register}."""

    found = [0] * 16384
    for value in values:
        bits = int.from_bytes(hashlib.blake2b(
            value.encode(), digest_size=8).digest(), "big")
        rest = bits & (1 << 50) - 1
        index = bits >> 50
        found[index] = max(found[index], 51 - rest.bit_length())
    return found


def hyperloglog_dense(values):
    packed = 0
    for index, register in enumerate(registers(values)):
        packed |= register << 6 * index
    return b"H\x01\x0e\x02" + packed.to_bytes(12288, "little")


def key(value):
    if abs(value) < 1e-15:
        return 0
    index = math.ceil(math.log(abs(value)) / math.log(GAMMA))
    return math.copysign(1, value) * (index + ZERO)


def ddsketch(values):
    counts = {}
    for value in values:
        k = int(key(value))
        counts[k] = counts.get(k, 0) + 1
    found = b"D\x01\x05" + varint(len(counts))
    before = LOWEST - 1
    for k in sorted(counts):
        found += varint(k - before - 1) + varint(counts[k])
        before = k
    return found


def quantile(values, q):
    """The true one, of the rank that ddsketch.h names."""

    return sorted(values)[math.floor(q * (len(values) - 1))]
