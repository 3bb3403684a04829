"""Making events and bodies, and speaking HTTP/1.1 byte by byte."""

import contextlib
import json
import socket

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
LENIENT = {"Prefer": "handling=lenient"}

numbers = iter(range(10 ** 9))


def event(**fields):
    made = {"event_id": f"e{next(numbers)}", "user_id": "u1",
            "event_type": "view", "timestamp": 1_700_000_000}
    made.update(fields)
    return {k: v for k, v in made.items() if v is not None}


def lines(events):
    return b"\n".join(json.dumps(e).encode() for e in events)


def values(records):
    return sorted(r.value() for r in records)


def request(path, body, headers=JSON, extra=b""):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return head.encode() + extra + b"\r\n" + body


@contextlib.contextmanager
def connection(ingest, port=None):
    address = ("127.0.0.1", port or ingest.ports["nginx"])
    with socket.create_connection(address, timeout=20) as sock:
        with sock.makefile("rb") as reader:
            yield sock, reader


def answer(reader):
    """The next answer of a connection: status, headers, body."""

    line = reader.readline()
    if not line:
        return None
    status = int(line.split()[1])
    headers = {}
    while True:
        line = reader.readline()
        if line == b"\r\n":
            break
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return status, headers, body


def many(count, size=0):
    return [event(user_id=f"u{i % 97}", metadata={"pad": "x" * size})
            for i in range(count)]


class Poster:
    """
    A client that keeps its connection.  One that is closed before any byte
    of an answer has come is made anew and the request sent again, once.
    """

    def __init__(self, address):
        self.address = address
        self.sock = self.reader = None
        self.again = 0

    def post(self, body, headers=NDJSON, path="/events"):
        """Returns status, headers and body."""

        for attempt in (1, 2):
            try:
                if self.sock is None:
                    self.sock = socket.create_connection(self.address, 30)
                    self.reader = self.sock.makefile("rb")
                self.sock.sendall(request(path, body, headers))
                begun = self.reader.peek(1)
            except ConnectionError:
                begun = b""
            if begun:
                told = answer(self.reader)
                if told[1].get("connection") == "close":
                    self.close()
                return told
            self.close()
            self.again += 1
        raise ConnectionError("closed twice before an answer")

    def close(self):
        if self.sock is not None:
            self.reader.close()
            self.sock.close()
            self.sock = self.reader = None
