"""
A proxy in front of mongod that can hold one message back: what a process
sends and the network delivers much later.
"""

import struct
import threading

from .proxy import Proxy, exactly


class HoldingProxy(Proxy):

    def __init__(self, port):
        self.pattern = None             # hold the next message that has it
        self.held = threading.Event()
        self.released = threading.Event()
        super().__init__(port)

    def close(self):
        self.release()
        super().close()

    @property
    def uri(self):
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def hold(self, pattern):
        """Hold the next message to the server that has these bytes."""

        self.held.clear()
        self.released.clear()
        self.pattern = pattern

    def release(self):
        self.released.set()

    def read(self, source):
        head = exactly(source, 4)
        return head + exactly(source, struct.unpack("<i", head)[0] - 4)

    def forward(self, sink, data, to_server):
        if to_server and self.pattern is not None and self.pattern in data:
            self.pattern = None
            self.held.set()
            self.released.wait()
        sink.sendall(data)
