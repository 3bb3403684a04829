"""
An event's id as blocks have it (docs/data-model.md, `blocks`): of a UUID in
the form that RFC 9562 gives it its 16 bytes, of all others the text.
"""

import uuid

from bson import Binary


def is_uuid(text):
    """Would it be had back as it was?"""

    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def stored(text):
    """For a block that is written by pymongo."""

    if not is_uuid(text):
        return text
    return Binary(uuid.UUID(text).bytes, subtype=4)


def text(stored):
    """The id that was read, by pymongo or by bsondoc."""

    if isinstance(stored, Binary):
        assert stored.subtype == 4
        return str(uuid.UUID(bytes=bytes(stored)))
    return str(stored) if isinstance(stored, uuid.UUID) else stored
