# SPDX-License-Identifier: 0BSD
"""A TLS ClientHello by hand, for what OpenSSL no longer speaks: first_answer() tells what a server makes of it."""

import os
import socket
import struct

TIMEOUT_S = 60
SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2 = 0x0300, 0x0301, 0x0302, 0x0303


def block(size, data):
    """data behind its length in so many bytes."""
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return struct.pack(">H", kind) + block(2, data)


def client_hello(version, suites):
    """RFC 5246, section 7.4.1.2, with elliptic curves (RFC 8422) and secure renegotiation (RFC 5746)."""
    groups = struct.pack(">3H", 0x001d, 0x0017, 0x0018)
    signatures = struct.pack(">6H", 0x0403, 0x0804, 0x0401, 0x0203, 0x0201, 0x0503)
    extensions = (extension(10, block(2, groups)) + extension(11, block(1, b"\0")) +
                  extension(13, block(2, signatures)) + extension(0xff01, block(1, b"")))
    body = (struct.pack(">H", version) + os.urandom(32) + block(1, b"") +
            block(2, b"".join(struct.pack(">H", suite) for suite in suites)) + block(1, b"\0") + block(2, extensions))
    message = b"\x01" + block(3, body)
    return b"\x16" + struct.pack(">H", min(version, TLS_1_0)) + block(2, message)


def first_answer(port, version, suites):
    """("hello", version, suite), ("alert", its number), or ("end",)"""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock:
        sock.sendall(client_hello(version, suites))
        with sock.makefile("rb") as stream:
            try:
                header = stream.read(5)
                payload = stream.read(int.from_bytes(header[3:5], "big"))
            except ConnectionResetError:
                return ("end",)
    if header[:1] == b"\x15":
        return "alert", payload[1]
    if header[:1] == b"\x16" and payload[:1] == b"\x02":
        session = payload[38]
        return "hello", *struct.unpack_from(">H", payload, 4), *struct.unpack_from(">H", payload, 39 + session)
    return ("end",) if not header else ("garbage", header + payload)
