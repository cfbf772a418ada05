# SPDX-License-Identifier: 0BSD
"""
How the command wspipe gets there: authentication, proxies, redirects, local sockets; and compression.
test_wspipe_reach.py WSPIPE [unittest arguments]
"""

import base64
import os
import socket
import stat
import struct
import sys
import tempfile
import unittest
import zlib

from wspipe_command import ENVIRONMENT, Case, Listener, finish, run, start
from wspipe_peer import BINARY, TIMEOUT_S, Server, connect, exchange

COMPRESSED = BINARY | 0x40


def echo(connection, extra=""):
    """Serve one connection to its end."""
    connection.accept(extra)
    data, code, _ = connection.read_until_close()
    connection.send_frame(BINARY, data)
    connection.send_close(code)


def answering(head):
    """serve for a Server: this in place of an upgrade."""
    def serve(connection):
        connection.read_request()
        connection.sock.sendall(head.encode() + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    return serve


class Scratch(Case):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def at(self, name, content=None):
        path = os.path.join(self.directory.name, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path


class Usage(Case):
    def test_a_usage_error_is_one_line_and_status_2(self):
        for arguments, name in [
                (["--user", "nobody", "ws://a/"], "--user: "),
                (["--user"], "--user"),
                (["--user", "a:b", "--bearer-file", "c", "ws://a/"], "only one of --user"),
                (["--user", "a:b", "--user-file", "c", "ws://a/"], "only one of --user"),
                (["--user-file", "a", "--bearer-file", "c", "ws://a/"], "only one of --user"),
                (["--user-file", "-", "ws://a/"], "--user-file: standard input"),
                (["--bearer-file", "-", "ws://a/"], "--bearer-file: standard input"),
                (["--max-redirects", "21", "ws://a/"], "--max-redirects"),
                (["--max-redirects", "-1", "ws://a/"], "--max-redirects"),
                (["--max-redirects", "x", "ws://a/"], "--max-redirects"),
                (["-l", "--user", "a:b", "ws://a/"], "--user has no use with -l"),
                (["-l", "--user-file", "a", "ws://a/"], "--user-file has no use with -l"),
                (["-l", "--bearer-file", "a", "ws://a/"], "--bearer-file has no use with -l"),
                (["-l", "--proxy", "none", "ws://a/"], "--proxy has no use with -l"),
                (["-l", "--max-redirects", "1", "ws://a/"], "--max-redirects has no use with -l"),
                (["--socket-mode", "600", "ws+unix:///a"], "--socket-mode needs -l"),
                (["-l", "--socket-mode", "600", "ws://a/"], "--socket-mode needs the URL of a local socket"),
                (["-l", "--socket-mode", "8", "ws+unix:///a"], "--socket-mode"),
                (["-l", "--socket-mode", "1777", "ws+unix:///a"], "--socket-mode"),
                (["-l", "--socket-mode", "-1", "ws+unix:///a"], "--socket-mode"),
                (["-l", "--socket-mode", "", "ws+unix:///a"], "--socket-mode"),
                (["-l", "--socket-mode", "0x1ff", "ws+unix:///a"], "--socket-mode"),
                (["--compress=9", "ws://a/"], "--compress"),
                (["ws://u:hidden@a/", "ws://u:hidden@b/"], "@b/"),
        ]:
            with self.subTest(arguments=arguments):
                result = run(*arguments)
                self.assert_usage(result, name)
                for secret in ("nobody", "hidden", "a:b"):
                    self.assertNotIn(secret, result[2])


class Authentication(Scratch):
    def header_sent(self, *arguments, userinfo=""):
        headers = []

        def serve(connection):
            echo(connection)
            headers.append(connection.header("Authorization"))

        with Server(serve) as server:
            self.assert_clean(run(*arguments, server.url.replace("//", "//" + userinfo), data=b"x"), b"x")
        return headers[0]

    def basic(self, text):
        return "Basic " + base64.b64encode(text.encode()).decode()

    def test_user_and_bearer_reach_the_peer(self):
        self.assertEqual(self.header_sent("--user", "me:a pass:wörd"), self.basic("me:a pass:wörd"))
        self.assertEqual(self.header_sent("--user=me:"), self.basic("me:"))
        self.assertEqual(self.header_sent(userinfo="me:p%40ss@"), self.basic("me:p@ss"))
        for content in (b"me:secret", b"me:secret\n", b"me:secret\r\nmore\n"):
            self.assertEqual(self.header_sent("--user-file", self.at("user", content)), self.basic("me:secret"))
        self.assertEqual(self.header_sent("--bearer-file", self.at("token", b"abc.def-123\n")), "Bearer abc.def-123")
        self.assertIsNone(self.header_sent())

    def test_a_file_that_can_not_be_used_is_one_line_and_status_1(self):
        for content, pattern in [(None, "No such file"), (b"", "empty"), (b"\nme:x\n", "empty"),
                                 (b"x" * 70000, "long")]:
            for option in ("--user-file", "--bearer-file"):
                with self.subTest(content=content and content[:10], option=option):
                    path = self.at("none") if content is None else self.at("file", content)
                    self.assert_broken(run(option, path, "ws://127.0.0.1:1/"), path + ".*" + pattern)
        self.assert_broken(run("--bearer-file", self.directory.name, "ws://127.0.0.1:1/"), "directory")
        result = run("--user-file", self.at("file", b"justaword\n"), "ws://127.0.0.1:1/")
        self.assert_broken(result, "USER:PASSWORD")
        self.assertNotIn("justaword", result[2])

    def test_what_can_not_be_sent_is_refused_without_showing_it(self):
        for option, content in [("--bearer-file", b"to\x01ken"), ("--bearer-file", b"to ken"),
                                ("--user-file", b"m\x01e:secret")]:
            with self.subTest(content=content):
                result = run(option, self.at("file", content), "ws://127.0.0.1:1/")
                self.assert_broken(result)
                for secret in ("ken", "secret"):
                    self.assertNotIn(secret, result[2].replace("token", ""))

    @unittest.skipUnless(sys.platform == "linux", "reads /proc")
    @unittest.skipIf(os.environ.get("WSPIPE_WRAPPER"), "the wrapper's own arguments are shown there")
    def test_no_secret_is_seen_in_the_list_of_processes(self):
        lines = []

        def serve(connection):
            connection.accept()
            with open("/proc/%d/cmdline" % process.pid, "rb") as file:
                lines.append(file.read())
            connection.send_close(1000)
            connection.read_until_close()

        for arguments, userinfo in [(["--user", "me:hidden"], ""), (["--user=me:hidden"], ""), ([], "me:hidden@")]:
            with self.subTest(arguments=arguments), Server(serve) as server:
                process = start(*arguments, "--proxy", "none", server.url.replace("//", "//" + userinfo))
                process.wait(TIMEOUT_S)
                self.assert_clean(finish(process))
            self.assertNotIn(b"hidden", lines[-1])
            self.assertIn(b"127.0.0.1", lines[-1])

    def test_refusals_name_the_realm(self):
        for status, pattern in [
                ('401 Unauthorized\r\nWWW-Authenticate: Basic realm="the vault"', '401.*the vault'),
                ("403 Forbidden", "403"),
                ('407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="gate"', "407"),
        ]:
            with self.subTest(status=status), Server(answering("HTTP/1.1 " + status)) as server:
                result = run("--user", "me:hidden", server.url)
                self.assert_broken(result, pattern)
                self.assertNotIn("hidden", result[2])


class Proxy(Case):
    """A CONNECT proxy and a SOCKS5 one, of our own."""

    def run_through(self, serve, *arguments, url="ws://far.example:1234/", scheme="http://", **settings):
        with Server(serve) as proxy:
            return run("--proxy", "%s127.0.0.1:%d" % (scheme, proxy.port), *arguments, url, **settings)

    def carry(self, connection, port):
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as far:
            exchange(connection.sock, far)

    def test_connect(self):
        requests = []

        def serve(connection):
            connection.read_request()
            requests.append((connection.request.split("\r\n")[0], connection.header("Proxy-Authorization")))
            connection.sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.carry(connection, port)

        data = os.urandom(1000000)
        with Listener("-k", "--echo") as listener:
            port = int(listener.url.split(":")[-1].strip("/"))
            self.assert_clean(self.run_through(serve, data=data), data)
            self.assert_clean(self.run_through(serve, scheme="http://me:p%3Ass@", data=b"x"), b"x")
        self.assertEqual(requests, [
            ("CONNECT far.example:1234 HTTP/1.1", None),
            ("CONNECT far.example:1234 HTTP/1.1", "Basic " + base64.b64encode(b"me:p:ss").decode())])

    def test_socks5(self):
        requests = []

        def serve(connection):
            count = connection.exactly(2)[1]
            connection.exactly(count)
            connection.sock.sendall(b"\x05\x00")
            size = connection.exactly(5)[4]
            requests.append((connection.exactly(size), struct.unpack(">H", connection.exactly(2))[0]))
            connection.sock.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01")
            self.carry(connection, port)

        with Listener("-k", "--echo") as listener:
            port = int(listener.url.split(":")[-1].strip("/"))
            self.assert_clean(self.run_through(serve, scheme="socks5://", data=b"x"), b"x")
        self.assertEqual(requests, [(b"far.example", 1234)])

    def test_environment_and_none(self):
        with Listener("-k", "--echo") as listener, socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            dead = "http://127.0.0.1:%d" % holder.getsockname()[1]
            environment = {**ENVIRONMENT, "http_proxy": dead}
            self.assert_broken(run(listener.url, env=environment), "[Rr]efused")
            self.assert_clean(run("--proxy", "none", listener.url, data=b"x", env=environment), b"x")
            environment["no_proxy"] = "example.org,127.0.0.1"
            self.assert_clean(run(listener.url, data=b"x", env=environment), b"x")

    def test_failures(self):
        for answer, pattern in [
                ('HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="gate"\r\nContent-Length: 0\r\n\r\n', "407.*gate"),
                ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"),
                ("HTTP/1.1 200 Conn", "."),
                ("", "."),
                ("HTTP/1.1 200 OK\r\n" + "X: %s\r\n" % ("y" * 1000) * 64 + "\r\n", "header"),
                ("\x05\x00\x00garbage\r\n\r\n", "."),
        ]:
            def serve(connection, answer=answer):
                connection.read_request()
                try:
                    connection.sock.sendall(answer.encode())
                    connection.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # what is wrong early is not read to its end
                connection.drain()

            with self.subTest(answer=answer[:40]):
                result = self.run_through(serve, scheme="http://me:hidden@")
                self.assert_broken(result, "proxy.*" + pattern)
                self.assertNotIn("hidden", result[2])

    def test_refused_and_unknown(self):
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            self.assert_broken(run("--proxy", "http://me:hidden@127.0.0.1:%d" % holder.getsockname()[1],
                                   "ws://far.example/"), "[Rr]efused")
        for proxy in ("socks4://127.0.0.1:1", "https://127.0.0.1:1", "http://", "http://127.0.0.1:x", "http://a b"):
            with self.subTest(proxy=proxy):
                self.assert_broken(run("--proxy", proxy, "ws://far.example/"), "proxy")


class Redirects(Case):
    def test_followed_only_on_request(self):
        with Listener("-k", "--echo") as listener:
            for location in (listener.url, listener.url.replace("ws:", "http:")):
                serve = answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + location)
                with Server(serve) as server:
                    self.assert_broken(run(server.url), "307")
                with Server(serve) as server:
                    self.assert_clean(run("--max-redirects", "1", server.url, data=b"x"), b"x")

    def test_too_many(self):
        with Server(answering("HTTP/1.1 302 Found\r\nLocation: /next")) as second:
            with Server(answering("HTTP/1.1 302 Found\r\nLocation: " + second.url)) as first:
                self.assert_broken(run("--max-redirects", "1", first.url), "redirect")

    def test_credentials_stay_at_home(self):
        headers = []

        def serve(connection):
            echo(connection)
            headers.append((connection.header("Authorization"), connection.header("X-Token")))

        with Server(serve) as other:
            with Server(answering("HTTP/1.1 301 Moved\r\nLocation: " + other.url)) as server:
                self.assert_clean(run("--max-redirects", "5", "--user", "me:secret", "-H", "X-Token: 1", server.url,
                                      data=b"x"), b"x")
        self.assertIsNone(headers[0][0])

    def test_to_nowhere(self):
        for location in ("ftp://127.0.0.1/", "ws://", "", "ws+unix:///run/x"):
            with self.subTest(location=location):
                with Server(answering("HTTP/1.1 301 Moved\r\nLocation: " + location)) as server:
                    self.assert_broken(run("--max-redirects", "5", server.url), "redirect")


class Local(Scratch):
    def test_echo_mode_and_removal(self):
        path = self.at("socket")
        for arguments, mode in [([], 0o600), (["--socket-mode", "660"], 0o660), (["--socket-mode=0"], 0)]:
            with self.subTest(arguments=arguments), Listener("--echo", *arguments, url="ws+unix://" + path) as listener:
                status = os.stat(path)
                self.assertTrue(stat.S_ISSOCK(status.st_mode))
                self.assertEqual(stat.S_IMODE(status.st_mode), mode)
                os.chmod(path, 0o600)
                self.assert_clean(run(listener.url, data=b"x" * 300000), b"x" * 300000)
                self.assert_clean(finish(listener.process))
                self.assertFalse(os.path.exists(path))

    def test_path_behind_the_file(self):
        path = self.at("socket")
        with Listener("-k", "--echo", url="ws+unix://%s:/here" % path) as listener:
            self.assertTrue(listener.url.endswith(":/here"), listener.url)
            self.assert_clean(run(listener.url, data=b"x"), b"x")
            self.assert_broken(run("ws+unix://%s:/there" % path), "404")

    def test_what_has_the_name_already(self):
        path = self.at("socket")
        with Listener("-k", "--echo", url="ws+unix://" + path) as listener:
            self.assert_broken(run("-l", listener.url), "in use")
            self.assert_clean(run(listener.url, data=b"x"), b"x")
            # Killed: the file stays, and nobody listens.
            listener.process.kill()
            listener.process.wait(TIMEOUT_S)
            self.assertTrue(os.path.exists(path))
            self.assert_broken(run(listener.url), "[Rr]efused")
        with Listener("-k", "--echo", url="ws+unix://" + path) as listener:
            self.assert_clean(run(listener.url, data=b"x"), b"x")
        plain = self.at("plain", b"precious")
        self.assert_broken(run("-l", "ws+unix://" + plain), "socket")
        with open(plain, "rb") as file:
            self.assertEqual(file.read(), b"precious")

    def test_bad_names(self):
        for url in ("ws+unix://", "ws+unix:///" + "x" * 120, "ws+unix://" + self.at("none")):
            with self.subTest(url=url):
                self.assert_broken(run(url))
        self.assert_broken(run("-l", "ws+unix://" + self.at("no/such/directory")), "No such file")

    @unittest.skipUnless(sys.platform == "linux", "abstract sockets are Linux's")
    def test_abstract_socket(self):
        with Listener("-k", "--echo", url="ws+unix://@wspipe-test-%d" % os.getpid()) as listener:
            self.assert_clean(run(listener.url, data=b"x"), b"x")
            self.assert_broken(run("-l", listener.url), "in use")


class Compression(Case):
    def setUp(self):
        refusal = run("--compress", "ws://127.0.0.1:1/")
        if "this build has none" in refusal[2]:
            self.assert_broken(refusal, "compression: ")
            self.assert_broken(run("-l", "--compress", "ws://127.0.0.1:0/"), "compression: ")
            self.skipTest("this build has no compression")

    def test_offered_and_used(self):
        data, frames = b"all the same " * 100000, []

        def serve(connection):
            connection.accept("Sec-WebSocket-Extensions: permessage-deflate\r\n")
            self.assertIn("permessage-deflate", connection.header("Sec-WebSocket-Extensions"))
            inflate = zlib.decompressobj(-15)
            while True:
                first, payload = connection.read_frame()
                if first == 0x88:
                    break
                frames.append(first)
                got.append(inflate.decompress(payload + b"\x00\x00\xff\xff"))
            deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = deflate.compress(b"answer " * 1000) + deflate.flush(zlib.Z_SYNC_FLUSH)
            connection.send_frame(COMPRESSED, packed[:-4])
            connection.send_close(1000)

        got = []
        with Server(serve) as server:
            self.assert_clean(run("--compress", server.url, data=data), b"answer " * 1000)
        self.assertIn(COMPRESSED, frames)
        self.assertEqual(b"".join(got), data)

    def test_neither_offered_nor_accepted_without_the_option(self):
        offers = []
        with Server(lambda c: (echo(c), offers.append(c.header("Sec-WebSocket-Extensions")))) as server:
            self.assert_clean(run(server.url, data=b"x"), b"x")
        self.assertEqual(offers, [None])
        with Listener("-k", "--echo") as listener:
            raw = connect(listener.url, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
            self.assertIsNone(raw.header("Sec-WebSocket-Extensions"))
            raw.sock.close()
        with Listener("-k", "--echo", "--compress") as listener:
            raw = connect(listener.url, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
            self.assertIn("permessage-deflate", raw.header("Sec-WebSocket-Extensions"))
            raw.sock.close()

    def test_echo(self):
        data = b"".join(b"%d " % i for i in range(500000)) + os.urandom(500000)
        for one, other in [(["--compress"], ["--compress"]), (["--compress"], []), ([], ["--compress"])]:
            with self.subTest(one=one, other=other), Listener("-k", "--echo", *one) as listener:
                self.assert_clean(run(*other, listener.url, data=data), data)
                self.assertEqual(listener.messages_when_stopped(), "")

    def test_bomb(self):
        codes = []

        def serve(connection):
            connection.accept("Sec-WebSocket-Extensions: permessage-deflate\r\n")
            deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(64)) + deflate.flush(zlib.Z_SYNC_FLUSH)
            connection.send_frame(COMPRESSED, packed[:-4])
            codes.append(connection.read_until_close()[1])
            connection.send_close(codes[0])

        with Server(serve) as server:
            process = start("--compress", server.url)
            out = process.stdout.read()
            process.wait(TIMEOUT_S)
            self.assert_broken(finish(process))
        self.assertEqual(codes, [1009])
        self.assertLess(len(out), 1 << 21)


if __name__ == "__main__":
    unittest.main(verbosity=1)
