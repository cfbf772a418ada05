# SPDX-License-Identifier: 0BSD
"""The first programs that wsfile.7 and README.md show, with a server that says something, and ends well or not."""
import base64
import errno
import hashlib
import os
import socket
import struct
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE_1000 = b"\x88\x02\x03\xe8"


def serve(listener, data, ends_well):
    """One connection: the data, in small messages, then a Close, or the end of TCP without one."""
    connection, _ = listener.accept()
    with connection:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            piece = connection.recv(4096)
            if piece == b"":
                return
            request += piece
        key = [line.split(b":")[1].strip() for line in request.split(b"\r\n")
               if line.lower().startswith(b"sec-websocket-key:")][0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        for start in range(0, len(data), 3):
            piece = data[start:start + 3]
            connection.sendall(struct.pack("!BB", 0x82, len(piece)) + piece)
        if ends_well:
            connection.sendall(CLOSE_1000)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096) != b"":
            pass


def told(manual, program, data, ends_well, arguments=()):
    """Run a client against that server; the data it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(manual.GIVE_UP_SECONDS)
        thread = threading.Thread(target=serve, args=(listener, data, ends_well))
        thread.start()
        done = manual.run_client(program, ["ws://127.0.0.1:%d/" % listener.getsockname()[1], *arguments])
        thread.join()
    return done


def mean_of_all_or_nothing(manual, program):
    reset = os.strerror(errno.ECONNRESET)
    for data, ends_well, output, error in (
            (b"1 2\n3\n", True, "2\n", ""), (b"", True, "", ""),
            # 12 of 123 is a number, too.
            (b"1 2 12", False, "", "after 3 numbers: %s\n" % reset),
            (b"", False, "", "after 0 numbers: %s\n" % reset),
            (b"1 two 3", True, "", "after 1 numbers: not a number\n")):
        done = told(manual, program, data, ends_well)
        manual.check(done.stdout == output and done.stderr == error and done.returncode == (1 if error else 0),
                     "mean of %r: status %d, %r, %r" % (data, done.returncode, done.stdout, done.stderr))
    for arguments, status in (([], 2), (["http://127.0.0.1/"], 1)):
        done = manual.run_client(program, arguments)
        manual.check(done.returncode == status and done.stdout == "" and done.stderr != "", "mean: %r" % done)


def json_whole_or_nothing(manual, program):
    for data, ends_well, output in (
            (b'{"a": [1, 2]}\n', True, '{\n  "a": [\n    1,\n    2\n  ]\n}'),
            (b'{"a": [1, 2', True, ""),
            # It would parse: that more was to come only the stream knows.
            (b'{"a": [1, 2]}\n', False, ""),
            (b'{"a": [1, 2', False, "")):
        done = told(manual, program, data, ends_well)
        manual.check(done.stdout == output and done.stderr == "" and done.returncode == (0 if output else 1),
                     "getjson of %r: status %d, %r, %r" % (data, done.returncode, done.stdout, done.stderr))
    for arguments in ([], ["http://127.0.0.1/"]):
        done = manual.run_client(program, arguments)
        manual.check(done.returncode == 1 and done.stdout == "", "getjson: %r" % done)


def run(manual, programs):
    """manual is what test_manual.py has: check, run_client."""
    mean_of_all_or_nothing(manual, programs["mean"])
    if "getjson" in programs:
        json_whole_or_nothing(manual, programs["getjson"])
