# SPDX-License-Identifier: 0BSD
"""wspipe through real proxies: tinyproxy (CONNECT), microsocks and Dante's danted (SOCKS5).

test_interop_proxy.py WSPIPE [--full] [unittest arguments]; --full: 100 MB each way in place of 8. Exit 77: nothing
failed, but a program that it needs is not on this machine.
"""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "interop"))

# pylint: disable=wrong-import-position
from rig import Case, Daemon, Exchange, Listener, Settings, data_of, environment, main, pki, program, start, wspipe

USER = "someone"
EVERY_VARIABLE = ["wss_proxy", "https_proxy", "all_proxy", "ws_proxy", "http_proxy", "WSS_PROXY", "HTTPS_PROXY",
                  "ALL_PROXY", "WS_PROXY", "HTTP_PROXY"]


class Tinyproxy(Daemon):
    scheme = "http"
    # Its configuration takes no others.
    password = spelled = "pass-word.1"

    def __init__(self, password=None, connect_port=None):
        path = program("tinyproxy")

        def make(port, directory):
            lines = ["Port %d" % port, "Listen 127.0.0.1", "Timeout 600", "Allow 127.0.0.1", "LogLevel Connect",
                     'PidFile "%s"' % os.path.join(directory, "pid")]
            if password is not None:
                lines.append("BasicAuth %s %s" % (USER, password))
            if connect_port is not None:
                lines.append("ConnectPort %d" % connect_port)
            config = os.path.join(directory, "conf")
            with open(config, "w", encoding="ascii") as file:
                file.write("\n".join(lines) + "\n")
            return [path, "-d", "-c", config]

        super().__init__("tinyproxy", make)


class Microsocks(Daemon):
    scheme = "socks5"
    password, spelled = "pass%word:with@signs", "pass%25word%3Awith%40signs"

    def __init__(self, password=None):
        path = program("microsocks")
        secret = ["-u", USER, "-P", password] if password is not None else []
        super().__init__("microsocks", lambda port, _: [path, "-i", "127.0.0.1", "-p", str(port), *secret])


class Danted(Daemon):
    scheme = "socks5"

    def __init__(self, rules="socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 log: connect }"):
        path = program("danted")

        def make(port, directory):
            config = os.path.join(directory, "conf")
            with open(config, "w", encoding="ascii") as file:
                file.write("\n".join([
                    "logoutput: stderr", "internal: 127.0.0.1 port = %d" % port, "external: 127.0.0.1",
                    "clientmethod: none", "socksmethod: none",
                    "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }", rules]) + "\n")
            return [path, "-f", config, "-p", os.path.join(directory, "pid"), "-N", "1"]

        super().__init__("danted", make)


