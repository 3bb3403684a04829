"""Kafka's own partitioner, as Java's client has it (murmur2)."""


def murmur2(data):
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3

    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k

    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask

    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(user_id, partitions):
    return (murmur2(user_id.encode()) & 0x7FFFFFFF) % partitions
