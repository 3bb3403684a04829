"""
A proxy in front of a server, for tests of what a network does.  What it reads
at a time, and how it passes that on, is a subclass' own.
"""

import socket
import threading


def exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def end(sock):
    try:
        # It wakes a thread that waits in accept() or recv().
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Proxy:

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for sock in self.sockets:
            end(sock)
            sock.close()

    def read(self, source):
        """The next bytes that belong together; none: the end."""

        raise NotImplementedError

    def forward(self, sink, data, to_server):
        raise NotImplementedError

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # the server is away
                client.close()
                continue
            self.sockets += [client, server]
            for args in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=args,
                                 daemon=True).start()

    def _pump(self, source, sink, to_server):
        try:
            while data := self.read(source):
                self.forward(sink, data, to_server)
        except OSError:
            pass
        end(source)
        end(sink)
