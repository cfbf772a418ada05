# SPDX-License-Identifier: 0BSD
"""What OpenSSL's own tools see of wspipe's TLS, in the manner of testssl.

test_interop_openssl.py WSPIPE [unittest arguments]. What must be refused is first shown to succeed with a server of
openssl's that allows everything: so it is our end that refuses it. No configuration of the system helps either side.
Exit 77: nothing failed, but openssl is not on this machine.
"""

import base64
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "interop"))

# pylint: disable=wrong-import-position
from rig import (TIMEOUT_S, Case, Listener, Settings, environment, finish, main, pki, program, scratch, start, stop,
                 wspipe)
from tls_hello import SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, first_answer

BARE = environment(OPENSSL_CONF="/dev/null")
EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
PROTOCOL_VERSION, HANDSHAKE_FAILURE, NO_APPLICATION_PROTOCOL = 70, 40, 120
GOOD = {"ECDSA": {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"},
        "RSA": {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"}}
GOOD_1_3 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
# By their numbers, as no OpenSSL of these days offers most of them.
BAD_SUITES = {
    "RC4": 0x0005, "RC4 ECDHE": 0xc007, "RC4 ECDHE RSA": 0xc011, "3DES": 0x000a, "3DES ECDHE": 0xc008,
    "3DES ECDHE RSA": 0xc012, "DES": 0x0009, "export RC4": 0x0003, "export RC2": 0x0006, "NULL": 0x0002,
    "NULL ECDHE": 0xc006, "anonymous": 0x0034, "anonymous ECDH": 0xc018, "static RSA CBC": 0x002f,
    "static RSA GCM": 0x009c, "ECDHE CBC SHA-1": 0xc009, "ECDHE RSA CBC SHA-1": 0xc013, "ECDHE CBC SHA-256": 0xc023,
    "ECDHE RSA CBC SHA-256": 0xc027, "DHE GCM": 0x009e, "DHE CBC": 0x0033, "CCM": 0xc0ac, "CCM 8": 0xc0ae,
    "static ECDH GCM": 0xc02d, "IDEA": 0x0007, "SEED": 0x0096, "Camellia": 0x0041, "PSK": 0x008c,
}


def openssl(*arguments):
    """(status, everything it said)"""
    status, out, err = finish(start([program("openssl"), *arguments], env=BARE))
    return status, out.decode(errors="replace") + err


def connects(port, *arguments):
    """What s_client agrees on with the port, or None."""
    status, text = openssl("s_client", "-connect", "127.0.0.1:%d" % port, "-brief", *arguments)
    if status != 0:
        return None
    return re.search(r"Protocol version: (\S+)\nCiphersuite: (\S+)", text).groups()


class Speaker:
    """An openssl s_client or s_server to talk with."""

    def __init__(self, *arguments):
        self.process = start([program("openssl"), *arguments], env=BARE, stderr=subprocess.STDOUT)
        self.timer = threading.Timer(TIMEOUT_S, self.process.kill)
        self.timer.daemon = True
        self.timer.start()
        self.text = b""
        self.seen = 0

    def say(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_for(self, pattern):
        """Until it has said so behind what was waited for before."""
        while not (match := re.compile(pattern).search(self.text, self.seen)):
            piece = self.process.stdout.read1(65536)
            if not piece:
                raise AssertionError("%r never came: %s" % (pattern, self.text.decode(errors="replace")))
            self.text += piece
        self.seen = match.end()
        return match

    def end(self):
        """(status, everything it said)"""
        out = finish(self.process)[1]
        return self.process.returncode, (self.text + out).decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.timer.cancel()
        stop(self.process)


class Server(Speaker):
    """openssl s_server; by default it allows everything."""

    def __init__(self, *arguments):
        super().__init__("s_server", "-accept", "127.0.0.1:0", *arguments)
        self.port = int(self.wait_for(rb"ACCEPT 127\.0\.0\.1:([0-9]+)\n").group(1))

    @staticmethod
    def permissive():
        return Server("-cert", pki("server.pem"), "-key", pki("server.key"), "-dcert", pki("rsa.pem"), "-dkey",
                      pki("rsa.key"), "-cipher", EVERYTHING, "-client_renegotiation", "-www", "-ciphersuites",
                      "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                      "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256")


def listen(name="server", *more):
    return Listener("-k", "--echo", "--cert", pki(name + ".pem"), "--key", pki(name + ".key"), *more, env=BARE)


class Versions(Case):
    def test_nothing_below_1_2(self):
        with Server.permissive() as anything, listen() as listener:
            for version in ("-tls1", "-tls1_1"):
                with self.subTest(version=version):
                    arguments = [version, "-cipher", EVERYTHING]
                    self.assertIsNotNone(connects(anything.port, *arguments))
                    self.assertIsNone(connects(listener.port, *arguments))

    def test_nothing_below_1_2_by_hand(self):
        suites = [0xc02b, 0xc009, 0xc013, 0x002f, 0x000a, 0x0005]
        with listen() as listener:
            self.assertEqual(first_answer(listener.port, TLS_1_2, suites), ("hello", TLS_1_2, 0xc02b))
            for version, alert in ((SSL_3_0, HANDSHAKE_FAILURE), (TLS_1_0, PROTOCOL_VERSION),
                                   (TLS_1_1, PROTOCOL_VERSION)):
                self.assertEqual(first_answer(listener.port, version, suites), ("alert", alert))

    def test_1_2_and_1_3(self):
        with listen() as listener, listen("server", "--tls-min", "1.3") as newer:
            self.assertEqual(connects(listener.port, "-tls1_2")[0], "TLSv1.2")
            self.assertEqual(connects(listener.port)[0], "TLSv1.3")
            self.assertEqual(connects(newer.port)[0], "TLSv1.3")
            self.assertIsNone(connects(newer.port, "-tls1_2"))


class Ciphers(Case):
    def agreed(self, port, version, option, names, tail=""):
        """Those that the port takes, offered alone."""
        taken = set()
        for name in names:
            found = connects(port, version, option, name + tail)
            if found is not None:
                self.assertEqual(found[1], name)
                taken.add(name)
        return taken

    def test_each_of_1_2(self):
        names = openssl("ciphers", EVERYTHING)[1].strip().split(":")
        names = [name for name in names if not name.startswith("TLS_")]
        with Server.permissive() as anything:
            possible = self.agreed(anything.port, "-tls1_2", "-cipher", names, "@SECLEVEL=0")
        # Of each kind that is not wanted there was one.
        for kind in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "AES128-SHA", "AES256-GCM-SHA384",
                     "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "NULL-SHA256", "ADH-AES128-SHA"):
            self.assertIn(kind, possible)
        for kind, name in (("ECDSA", "server"), ("RSA", "rsa")):
            with self.subTest(kind=kind), listen(name) as listener:
                self.assertEqual(self.agreed(listener.port, "-tls1_2", "-cipher", possible, "@SECLEVEL=0"), GOOD[kind])

    def test_each_of_1_3(self):
        names = GOOD_1_3 | {"TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"}
        with Server.permissive() as anything, listen() as listener:
            self.assertEqual(self.agreed(anything.port, "-tls1_3", "-ciphersuites", names), names)
            self.assertEqual(self.agreed(listener.port, "-tls1_3", "-ciphersuites", names), GOOD_1_3)

    def test_each_bad_one_by_hand(self):
        for name, good in (("server", 0xc02b), ("rsa", 0xc02f)):
            with listen(name) as listener:
                for what, suite in BAD_SUITES.items():
                    with self.subTest(certificate=name, what=what):
                        self.assertEqual(first_answer(listener.port, TLS_1_2, [suite]), ("alert", HANDSHAKE_FAILURE))
                        self.assertEqual(first_answer(listener.port, TLS_1_2, [suite, good]), ("hello", TLS_1_2, good))

    def test_weak_signatures(self):
        with Server.permissive() as anything, listen() as listener:
            arguments = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256@SECLEVEL=0", "-sigalgs"]
            self.assertIsNotNone(connects(anything.port, *arguments, "ECDSA+SHA1"))
            self.assertIsNone(connects(listener.port, *arguments, "ECDSA+SHA1"))
            self.assertIsNotNone(connects(listener.port, *arguments, "ECDSA+SHA256"))


class Handshake(Case):
    def renegotiate(self, port):
        with Speaker("s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_2") as client:
            client.wait_for(rb"Verify return code")
            client.wait_for(rb"---\n")
            client.say(b"R\n")
            client.wait_for(rb"RENEGOTIATING\n")
            client.wait_for(rb"verify return:1|error:")
            try:
                client.say(b"Q\n")
            except BrokenPipeError:
                pass  # it has ended with its error
            return client.end()

    def test_renegotiation_is_refused(self):
        with Server.permissive() as anything:
            self.assertEqual(self.renegotiate(anything.port)[0], 0)
        with listen() as listener:
            status, text = self.renegotiate(listener.port)
            self.assertEqual(status, 1)
            self.assertIn("no renegotiation", text)
            self.assert_clean(wspipe("--ca", pki("ca.pem"), listener.url, data=b"still there"), b"still there")

    def test_alpn(self):
        with listen() as listener:
            for offer, chosen in [("http/1.1", "ALPN protocol: http/1.1"), ("h2,http/1.1", "ALPN protocol: http/1.1")]:
                with self.subTest(offer=offer):
                    status, text = openssl("s_client", "-connect", "127.0.0.1:%d" % listener.port, "-alpn", offer)
                    self.assertEqual(status, 0)
                    self.assertIn(chosen, text)
            status, text = openssl("s_client", "-connect", "127.0.0.1:%d" % listener.port, "-alpn", "h2")
            self.assertEqual(status, 1)
            self.assertIn("SSL alert number %d" % NO_APPLICATION_PROTOCOL, text)

    def test_names(self):
        with listen("server", "--cert", pki("other.pem"), "--key", pki("other.key"), "--cert", pki("wild.pem"), "--key",
                    pki("wild.key")) as listener:
            for name, subject in [("other.example", "other"), ("OTHER.example", "other"), ("a.wild.example", "wild"),
                                  ("localhost", "server"), ("nobody.example", "server"), ("wild.example", "server"),
                                  ("a.b.wild.example", "server"), (None, "server")]:
                with self.subTest(name=name):
                    ask = ["-servername", name] if name else ["-noservername"]
                    status, text = openssl("s_client", "-connect", "127.0.0.1:%d" % listener.port, *ask, "-CAfile",
                                           pki("ca.pem"), "-verify_return_error")
                    self.assertEqual(status, 0, text)
                    self.assertIn("subject=CN = %s\n" % subject, text)

    def test_key_update_in_mid_stream(self):
        """Frames by hand, masked with zeros; what comes back is shorter by the mask."""
        request = ("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
                   % base64.b64encode(os.urandom(16)).decode()).encode()
        with listen() as listener, Speaker("s_client", "-connect", "127.0.0.1:%d" % listener.port, "-tls1_3") as client:
            client.wait_for(rb"Verify return code")
            client.wait_for(rb"---\n")
            client.say(request)
            client.wait_for(rb"HTTP/1\.1 101 [^\r]*\r\n(?:[^\r]+\r\n)*\r\n")
            for word in (b"first", b"again", b"third"):
                # K asks for the other side's keys to change, too.
                client.say(b"K\n")
                client.wait_for(rb"KEYUPDATE\n")
                client.say(b"\x82\x85\0\0\0\0" + word)
                client.wait_for(rb"\x82\x05" + word)
            client.say(b"\x88\x82\0\0\0\0\x03\xe8")
            client.wait_for(rb"\x88\x02\x03\xe8")


class Sessions(Case):
    def session(self, port, version, *arguments, save=None, load=None):
        """Whether s_client's session is a "New" or a "Reused" one; it may be saved to a file or loaded from there."""
        if save is not None:
            arguments += "-sess_out", save
        if load is not None:
            arguments += "-sess_in", load
        with Speaker("s_client", "-connect", "127.0.0.1:%d" % port, version, *arguments) as client:
            found = client.wait_for(rb"\n(New|Reused), (\S+), Cipher is(?s:.*?)Verify return code").group(1)
            deadline = time.monotonic() + TIMEOUT_S
            # Of TLS 1.3 it comes behind the handshake, and s_client writes it when it is there.
            while save is not None and not self.is_whole(save) and time.monotonic() < deadline:
                time.sleep(0.01)
            client.say(b"Q\n")
            self.assertEqual(client.end()[0], 0)
            return found.decode()

    @staticmethod
    def is_whole(path):
        try:
            with open(path, encoding="ascii") as file:
                return "-----END SSL SESSION" in file.read()
        except FileNotFoundError:
            return False

    def test_resumption(self):
        with listen() as listener, listen() as stranger:
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(version=version):
                    file = scratch("session" + version)
                    self.assertEqual(self.session(listener.port, version, save=file), "New")
                    self.assertEqual(self.session(listener.port, version, load=file), "Reused")
                    self.assertEqual(self.session(stranger.port, version, load=file), "New")

    def test_a_client_that_must_be_known_resumes_as_itself(self):
        with listen("server", "--client-ca", pki("ca.pem")) as listener:
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(version=version):
                    file = scratch("known" + version)
                    mine = ["-cert", pki("client.pem"), "-key", pki("client.key"), "-cert_chain",
                            pki("intermediate.pem")]
                    self.assertEqual(self.session(listener.port, version, *mine, save=file), "New")
                    self.assertEqual(self.session(listener.port, version, *mine, load=file), "Reused")

    def subject(self, port):
        return re.search(r"subject=CN = (\S+)", openssl("s_client", "-connect", "127.0.0.1:%d" % port)[1]).group(1)

    def put(self, name, key=None):
        for source, target in ((pki(name + ".pem"), "current.pem"), (pki((key or name) + ".key"), "current.key")):
            shutil.copyfile(source, scratch("new"))
            os.replace(scratch("new"), scratch(target))

    def hang_up(self, listener):
        listener.process.send_signal(signal.SIGHUP)
        return listener.process.stderr.readline().decode()

    def test_a_rotated_certificate_is_served_after_sighup(self):
        self.put("server")
        with Listener("-k", "--echo", "--cert", scratch("current.pem"), "--key", scratch("current.key"),
                      env=BARE) as listener:
            client = start([*Settings.wspipe, "--ca", pki("ca.pem"), listener.url], bufsize=0, env=BARE)
            try:
                self.rotate(listener, client)
                self.assert_clean(finish(client), b"")
            finally:
                stop(client)

    def rotate(self, listener, client):
        """The client's stream is open all the time."""
        client.stdin.write(b"before\n")
        self.assertEqual(client.stdout.read(7), b"before\n")
        self.assertEqual(self.subject(listener.port), "server")
        self.put("rsa")
        # Nobody was told yet.
        self.assertEqual(self.subject(listener.port), "server")
        self.assertEqual(self.hang_up(listener), "wspipe: certificates read again\n")
        self.assertEqual(self.subject(listener.port), "rsa")
        # A mistake changes nothing.
        self.put("server", "other")
        self.assertRegex(self.hang_up(listener), r"\Awspipe: [^\n]*current\.key[^\n]*\n\Z")
        self.assertEqual(self.subject(listener.port), "rsa")
        client.stdin.write(b"after\n")
        self.assertEqual(client.stdout.read(6), b"after\n")


class OurClient(Case):
    """wspipe to openssl s_server, which answers a request as a web server would: HTTP is as far as it gets."""

    def to(self, *arguments, cert="server"):
        with Server("-cert", pki(cert + ".pem"), "-key", pki(cert + ".key"), "-cert_chain", pki("intermediate.pem"),
                    "-www", *arguments) as server:
            return wspipe("--ca", pki("ca.pem"), "wss://localhost:%d/" % server.port, env=BARE)

    def test_what_it_takes(self):
        for arguments in (["-tls1_2"], ["-tls1_3"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], []):
            with self.subTest(arguments=arguments):
                self.assert_refused(self.to(*arguments), "answered 200")
        self.assert_refused(self.to("-tls1_2", cert="rsa"), "answered 200")

    def test_what_it_refuses(self):
        for arguments, cert in [
                (["-tls1", "-cipher", EVERYTHING], "server"), (["-tls1_1", "-cipher", EVERYTHING], "server"),
                (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "server"),
                (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM"], "server"),
                (["-tls1_2", "-cipher", "AES128-GCM-SHA256"], "rsa"), (["-tls1_2", "-cipher", "AES128-SHA"], "rsa"),
                (["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], "rsa"),
                (["-tls1_2", "-cipher", "aNULL@SECLEVEL=0"], "server"),
                (["-tls1_2", "-cipher", "eNULL@SECLEVEL=0"], "server"),
                (["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], "server")]:
            with self.subTest(arguments=arguments):
                result = self.to(*arguments, cert=cert)
                self.assert_refused(result, "(?i)TLS|cipher|handshake|version")
                self.assertNotIn("answered 200", result[2])

    def test_a_server_that_renegotiates(self):
        with Server("-cert", pki("server.pem"), "-key", pki("server.key"), "-cert_chain", pki("intermediate.pem"),
                    "-tls1_2") as server:
            client = start([*Settings.wspipe, "--ca", pki("ca.pem"), "wss://localhost:%d/" % server.port], env=BARE)
            try:
                server.wait_for(rb"GET / HTTP/1\.1\r\n(?:[^\r]+\r\n)*\r\n")
                server.say(b"r\n")
                server.wait_for(rb"no renegotiation")
            finally:
                stop(client)


class GoodbyeServer:
    """Answers a Close with its own and TLS's close_notify in one packet, then keeps TCP open until the client says so.

    Many servers do: asyncio's are some. failure is None, or what went wrong.
    """

    def __init__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki("server.pem"), pki("server.key"))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT_S)
        self.port = self.listener.getsockname()[1]
        self.failure = None
        self.sock = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(TIMEOUT_S)
        self.listener.close()

    def run(self):
        try:
            self.sock = self.listener.accept()[0]
            with self.sock:
                # The rig kills a client that waits for longer.
                self.sock.settimeout(2 * TIMEOUT_S)
                self.serve()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def until(self, operation):
        """operation(), with what it needs from the socket."""
        while True:
            try:
                result = operation()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
            data = self.sock.recv(65536)
            if not data:
                raise EOFError("the end of TCP")
            self.incoming.write(data)

    def flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def serve(self):
        self.until(self.tls.do_handshake)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += self.until(lambda: self.tls.read(65536))
        key = re.search(rb"\r\nSec-WebSocket-Key: (\S+)\r\n", request).group(1)
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.tls.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")
        self.flush()
        close = b""
        while len(close) < 8:
            close += self.until(lambda: self.tls.read(65536))
        self.tls.write(b"\x88\x02\x03\xe8")
        # Its close_notify joins the Close in what is sent; it returns when the client's has come.
        self.until(self.tls.unwrap)


class Goodbye(Case):
    def test_our_client_does_not_wait_for_tcp_behind_a_close_notify(self):
        for _ in range(10):
            with GoodbyeServer() as server:
                # Without a limit: waiting is not cut short by it.
                self.assert_clean(wspipe("--ca", pki("ca.pem"), "--close-timeout", "none",
                                         "wss://localhost:%d/" % server.port), b"")
            self.assertIsNone(server.failure)


if __name__ == "__main__":
    main()
