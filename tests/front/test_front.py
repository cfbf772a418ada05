# SPDX-License-Identifier: 0BSD
"""One stream through nginx or HAProxy: what passes, what is refused, and how it ends.

test_front.py WSPIPE FRONT nginx|haproxy [unittest arguments]; exit 77: the proxy is not on this machine.
"""

import os
import re
import signal
import socket
import ssl
import unittest

from proxies import KIND, PROXY, SHIPPED, Server, main, program
from rig import Case, Exchange, Listener, Settings, TIMEOUT_S, data_of, finish, pki, scratch, start, stop

TOTAL = 16 << 20
# Of TOTAL: what must have come before something dies.
MIDDLE = 1 << 20


def plain(*arguments):
    return Listener(*arguments, url="ws://127.0.0.1:0/")


def echo():
    return plain("-k", "--echo")


def address(listener):
    return "127.0.0.1:%d" % listener.port


def request(proxy, path, *headers, upgrade=True):
    """(status, headers in lower case) of the answer to a request; the connection is given up then."""
    lines = ["GET %s HTTP/1.1" % path]
    if not any(header.startswith("Host:") for header in headers):
        lines.append("Host: localhost:%d" % proxy.port)
    if upgrade:
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    context = ssl.create_default_context(cafile=pki("ca.pem"))
    with socket.create_connection(("127.0.0.1", proxy.port), TIMEOUT_S) as plainly, \
            context.wrap_socket(plainly, server_hostname="localhost") as connection:
        connection.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            fields = {}
            while line := answer.readline().decode().strip():
                name, _, value = line.partition(":")
                fields[name.lower()] = value.strip()
    return status, fields


def end(process):
    if process.poll() is None:
        process.kill()
        process.wait()


class Front(Case):
    def setUp(self):
        program(KIND)

    def client(self, *arguments):
        """wspipe, which does not outlive its test."""
        process = start([*Settings.wspipe, "--ca", pki("ca.pem"), *arguments])
        self.addCleanup(end, process)
        return process

    def ask(self, *arguments, data=b""):
        """What wspipe makes of it, which ends by itself."""
        return finish(self.client(*arguments), data)


