# SPDX-License-Identifier: 0BSD
"""wspipe over TLS with Node's ws and Python's websockets, and through nginx.

test_interop_secure.py WSPIPE [--full] [unittest arguments]; --full: 100 MB each way in place of 8. Exit 77: nothing
failed, but a program that it needs is not on this machine.
"""

import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "interop"))

# pylint: disable=wrong-import-position
from rig import (NGINX, Case, Daemon, Exchange, Listener, Peer, Settings, data_of, main, pki, program, scratch, start,
                 wspipe)


def certificate(name):
    """As settings of a peer."""
    return {"cert": pki(name + ".pem"), "key": pki(name + ".key")}


def listening(name="server", *more):
    """As arguments of wspipe -l."""
    return ["--cert", pki(name + ".pem"), "--key", pki(name + ".key"), *more]


class PeerCase:
    """What every peer has to show, in both roles."""

    kind = ""

    def setUp(self):
        Peer.command(self.kind)
        self.ours = data_of("library", Settings.total)
        self.theirs = data_of("peer", Settings.total)

    def to_their_server(self, closer, *arguments, **settings):
        with Peer(self.kind, {**certificate("server"), **settings}, "server", "-", "transfer", closer) as peer:
            url = "wss://localhost:%d/" % peer.port
            self.exchange(peer, closer, ["--ca", pki("ca.pem"), *arguments, url])

    def from_their_client(self, closer, *arguments, **settings):
        with Listener(*listening(), *self.closing(closer), *arguments) as listener, \
                Peer(self.kind, {"ca": pki("ca.pem"), **settings}, "client", listener.url, "transfer", closer) as peer:
            self.judge(peer, closer, listener.process)

    @staticmethod
    def closing(closer):
        return ["--close-reason", "library is done"] if closer == "library" else ["-q", "none"]

    def exchange(self, peer, closer, arguments):
        self.judge(peer, closer, start([*Settings.wspipe, *self.closing(closer), *arguments]))

    def judge(self, peer, closer, process):
        # Their ends answer a Close at once, and send nothing behind it: ours may not come too early.
        exchange = Exchange(process, self.ours, len(self.theirs) if closer == "library" else None)
        self.assert_peer(peer)
        self.assert_clean(exchange.result(), self.theirs)

    def test_their_server_and_we_close(self):
        self.to_their_server("library")

    def test_their_server_and_they_close(self):
        self.to_their_server("peer")

    def test_their_client_and_we_close(self):
        self.from_their_client("library")

    def test_their_client_and_they_close(self):
        self.from_their_client("peer")

    def test_compressed_both_roles(self):
        if "this build has none" in wspipe("--compress", "ws://127.0.0.1:1/")[2]:
            self.skipTest("this build has no compression")
        agreed = {"agreed": "server:15:kept,client:15:kept"}
        self.to_their_server("library", "--compress", deflate="", **agreed)
        self.from_their_client("peer", "--compress", deflate="client_max_window_bits", **agreed)

    def test_their_client_and_our_echo(self):
        with Listener("-k", "--echo", *listening()) as listener:
            for settings in ({}, {}):
                with Peer(self.kind, {"ca": pki("ca.pem"), **settings}, "client", listener.url, "echoed") as peer:
                    self.assert_peer(peer)

    def test_rsa_both_roles(self):
        self.to_their_server("library", **certificate("rsa"))
        with Listener("-k", "--echo", *listening("rsa")) as listener, \
                Peer(self.kind, {"ca": pki("ca.pem")}, "client", listener.url, "echoed") as peer:
            self.assert_peer(peer)

    def test_client_certificates(self):
        mine = ["--client-cert", pki("client.pem"), "--client-key", pki("client.key")]
        self.to_their_server("library", *mine, ca=pki("ca.pem"))
        self.from_their_client("peer", "--client-ca", pki("ca.pem"), **certificate("client"))

    def test_a_client_without_a_certificate_does_not_get_in(self):
        with Peer(self.kind, {**certificate("server"), "ca": pki("ca.pem")}, "server", "-", "closed") as peer:
            self.assert_refused(wspipe("--ca", pki("ca.pem"), "wss://localhost:%d/" % peer.port), ".")
        with Listener("-k", "--echo", *listening("server", "--client-ca", pki("ca.pem"))) as listener:
            for settings in ({}, certificate("stranger")):
                with Peer(self.kind, {"ca": pki("ca.pem"), **settings}, "client", listener.url, "echoed") as peer:
                    self.assertEqual(peer.result()[0], 1)

    def test_neither_side_takes_a_wrong_certificate(self):
        for name, reason in [("wrong", "hostname mismatch"), ("expired", "expired"), ("future", "not yet valid"),
                             ("self", "self-signed"), ("unknown", "self-signed|unable to get")]:
            with self.subTest(name=name):
                with Peer(self.kind, certificate(name), "server", "-", "closed") as peer:
                    self.assert_refused(wspipe("--ca", pki("ca.pem"), "wss://localhost:%d/" % peer.port), reason)
                with Listener("-k", "--echo", *listening(name)) as listener, \
                        Peer(self.kind, {"ca": pki("ca.pem")}, "client", listener.url, "echoed") as peer:
                    self.assertEqual(peer.result()[0], 1)

    def test_the_systems_authorities_do_not_know_ours(self):
        with Peer(self.kind, certificate("server"), "server", "-", "closed") as peer:
            self.assert_refused(wspipe("wss://localhost:%d/" % peer.port), "refused: ")