class DeadEnd:
    """Bound and not listening: nobody answers, and nobody else can have the port."""

    def __enter__(self):
        self.holder = socket.socket()
        self.holder.bind(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.holder.getsockname()[1]
        return self

    def __exit__(self, *_):
        self.holder.close()


class ProxyCase(Case):
    @classmethod
    def setUpClass(cls):
        cls.secure = Listener("-k", "--echo", "--cert", pki("server.pem"), "--key", pki("server.key"))
        cls.plain = Listener("-k", "--echo", url="ws://127.0.0.1:0/")

    @classmethod
    def tearDownClass(cls):
        cls.secure.close()
        cls.plain.close()

    def through(self, arguments, url=None, **variables):
        """wspipe's result, with an echo by the TLS listener or of url."""
        url = url or self.secure.url
        trust = ["--ca", pki("ca.pem")] if url.startswith("wss:") else []
        return wspipe(*arguments, *trust, url, data=b"hello", env=environment(**variables))


class Shared:
    """What every kind of proxy has to show."""

    kind = None

    def setUp(self):
        program(self.kind.__name__.lower())

    def url(self, proxy, user=""):
        return "%s://%s127.0.0.1:%d" % (proxy.scheme, user and user + "@", proxy.port)

    def test_secure_and_plain(self):
        with self.kind() as proxy:
            for url in (self.secure.url, self.plain.url, self.plain.url.replace("localhost", "127.0.0.1")):
                with self.subTest(url=url):
                    self.assert_clean(self.through(["--proxy", self.url(proxy)], url), b"hello")
                    self.assertIn(url.split(":")[2].strip("/"), proxy.log())

    def test_megabytes_both_ways(self):
        ours, theirs = data_of("client", Settings.total), data_of("listener", Settings.total)
        for client_closes in (True, False):
            waits = ["-q", "none"]
            with self.subTest(client_closes=client_closes), self.kind() as proxy, Listener(
                    *(waits if client_closes else []), "--cert", pki("server.pem"), "--key",
                    pki("server.key")) as listener:
                server = Exchange(listener.process, theirs, None if client_closes else len(ours))
                client = Exchange(start([
                    *Settings.wspipe, *([] if client_closes else waits), "--proxy", self.url(proxy), "--ca",
                    pki("ca.pem"), listener.url]), ours, len(theirs) if client_closes else None)
                self.assert_clean(client.result(), theirs)
                self.assert_clean(server.result(), ours)

    def test_by_environment(self):
        with self.kind() as proxy, DeadEnd() as dead:
            for url, names in [(self.secure.url, ["wss_proxy", "https_proxy", "all_proxy"]),
                               (self.plain.url, ["ws_proxy", "http_proxy", "all_proxy"])]:
                for name in names:
                    with self.subTest(name=name, url=url):
                        before = len(proxy.log())
                        self.assert_clean(self.through([], url, **{name: self.url(proxy)}), b"hello")
                        self.assertGreater(len(proxy.log()), before)
                        # The same, and a proxy that is in the way shows that the variable was what led there.
                        self.assert_refused(self.through([], url, **{name: dead.url}), "127.0.0.1")

    def test_a_password_that_nobody_asks_for(self):
        with self.kind() as proxy:
            self.assert_clean(self.through(["--proxy", self.url(proxy, "someone:anything")]), b"hello")

    def test_nothing_behind_it(self):
        with self.kind() as proxy, DeadEnd() as dead:
            url = dead.url.replace("http", "wss")
            self.assert_refused(self.through(["--proxy", self.url(proxy)], url), "proxy")

    def test_a_name_that_it_does_not_know(self):
        with self.kind() as proxy:
            self.assert_refused(self.through(["--proxy", self.url(proxy)], "wss://no-such-host.invalid/"), "proxy")

    def test_the_certificate_is_checked_behind_it(self):
        with self.kind() as proxy, Listener("-k", "--echo", "--cert", pki("wrong.pem"), "--key",
                                            pki("wrong.key")) as listener:
            self.assert_refused(self.through(["--proxy", self.url(proxy)], listener.url), "hostname mismatch")


class Guarded:
    """Of those that know users of their own: danted asks the system's."""

    def test_password(self):
        spelled = USER + ":" + self.kind.spelled
        with self.kind(self.kind.password) as proxy:
            for url in (self.secure.url, self.plain.url):
                self.assert_clean(self.through(["--proxy", self.url(proxy, spelled)], url), b"hello")
            self.assert_clean(self.through([], wss_proxy=self.url(proxy, spelled)), b"hello")
            for user in ("", "someone:guess", "nobody:" + self.kind.spelled, "someone:"):
                with self.subTest(user=user):
                    result = self.through(["--proxy", self.url(proxy, user)])
                    self.assert_refused(result, "proxy.* (user and password|HTTP 401)")
                    for secret in ("guess", self.kind.password, self.kind.spelled):
                        self.assertNotIn(secret, result[2])


class ThroughTinyproxy(Shared, Guarded, ProxyCase):
    kind = Tinyproxy

    def test_a_port_that_is_not_allowed(self):
        with Tinyproxy(connect_port=self.secure.port) as proxy:
            self.assert_clean(self.through(["--proxy", self.url(proxy)]), b"hello")
            self.assert_refused(self.through(["--proxy", self.url(proxy)], self.plain.url), "proxy.*403")


class ThroughMicrosocks(Shared, Guarded, ProxyCase):
    kind = Microsocks

    def test_the_name_is_resolved_there(self):
        with Microsocks() as proxy:
            for scheme in ("socks5", "socks5h"):
                self.assert_clean(self.through(["--proxy", self.url(proxy).replace("socks5", scheme)]), b"hello")
            self.assertEqual(proxy.log().count("connected to localhost:%d" % self.secure.port), 2, proxy.log())


class ThroughDanted(Shared, ProxyCase):
    kind = Danted

    def test_what_its_rules_forbid(self):
        with Danted(rules="socks block { from: 0.0.0.0/0 to: 0.0.0.0/0 }") as proxy:
            self.assert_refused(self.through(["--proxy", self.url(proxy)]), "proxy.*not allowed")


class WithoutProxy(ProxyCase):
    """A proxy that is dead: only what goes around it arrives."""

    def test_no_proxy_is_honoured(self):
        address = self.secure.url.replace("localhost", "127.0.0.1")
        with DeadEnd() as dead:
            for url, value in [(self.secure.url, "localhost"), (self.secure.url, "LOCALHOST"), (self.secure.url, "*"),
                               (self.secure.url, "example.org, localhost"), (self.secure.url, ".localhost"),
                               (self.secure.url, "example.org localhost"), (address, "127.0.0.1"),
                               (address, "127.0.0.0/8"), (address, "::1,10.0.0.0/8,127.0.0.1")]:
                for name in ("no_proxy", "NO_PROXY"):
                    with self.subTest(url=url, name=name, value=value):
                        self.assert_clean(self.through([], url, all_proxy=dead.url, **{name: value}), b"hello")

    def test_no_proxy_that_means_others(self):
        address = self.secure.url.replace("localhost", "127.0.0.1")
        with DeadEnd() as dead:
            for url, value in [(self.secure.url, ""), (self.secure.url, "host"), (self.secure.url, "my.localhost"),
                               (self.secure.url, "127.0.0.1"), (self.secure.url, "xlocalhost"), (address, "27.0.0.1"),
                               (address, "10.0.0.0/8"), (address, "localhost")]:
                with self.subTest(url=url, value=value):
                    self.assert_refused(self.through([], url, all_proxy=dead.url, no_proxy=value), "refused")

    def test_upper_case(self):
        with DeadEnd() as dead:
            for name in ("WSS_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                with self.subTest(name=name):
                    self.assert_refused(self.through([], **{name: dead.url}), "refused")
            # A CGI program's client sets this one.
            self.assert_clean(self.through([], self.plain.url, HTTP_PROXY=dead.url), b"hello")

    def test_a_proxy_of_the_other_scheme(self):
        with DeadEnd() as dead:
            self.assert_clean(self.through([], http_proxy=dead.url, ws_proxy=dead.url), b"hello")
            self.assert_clean(self.through([], self.plain.url, https_proxy=dead.url, wss_proxy=dead.url), b"hello")

    def test_the_option_rules(self):
        with DeadEnd() as dead:
            everything = {name: dead.url for name in EVERY_VARIABLE}
            self.assert_refused(self.through([], **everything), "refused")
            self.assert_clean(self.through(["--proxy", "none"], **everything), b"hello")
            self.assert_refused(self.through(["--proxy", dead.url], no_proxy="*"), "refused")
        with Tinyproxy() as proxy, DeadEnd() as dead:
            everything = {name: dead.url for name in EVERY_VARIABLE}
            self.assert_clean(self.through(["--proxy", "127.0.0.1:%d" % proxy.port], **everything), b"hello")
            self.assertIn("localhost:%d" % self.secure.port, proxy.log())

    def test_what_is_no_proxy(self):
        with Listener("-k", "--echo", url="ws://127.0.0.1:0/") as listener:
            for scheme in ("http", "socks5"):
                url = "%s://127.0.0.1:%d" % (scheme, listener.port)
                self.assert_refused(self.through(["--proxy", url]), "proxy")
        for url in ("socks4://127.0.0.1:1080", "https://127.0.0.1:1", "gopher://127.0.0.1:1", "http://", "http://a b"):
            with self.subTest(url=url):
                self.assert_refused(self.through(["--proxy", url]), "proxy")


if __name__ == "__main__":
    main()