class Held:
    """A stream that says a word now and then, and waits for it to come back."""

    def __init__(self, process):
        self.process = process
        self.word()

    def word(self):
        self.process.stdin.write(b"word\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line != b"word\n":
            raise AssertionError("%r came back; %r" % (line, stop(self.process)))

    def wait(self):
        """As it ends by itself; its input is still open."""
        out = self.process.stdout.read()
        status = self.process.wait(TIMEOUT_S)
        err = self.process.stderr.read().decode()
        self.close()
        return status, out, err

    def finish(self):
        return finish(self.process)

    def close(self):
        stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Through(Front):
    def test_tls_ends_in_front(self):
        with echo() as listener, PROXY(echo=address(listener)) as proxy:
            self.assert_clean(self.ask(proxy.url + "echo", data=b"hello"), b"hello")

    def test_half_close_passes(self):
        lines = b"".join(b"%d\n" % i for i in reversed(range(20000)))
        with plain("-k", "--exec", "sort -n") as listener, PROXY(echo=address(listener)) as proxy:
            self.assert_clean(self.ask(proxy.url + "echo", data=lines), b"".join(reversed(lines.splitlines(True))))

    def test_megabytes_both_ways(self):
        ours, theirs = data_of("client", TOTAL), data_of("listener", TOTAL)
        for client_closes in (True, False):
            waits = ["-q", "none"]
            with self.subTest(client_closes=client_closes), plain(*(waits if client_closes else [])) as listener, \
                    PROXY(echo=address(listener)) as proxy:
                server = Exchange(listener.process, theirs, None if client_closes else len(ours))
                ends = Exchange(self.client(*([] if client_closes else waits), proxy.url + "echo"), ours,
                                len(theirs) if client_closes else None)
                self.assert_clean(ends.result(), theirs)
                self.assert_clean(server.result(), ours)

    def test_close_codes_and_reasons_pass_both_ways(self):
        reason = ["--close-code", "4001", "--close-reason", "enough"]
        with PROXY() as dead, plain("-v") as listener, PROXY(echo=address(listener)) as proxy:
            self.assertEqual(self.ask(*reason, proxy.url + "echo", data=b"word")[0], 0)
            self.assertRegex(finish(listener.process)[2], r"4001.*enough")
            self.assert_refused(self.ask(dead.url + "echo"), "HTTP 50[23]|50[23]")
        with plain(*reason) as listener, PROXY(echo=address(listener)) as proxy:
            process = self.client("-v", "-q", "none", proxy.url + "echo")
            listener.process.stdin.close()
            listener.process.stdin = None
            status, _, err = finish(process)
            self.assertEqual(status, 1)
            self.assertRegex(err, r"4001.*enough")


class Documents(unittest.TestCase):
    def test_the_page_shows_what_the_files_have(self):
        with open(os.path.join(SHIPPED, "..", "..", "man", "ws_proxy.7"), encoding="utf-8") as file:
            blocks = re.findall(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed", file.read(), re.M | re.S)
        shipped = []
        for name in ("nginx.conf", "haproxy.cfg"):
            with open(os.path.join(SHIPPED, name), encoding="utf-8") as file:
                shipped += [line for line in (re.sub(r"\s*#.*", "", line).strip() for line in file) if line]
        self.assertEqual(len(blocks), 4)
        for block in blocks:
            lines = [line.strip() for line in block.splitlines()]
            self.assertIn(lines, [shipped[i:i + len(lines)] for i in range(len(shipped))])


class Requests(Front):
    def test_paths_lead_to_services(self):
        path = scratch("logs.sock")
        with Server("first") as first, Server("second", url="ws+unix://" + path) as second, \
                PROXY(echo=first.address, logs=path) as proxy:
            for where, server in (("/echo", first), ("/echo/a%20b?c=d", first), ("/logs", second), ("/logs/", second)):
                status, fields = request(proxy, where)
                self.assertEqual((status, fields.get("x-served-by")), (101, server.name), where)
                server.wait_match(re.escape("request %s%s " % (where, "" if "?" in where else "?-")) + ".*")
            for where in ("/", "/other", "/work"):
                self.assertEqual(request(proxy, where)[0] // 100, 4 if where != "/work" else 5, where)

    def test_what_the_listener_is_told(self):
        with Server("first") as server, PROXY(echo=server.address) as proxy:
            own = "localhost:%d" % proxy.port
            self.assertEqual(request(proxy, "/echo/own", "Origin: https://" + own)[0], 101)
            server.wait_match(r"request /echo/own\?- host=%s origin=https://%s forwarded=127\.0\.0\.1" % (own, own))
            forged = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"]
            self.assertEqual(request(proxy, "/echo/forged", *forged)[0], 101)
            server.wait_match(r"request /echo/forged\?- .* forwarded=127\.0\.0\.1")
            other = ["Host: example.org:8443", "Origin: https://example.org:8443"]
            self.assertEqual(request(proxy, "/echo/host", *other)[0], 101)
            server.wait_match(r"request /echo/host\?- host=example\.org:8443 origin=.* forwarded=.*")

    def test_pages_of_other_origins_are_refused(self):
        with echo() as listener, PROXY(echo=address(listener)) as proxy:
            for origin in ("https://example.org", "https://localhost", "http://127.0.0.1:%d" % proxy.port, "null"):
                self.assert_refused(self.ask("--origin", origin, proxy.url + "echo"), "403")
            self.assert_clean(self.ask("--origin", "https://localhost:%d" % proxy.port, proxy.url + "echo", data=b"a"),
                              b"a")

    def test_refusals_pass(self):
        with plain("-k", "--echo", "--max-connections", "1") as listener, PROXY(echo=address(listener)) as proxy:
            self.assertEqual(request(proxy, "/echo", upgrade=False)[0], 426)
            with Held(self.client(proxy.url + "echo")) as held:
                self.assertEqual(request(proxy, "/echo")[0], 503)
                self.assert_clean(held.finish(), b"")

    def test_long_headers(self):
        with echo() as listener, PROXY(echo=address(listener)) as proxy:
            self.assertEqual(request(proxy, "/echo", "Cookie: " + 7000 * "a")[0], 101)
            status = request(proxy, "/echo", *("Cookie: " + 7000 * "a" for _ in range(3)))[0]
            self.assertEqual(status // 100, 4, status)


class Endings(Front):
    # The proxy's time for silence here. Pings are faster by far, as a loaded machine has them late.
    silence = [(was, becomes % "6s") for was, becomes in PROXY.silence]

    def test_pings_of_either_end_keep_a_silent_stream_and_without_them_it_ends_with_an_error(self):
        with plain("-k", "--echo", "--ping", "1") as pinging, plain("-k", "--echo", "--ping", "0") as mute, \
                PROXY(echo=address(pinging), pool=address(mute), changes=self.silence) as proxy, \
                Held(self.client("--ping", "0", proxy.url + "echo")) as by_listener, \
                Held(self.client("--ping", "1", proxy.url + "pool")) as by_client:
            # As often as another one is cut off for its silence, these have been silent for at least as long.
            for _ in range(3):
                with Held(self.client("--ping", "0", proxy.url + "pool")) as lost:
                    self.assert_refused(lost.wait(), "reset|ended")
            for kept in (by_listener, by_client):
                kept.word()
                self.assert_clean(kept.finish(), b"")

    def test_behind_a_close_there_are_no_pings_and_a_long_silence_ends_with_an_error(self):
        forever = ["--exec", "cat && exec sleep %d" % TIMEOUT_S, "--kill-after", "0"]
        with plain("-k", "--ping", "1", *forever) as listener, \
                PROXY(echo=address(listener), changes=self.silence) as proxy:
            self.assert_refused(self.ask("--ping", "1", proxy.url + "echo"), "reset|ended")

    def assert_broken(self, exchange):
        status, messages, (total, _) = exchange.result()
        self.assertEqual((status, len(messages)), (1, 1), messages)
        self.assertRegex(messages[0], "^wspipe: ")
        self.assertGreaterEqual(total, MIDDLE)

    def in_the_middle(self, break_it, told):
        """Both ends send, and would not close; when either has got some of it, something dies."""
        with plain("-q", "none") as listener, PROXY(echo=address(listener)) as proxy:
            ends = {"listener": Exchange(listener.process, data_of("listener", TOTAL), MIDDLE),
                    "client": Exchange(self.client("-q", "none", proxy.url + "echo"), data_of("client", TOTAL), MIDDLE)}
            for end in ends.values():
                self.assertTrue(end.arrived.wait(TIMEOUT_S))
            break_it(proxy, listener)
            for name in told:
                self.assert_broken(ends[name])
        for end in ends.values():
            end.result()

    def test_a_proxy_that_dies_is_an_error_at_both_ends(self):
        def kill(proxy, _):
            for worker in proxy.workers():
                os.kill(int(worker), signal.SIGKILL)
            proxy.process.kill()
        self.in_the_middle(kill, ("client", "listener"))

    def test_a_listener_that_dies_is_an_error_at_the_client(self):
        self.in_the_middle(lambda _, listener: listener.process.kill(), ("client",))

    def test_a_client_that_dies_is_an_error_at_the_listener(self):
        with plain("-q", "none") as listener, PROXY(echo=address(listener)) as proxy:
            process = self.client("-q", "none", proxy.url + "echo")
            process.stdin.write(b"word\n")
            process.stdin.flush()
            self.assertEqual(listener.process.stdout.readline(), b"word\n")
            process.kill()
            stop(process)
            self.assert_refused(finish(listener.process), "wspipe: the connection (ended|broke)")


if __name__ == "__main__":
    main()