class Node(PeerCase, Case):
    kind = "node"


class Python(PeerCase, Case):
    kind = "python"


NGINX_SERVER = """
	server {
		listen 127.0.0.1:@PORT@@LISTEN@;
		@SERVER@
		location / {
			proxy_pass @BEHIND@;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_set_header Host $http_host;
			@LOCATION@
		}
	}
"""


class Nginx(Daemon):
    """In front of behind, an URL. server and location are its directives there; whole is all of its server block."""

    def __init__(self, behind, listen="", server="", location="", whole=NGINX_SERVER):
        path = program("nginx")

        def make(port, directory):
            text = NGINX
            for name, value in [("WHOLE", whole), ("PORT", str(port)), ("LISTEN", listen), ("SERVER", server), ("LOCATION", location),
                                ("BEHIND", behind)]:
                text = text.replace("@%s@" % name, value)
            with open(os.path.join(directory, "nginx.conf"), "w", encoding="ascii") as config:
                config.write(text)
            return [path, "-p", directory, "-e", "stderr", "-c", "nginx.conf"]

        super().__init__("nginx", make)


class ThroughNginx(Case):
    def setUp(self):
        program("nginx")

    @staticmethod
    def terminating(listener):
        """TLS in front of a plain listener."""
        return Nginx("http://127.0.0.1:%d" % listener.port, " ssl",
                     "ssl_certificate %s; ssl_certificate_key %s;" % (pki("server.pem"), pki("server.key")))

    @staticmethod
    def originating(listener, name="localhost", more=""):
        """Plain in front of a TLS listener, whose certificate nginx verifies."""
        return Nginx("https://127.0.0.1:%d" % listener.port, location=(
            "proxy_ssl_verify on; proxy_ssl_verify_depth 3; proxy_ssl_trusted_certificate %s; proxy_ssl_name %s;"
            "proxy_ssl_server_name on; %s" % (pki("ca.pem"), name, more)))

    def both_ways(self, listener, arguments, client_closes):
        ours, theirs = data_of("client", Settings.total), data_of("listener", Settings.total)
        server = Exchange(listener.process, theirs, None if client_closes else len(ours))
        client = Exchange(start([*Settings.wspipe, *arguments]), ours, len(theirs) if client_closes else None)
        self.assert_clean(client.result(), theirs)
        self.assert_clean(server.result(), ours)

    def test_tls_in_front_of_our_plain_listener(self):
        for client_closes in (True, False):
            waits = ["-q", "none"]
            with self.subTest(client_closes=client_closes), \
                    Listener(*(waits if client_closes else []), url="ws://127.0.0.1:0/") as listener, \
                    self.terminating(listener) as nginx:
                self.both_ways(listener, [*([] if client_closes else waits), "--ca", pki("ca.pem"),
                                          "wss://localhost:%d/" % nginx.port], client_closes)

    def test_plain_in_front_of_our_tls_listener(self):
        for client_closes in (True, False):
            waits = ["-q", "none"]
            with self.subTest(client_closes=client_closes), \
                    Listener(*(waits if client_closes else []), *listening()) as listener, \
                    self.originating(listener) as nginx:
                self.both_ways(listener, [*([] if client_closes else waits), "ws://localhost:%d/" % nginx.port],
                               client_closes)

    def test_half_close_passes_through(self):
        lines = b"".join(b"%d\n" % i for i in range(100000))
        with Listener("-k", "--echo", *listening()) as listener, self.originating(listener) as nginx:
            self.assert_clean(wspipe("ws://localhost:%d/" % nginx.port, data=lines), lines)

    def test_the_manuals_configuration(self):
        """The example of ws_security(7), as far as a port and certificates of its own go."""
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "man", "ws_security.7")
        with open(path, encoding="utf-8") as page:
            block = re.search(r"^\.Bd -literal.*?\n(server \{\n.*?\n\}\n)\.Ed$", page.read(), re.M | re.S).group(1)
        with Listener("-k", "--echo", url="ws://127.0.0.1:0/") as listener:
            changes = [("listen 443 ssl", "listen 127.0.0.1:@PORT@ ssl"), ("/etc/ssl/example.org.pem", pki("server.pem")),
                       ("/etc/ssl/private/example.org.key", pki("server.key")),
                       ("http://127.0.0.1:8080", "http://127.0.0.1:%d" % listener.port)]
            for was, becomes in changes:
                self.assertEqual(block.count(was), 1, was)
                block = block.replace(was, becomes)
            with Nginx("", whole=block) as nginx:
                def ask(*arguments):
                    return wspipe("--ca", pki("ca.pem"), *arguments, "wss://localhost:%d/stream" % nginx.port,
                                  data=b"hello")
                self.assert_clean(ask(), b"hello")
                self.assert_clean(ask("--origin", "https://localhost:%d" % nginx.port), b"hello")
                for origin in ("https://localhost", "https://127.0.0.1:%d" % nginx.port, "https://example.org"):
                    self.assert_refused(ask("--origin", origin), "403")

    def test_nginx_reuses_our_sessions(self):
        with Listener("-k", "--echo", *listening()) as listener, \
                self.originating(listener, more="proxy_ssl_session_reuse on;") as nginx:
            for _ in range(3):
                self.assert_clean(wspipe("ws://127.0.0.1:%d/" % nginx.port, data=b"again"), b"again")

    def test_nginx_verifies_our_name(self):
        with Listener("-k", "--echo", *listening()) as listener, self.originating(listener, "wrong.example") as nginx:
            self.assert_refused(wspipe("ws://127.0.0.1:%d/" % nginx.port), "502")

    def test_a_client_certificate_of_nginx(self):
        mine = "proxy_ssl_certificate %s; proxy_ssl_certificate_key %s;" % (pki("client.pem"), pki("client.key"))
        with Listener("-k", "--echo", *listening("server", "--client-ca", pki("ca.pem"))) as listener:
            with self.originating(listener, more=mine) as nginx:
                self.assert_clean(wspipe("ws://127.0.0.1:%d/" % nginx.port, data=b"known"), b"known")
            with self.originating(listener) as nginx:
                self.assert_refused(wspipe("ws://127.0.0.1:%d/" % nginx.port), "HTTP 40|50")

    def test_nothing_behind_nginx(self):
        with Listener(*listening()) as listener:
            listener.close()
            with self.originating(listener) as nginx:
                self.assert_refused(wspipe("ws://127.0.0.1:%d/" % nginx.port), "502")

    def test_nginx_asks_for_a_password(self):
        with open(scratch("passwords"), "w", encoding="ascii") as passwords:
            # Of "secret".
            passwords.write("someone:" + subprocess.check_output(
                [program("openssl"), "passwd", "-apr1", "secret"]).decode())
        with Listener("-k", "--echo", url="ws://127.0.0.1:0/") as listener, Nginx(
                "http://127.0.0.1:%d" % listener.port,
                location='auth_basic "the club"; auth_basic_user_file %s;' % scratch("passwords")) as nginx:
            url = "ws://127.0.0.1:%d/" % nginx.port
            self.assert_clean(wspipe("--user", "someone:secret", url, data=b"in"), b"in")
            self.assert_clean(wspipe(url.replace("//", "//someone:secret@"), data=b"in"), b"in")
            for wrong in ([], ["--user", "someone:wrong"]):
                result = wspipe(*wrong, url)
                self.assert_refused(result, "401.*the club")
                self.assertNotIn("wrong", result[2])

    def test_nginx_redirects(self):
        with Listener("-k", "--echo", url="ws://127.0.0.1:0/") as listener, Nginx(
                "http://127.0.0.1:%d" % listener.port, server="location /old { return 302 /new; }") as nginx:
            url = "ws://127.0.0.1:%d/old" % nginx.port
            self.assert_clean(wspipe("--max-redirects", "1", url, data=b"there"), b"there")
            self.assert_refused(wspipe(url), "302")


if __name__ == "__main__":
    main()
