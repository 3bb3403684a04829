"""
The packed columns of a block (docs/data-model.md, `blocks`): numbers to bytes
and back.
"""

import struct


def uint16s(numbers):
    return b"".join(struct.pack("<H", n) for n in numbers)


def since(times):
    """Of the events' times, ms: each as narrow as they can be."""

    first = min(times)
    width = ((max(times) - first).bit_length() + 7) // 8
    return b"".join(bytes((time - first) >> 8 * k & 255 for time in times)
                    for k in range(width))


def times(block, tmin):
    """When the events are, ms, as the block's tmin; by its form."""

    n = block["n"]
    if "times" in block:
        return list(struct.unpack(f"<{n}q", block["times"]))

    width, rest = divmod(len(block["since"]), n)
    if rest:
        raise ValueError(f"{len(block['since'])} bytes for {n} events")
    return [tmin + sum(block["since"][k * n + i] << 8 * k
                       for k in range(width)) for i in range(n)]
