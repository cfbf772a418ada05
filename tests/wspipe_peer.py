# SPDX-License-Identifier: 0BSD
"""Raw WebSocket peers for the scripts test_wspipe*.py: plain sockets or Python's TLS, free to misbehave."""

import base64
import hashlib
import os
import socket
import struct
import threading

TIMEOUT_S = 60
TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = b""
        self.request = ""

    def read_request(self):
        while b"\r\n\r\n" not in self.pending:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError("the client went away in its request")
            self.pending += data
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        self.request = head.decode("latin-1")

    def header(self, name):
        for line in self.request.split("\r\n")[1:]:
            key, value = line.split(":", 1)
            if key.lower() == name.lower():
                return value.strip()
        return None

    def accept(self, extra=""):
        """Read the upgrade and agree."""
        self.read_request()
        key = self.header("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: %s\r\n%s\r\n" % (digest, extra)).encode())

    def exactly(self, size):
        chunks = [self.pending[:size]]
        self.pending = self.pending[size:]
        missing = size - len(chunks[0])
        while missing:
            data = self.sock.recv(min(missing, 1 << 20))
            if not data:
                raise EOFError("the end of TCP")
            chunks.append(data)
            missing -= len(data)
        return b"".join(chunks)

    def read_frame(self):
        """The next frame: (first byte, payload)."""
        first, second = self.exactly(2)
        size = second & 0x7f
        if size == 126:
            size, = struct.unpack(">H", self.exactly(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.exactly(8))
        mask = self.exactly(4)
        payload = self.exactly(size)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return first, (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")

    def read_until_close(self):
        """All data, the code of the Close (1005 = none) and its reason."""
        data = []
        while True:
            first, payload = self.read_frame()
            if first == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                return b"".join(data), code, payload[2:].decode()
            data.append(payload)

    def drain(self):
        """Read until the other end is gone, whatever it says."""
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    def send_frame(self, first, payload):
        size = len(payload)
        if size < 126:
            head = struct.pack(">BB", first, size)
        elif size < 65536:
            head = struct.pack(">BBH", first, 126, size)
        else:
            head = struct.pack(">BBQ", first, 127, size)
        self.sock.sendall(head + payload)

    def send_close(self, code, reason=""):
        self.send_frame(CLOSE, struct.pack(">H", code) + reason.encode())

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Server:
    """
    Runs serve(connection) for one client in a thread; leaving the with block waits and passes its failure on. With tls,
    an ssl.SSLContext, it speaks TLS.
    """

    def __init__(self, serve, tls=None):
        self.serve = serve
        self.tls = tls
        self.failure = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT_S)
        self.port = self.listener.getsockname()[1]
        self.url = "%s://127.0.0.1:%d/" % ("wss" if tls else "ws", self.port)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            sock, _ = self.listener.accept()
            sock.settimeout(TIMEOUT_S)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with sock:
                self.serve(Connection(sock))
        except Exception as error:  # passed on by __exit__
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.thread.join(TIMEOUT_S)
            assert not self.thread.is_alive(), "the server still waits"
        self.listener.close()
        if kind is None and self.failure:
            raise self.failure


def exchange(client, server):
    """Carry bytes between two sockets, each way until its end, for a proxy."""
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # an end that is gone is told by the other direction
    thread = threading.Thread(target=carry, args=(server, client))
    thread.start()
    carry(client, server)
    thread.join(TIMEOUT_S)


def connect(url, path="/", tls=None, extra=""):
    """A raw client that has done its handshake; .request is the answer's head."""
    host, port = url.split("/")[2].split(":")
    sock = socket.create_connection((host, int(port)), TIMEOUT_S)
    if tls:
        try:
            sock = tls.wrap_socket(sock, server_hostname=host)
        except OSError:
            sock.close()
            raise
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(("GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n" % (path, host, port, key, extra))
                 .encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, "no answer to the handshake"
        answer += byte
    assert answer.startswith(b"HTTP/1.1 101"), answer
    connection = Connection(sock)
    connection.request = answer[:-4].decode("latin-1")
    return connection


class Client:
    """A raw one, whose frames have a mask of zeros."""

    def __init__(self, url, path="/", extra=""):
        self.connection = connect(url, path, extra=extra)
        self.sock = self.connection.sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, first, payload):
        head = struct.pack(">BB", first, 0x80 | len(payload))
        self.sock.sendall(head + bytes(4) + payload)

    def send_close(self, code):
        self.send(CLOSE, struct.pack(">H", code))

    def finish(self, code):
        """Answer a Close, and end TCP when the server has."""
        self.send_close(code)
        self.connection.drain()
        self.sock.close()

    def read_until_close(self):
        """All data, the code of the Close and its reason."""
        data = []
        while True:
            first, size = self.connection.exactly(2)
            if size == 126:
                size, = struct.unpack(">H", self.connection.exactly(2))
            elif size == 127:
                size, = struct.unpack(">Q", self.connection.exactly(8))
            payload = self.connection.exactly(size)
            if first == CLOSE:
                return b"".join(data), struct.unpack(">H", payload[:2])[0], payload[2:].decode()
            data.append(payload)

    def reset(self):
        self.connection.reset()
