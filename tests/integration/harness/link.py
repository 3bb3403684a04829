"""
A proxy in front of Kafka that is as slow as a network can be: it lets so many
bytes a second through to the broker, and holds answers for a while.
"""

import socket
import threading
import time

from .proxy import Proxy

CHUNK = 16384


class Link(Proxy):
    """`rate`: bytes a second, or None; `delay`: s.  Both may be changed."""

    def __init__(self, port):
        self.rate = None
        self.delay = 0
        self.turn = threading.Lock()    # all connections share the rate
        super().__init__(port)
        # What is sent waits in the sender rather than here.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)

    def read(self, source):
        return source.recv(CHUNK)

    def forward(self, sink, data, to_server):
        if not to_server:
            time.sleep(self.delay)
        elif self.rate is not None:
            with self.turn:
                time.sleep(len(data) / self.rate)
        sink.sendall(data)
