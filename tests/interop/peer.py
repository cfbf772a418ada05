# SPDX-License-Identifier: 0BSD
"""A peer of the interop tests on Python's websockets: "peer.py [SETTING ...] ROLE URL SCENARIO [ARGUMENT ...]".

ROLE is client or server; a server (URL is "-") prints its port and serves one connection. Exit 0: everything was as it
should be. The settings and the scenarios are those of peer.js.
"""

import asyncio
import hashlib
import os
import ssl
import sys
import traceback

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

SETTINGS = {"total": "67108864"}
WORDS = sys.argv[1:]
while WORDS and WORDS[0].startswith("--"):
    NAME, VALUE = WORDS.pop(0)[2:].split("=", 1)
    SETTINGS[NAME] = VALUE
TOTAL = int(SETTINGS["total"])
SIZES = [1, 125, 126, 1000, 65535, 65536, 200001, 1048576]
TEXTS = ["plain", "gr\u00fc\u00df dich", "\u20ac", "\U0001f44b", "", "caf\u00e9 \U0001f600 \u4f60\u597d"]
OPTIONS = {"max_size": None, "max_queue": None, "ping_interval": None, "close_timeout": 60}
LETTERS = bytes(b"etaoin shrdlucm\n"[i & 15] for i in range(256))


def data_of(name, total):
    """The same bytes on both sides, from a name. Every second 64 KiB can be compressed."""
    data = hashlib.shake_128(name.encode()).digest(total)
    blocks = [data[i:i + 65536] for i in range(0, total, 65536)]
    return b"".join(block.translate(LETTERS) if i % 2 else block for i, block in enumerate(blocks))


def check(condition, text):
    if not condition:
        raise AssertionError(text)


async def receive(ws, want):
    """Everything that comes must be want; returns when all of it is here."""
    offset = 0
    while offset < len(want):
        message = await ws.recv()
        check(isinstance(message, bytes), "a text came")
        check(want[offset:offset + len(message)] == message, f"wrong bytes at {offset}")
        offset += len(message)


async def transmit(ws, data):
    """Messages of all sizes, each third one in fragments (the last of them empty), some with a ping between them.

    Its pong must come before the message goes on.
    """

    async def fragments(piece, i):
        half = len(piece) // 2
        yield piece[:half]
        if i % 30 == 0:
            pong = await ws.ping(f"ping {i}".encode())
            await pong
        yield b""
        yield piece[half:]

    offset = 0
    i = 0
    while offset < len(data):
        piece = data[offset:offset + SIZES[i % len(SIZES)]]
        offset += len(piece)
        await ws.send(fragments(piece, i) if i % 3 == 0 else piece)
        i += 1


async def transfer(ws, closer):
    await asyncio.gather(receive(ws, data_of("library", TOTAL)), transmit(ws, data_of("peer", TOTAL)))
    if closer == "peer":
        await ws.close(1000, "peer is done")
    await ws.wait_closed()
    check(ws.close_code == 1000, f"closed with {ws.close_code}")
    check(closer == "peer" or ws.close_reason == "library is done", f"closed with reason {ws.close_reason}")


async def echoed(ws):
    data = data_of("peer", TOTAL)
    await asyncio.gather(receive(ws, data), transmit(ws, data))
    await ws.close(1000, "peer is done")
    check(ws.close_code == 1000, f"closed with {ws.close_code}")


async def closed(ws, code, reason):
    await ws.wait_closed()
    check(ws.close_code == int(code), f"closed with {ws.close_code}")
    check(ws.close_reason == reason, f"closed with reason {ws.close_reason}")


async def close(ws, code, reason, answer):
    await ws.send(b"before")
    await ws.close(int(code), reason)
    check(ws.close_code == int(answer), f"answered with {ws.close_code}")


async def text(ws):
    for one in TEXTS:
        await ws.send(one)

    async def fragments():
        yield "\U0001f44b"
        pong = await ws.ping(b"mid")
        await pong
        yield "!"

    await ws.send(fragments())
    got = ""
    try:
        while True:
            message = await ws.recv()
            check(isinstance(message, str), "a binary came")
            got += message
    except websockets.ConnectionClosed:
        pass
    check(ws.close_code == 1000, f"closed with {ws.close_code}")
    check(got == "h\u00e9llo \u20ac \U0001f44b", f"got {got}")


async def late(ws):
    await ws.send(data_of("question", 1048576))
    await ws.close(1000, "that was all")
    check(ws.close_code == 1000, f"closed with {ws.close_code}")
    await receive(ws, data_of("answer", 1048576))


SCENARIOS = {"transfer": transfer, "echoed": echoed, "closed": closed, "close": close, "text": text, "late": late}


def deflate(factory):
    """As the settings' --deflate says, in the words of websockets."""
    if "deflate" not in SETTINGS:
        return {}
    if SETTINGS["deflate"] == "off":
        return {"compression": None}
    # A client that does not offer this one has to say so.
    parameters = {"client_max_window_bits": None}
    for parameter in filter(None, SETTINGS["deflate"].split(",")):
        name, _, value = parameter.partition("=")
        parameters[name] = int(value) if value else True
    return {"extensions": [factory(**parameters)]}


def check_agreed(ws, role):
    if SETTINGS["agreed"] == "none":
        check(not ws.extensions, "compression was agreed on")
        return
    check(len(ws.extensions) == 1, "no compression was agreed on")
    extension = ws.extensions[0]
    ends = [f"{bits}:{'fresh' if fresh else 'kept'}" for bits, fresh in (
        (extension.local_max_window_bits, extension.local_no_context_takeover),
        (extension.remote_max_window_bits, extension.remote_no_context_takeover))]
    if role == "client":
        ends.reverse()
    agreed = "server:%s,client:%s" % tuple(ends)
    check(agreed == SETTINGS["agreed"], f"agreed on {agreed}")


def tls(purpose):
    context = ssl.create_default_context(purpose, cafile=SETTINGS.get("ca"))
    if purpose == ssl.Purpose.CLIENT_AUTH and "ca" in SETTINGS:
        context.verify_mode = ssl.CERT_REQUIRED
    if "cert" in SETTINGS:
        context.load_cert_chain(SETTINGS["cert"], SETTINGS["key"])
    return context


async def client(url, run):
    context = tls(ssl.Purpose.SERVER_AUTH) if url.startswith("wss:") else None
    options = {**OPTIONS, **deflate(ClientPerMessageDeflateFactory)}
    async with websockets.connect(url, ssl=context, **options) as ws:
        await run(ws)


async def server(run):
    done = asyncio.get_running_loop().create_future()
    context = tls(ssl.Purpose.CLIENT_AUTH) if "cert" in SETTINGS else None
    options = {**OPTIONS, **deflate(ServerPerMessageDeflateFactory)}

    async def serve(ws, *_path):
        try:
            await run(ws)
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    async with websockets.serve(serve, "127.0.0.1", 0, ssl=context, **options) as listener:
        print(listener.sockets[0].getsockname()[1], flush=True)
        await done


async def main(role, url, scenario, *arguments):
    async def run(ws):
        if "agreed" in SETTINGS:
            check_agreed(ws, role)
        await SCENARIOS[scenario](ws, *arguments)

    await asyncio.wait_for(client(url, run) if role == "client" else server(run), 110 + TOTAL / 1e6)


if __name__ == "__main__":
    try:
        asyncio.run(main(*WORDS))
    except BaseException:
        sys.stderr.write("peer.py " + " ".join(sys.argv[1:]) + ":\n" + traceback.format_exc())
        os._exit(1)
