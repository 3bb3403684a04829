"""
The time of day that one process alone sees.
"""

import os
import struct
import subprocess


class Clock:
    """The environment of a process whose time of day may be set.

    One of a name in a folder: name.so, which is preloaded, and the file
    `name`, which it reads.
    """

    def __init__(self, folder, name="clock"):
        library = f"{folder}/{name}.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, os.path.join(
            os.path.dirname(__file__), "clock.c")], check=True)
        self.path = f"{folder}/{name}"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": library, "MILLRACE_TEST_CLOCK": self.path,
            "ASAN_OPTIONS": "verify_asan_link_order=0:"
                            "fast_unwind_on_malloc=0"}

    def set(self, seconds):
        """Ahead of the real one, or behind it where negative."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, struct.pack("=q", seconds), 0)
        os.close(fd)
