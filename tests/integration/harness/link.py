"""
A proxy in front of Kafka that is as slow as a network can be: it lets so many
bytes a second through to the broker, and holds answers for a while.
"""

import socket
import threading
import time

CHUNK = 16384


class Link:
    """`rate`: bytes a second, or None; `delay`: s.  Both may be changed."""

    def __init__(self, port):
        self.target = port
        self.rate = None
        self.delay = 0
        self.turn = threading.Lock()    # all connections share the rate
        self.listener = socket.create_server(("127.0.0.1", 0))
        # What is sent waits in the sender rather than here.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for sock in self.sockets:
            # shutdown() wakes a thread that waits in accept() or recv()
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # the broker is away
                client.close()
                continue
            self.sockets += [client, server]
            for args in ((client, server, self._forth),
                         (server, client, self._back)):
                threading.Thread(target=self._pump, args=args,
                                 daemon=True).start()

    def _forth(self, sink, data):
        if self.rate is not None:
            with self.turn:
                time.sleep(len(data) / self.rate)
        sink.sendall(data)

    def _back(self, sink, data):
        time.sleep(self.delay)
        sink.sendall(data)

    @staticmethod
    def _pump(source, sink, forward):
        try:
            while data := source.recv(CHUNK):
                forward(sink, data)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
