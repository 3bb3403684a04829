"""
A proxy in front of mongod that can hold one message back: what a process
sends and the network delivers much later.
"""

import socket
import struct
import threading


class HoldingProxy:

    def __init__(self, port):
        self.target = port
        self.pattern = None             # hold the next message that has it
        self.held = threading.Event()
        self.released = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()
        for sock in self.sockets:
            # shutdown() wakes a thread that waits in accept() or recv()
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

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

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [client, server]
            for args in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=args,
                                 daemon=True).start()

    def _pump(self, source, sink, to_server):
        try:
            while True:
                head = self._read(source, 4)
                message = head + self._read(
                    source, struct.unpack("<i", head)[0] - 4)
                if (to_server and self.pattern is not None
                        and self.pattern in message):
                    self.pattern = None
                    self.held.set()
                    self.released.wait()
                sink.sendall(message)
        except OSError:
            for sock in (source, sink):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @staticmethod
    def _read(sock, n):
        data = b""
        while len(data) < n:
            more = sock.recv(n - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data
