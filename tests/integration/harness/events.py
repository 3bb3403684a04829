"""A listener of GET /stats/stream on a socket of its own, and what it got."""

import json
import socket
import time
from urllib.parse import urlsplit


class Event:
    def __init__(self, name, data, id):
        self.name, self.data, self.id = name, data, id

    @property
    def window(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"{self.name} {self.id}: {self.data}"


class Listener:
    """
    Speaks HTTP/1.1 with chunks, and parses events as HTML 9.2.6 says.  It
    reads only when it is told to, so that it can be as slow as a test wants.
    """

    def __init__(self, url, query="", last=None, receive=None, path=None,
                 method="GET"):
        at = urlsplit(url)
        self.socket = socket.socket()
        if receive is not None:
            self.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(20)
        self.socket.connect((at.hostname, at.port))
        resume = "" if last is None else f"Last-Event-ID: {last}\r\n"
        self.socket.sendall(
            f"{method} {path or '/stats/stream'}{query} HTTP/1.1\r\n"
            f"Host: test\r\nAccept: text/event-stream\r\n{resume}\r\n"
            .encode())
        self.raw = b""       # behind the header, still in chunks
        self.text = b""      # behind the chunks, not yet parsed
        self.fields = ("message", [], None)
        self.events = []
        self.comments = []
        self.last = last     # the client's Last-Event-ID
        self.received = 0
        self.ended = False   # the last chunk came, or the connection ended
        self.status, self.headers = self._header()

    def _header(self):
        while b"\r\n\r\n" not in self.raw:
            data = self.socket.recv(4096)
            assert data, f"no answer: {self.raw!r}"
            self.raw += data
        head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in
                   (line.partition(":") for line in lines[1:])}
        self.received = len(self.raw)
        self._parse()
        return int(lines[0].split()[1]), headers

    def read(self, wait=0.05):
        """Take what is there within `wait` seconds; False at the end."""

        self.socket.settimeout(wait)
        try:
            data = self.socket.recv(1 << 18)
        except (TimeoutError, BlockingIOError):
            return not self.ended
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
        self.received += len(data)
        self.raw += data
        self._parse()
        return not self.ended

    def until(self, condition, seconds=20):
        """Read until condition(self) holds."""

        assert self.status == 200, f"{self.status} {self.raw!r}"
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, (
                f"not within {seconds} s; got {self.events[-5:]}, "
                f"{self.comments[-3:]}, ended: {self.ended}")
            if not self.read() and not condition(self):
                raise AssertionError(f"the stream ended: {self.events[-5:]}")
        return self

    def windows(self):
        return [e.window for e in self.events if e.name == "window"]

    def counts(self):
        return [w["count"] for w in self.windows()]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _parse(self):
        while b"\r\n" in self.raw:
            size, rest = self.raw.split(b"\r\n", 1)
            n = int(size, 16)
            if len(rest) < n + 2:
                break
            assert rest[n:n + 2] == b"\r\n"
            self.text += rest[:n]
            self.raw = rest[n + 2:]
            if n == 0:
                self.ended = True
                break
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            self._line(line.decode())

    def _line(self, line):
        name, data, id = self.fields
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            self.last = id if id is not None else self.last
            if data:
                self.events.append(Event(name, "\n".join(data), self.last))
            self.fields = ("message", [], None)
        elif field == "":
            self.comments.append(value)
        elif field == "event":
            self.fields = (value, data, id)
        elif field == "data":
            data.append(value)
        elif field == "id":
            self.fields = (name, data, value)
        else:
            assert field == "retry" and value.isdigit(), line
