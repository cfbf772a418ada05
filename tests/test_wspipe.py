# SPDX-License-Identifier: 0BSD
"""The command wspipe, as its users see it: test_wspipe.py WSPIPE [unittest arguments]"""

import os
import pty
import select
import socket
import subprocess
import threading
import time
import unittest

from wspipe_command import Case, Listener, finish, run, start
from wspipe_peer import BINARY, TEXT, TIMEOUT_S, Server, connect

class Usage(Case):
    def test_a_usage_error_is_one_line_and_status_2(self):
        for arguments, name in [
                ([], "URL"),
                (["ws://a/", "ws://b/"], "ws://b/"),
                (["--nonsense", "ws://a/"], "--nonsense"),
                (["-Z", "ws://a/"], "-Z"),
                (["-H"], "-H"),
                (["--header"], "--header"),
                (["--text=x", "ws://a/"], "--text"),
                (["-q", "soon", "ws://a/"], "-q"),
                (["-q", "-1", "ws://a/"], "-q"),
                (["--read-timeout", "1.5s", "ws://a/"], "--read-timeout"),
                (["--connect-timeout", "", "ws://a/"], "--connect-timeout"),
                (["--connect-timeout", "0", "ws://a/"], "--connect-timeout"),
                (["--handshake-timeout", "0.0", "ws://a/"], "--handshake-timeout"),
                (["--read-timeout", "0", "ws://a/"], "--read-timeout"),
                (["--proxy", "", "ws://a/"], "--proxy"),
                (["--proxy=", "ws://a/"], "--proxy"),
                (["--close-timeout", "99999999999", "ws://a/"], "--close-timeout"),
                (["--max-message", "12Q", "ws://a/"], "--max-message"),
                (["--max-message", "0", "ws://a/"], "--max-message"),
                (["--max-message", "99999999999999999999", "ws://a/"], "--max-message"),
                (["--max-message", "17179869184G", "ws://a/"], "--max-message"),
                (["--close-code", "1005", "ws://a/"], "--close-code"),
                (["--close-code", "1000x", "ws://a/"], "--close-code"),
                (["--close-code", "5000", "ws://a/"], "--close-code"),
                (["--close-reason", "x" * 124, "ws://a/"], "--close-reason"),
                (["--close-reason", b"\xc0\xaf", "ws://a/"], "--close-reason"),
                (["--close-reason", b"\xed\xa0\x80", "ws://a/"], "--close-reason"),
                (["-k", "ws://a/"], "-k"),
                (["--echo", "ws://a/"], "--echo"),
                (["--origin-allow", "*", "ws://a/"], "--origin-allow"),
                (["-l", "--origin", "https://a", "ws://a/"], "--origin"),
                (["-l", "--echo", "-q", "1", "ws://a/"], "-q"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_usage(run(*arguments), name)

    def test_version(self):
        self.assertRegex(run("--version")[1].decode(), r"\Awspipe \d+\.\d+\.\d+\n\Z")


class BadInput(Case):
    def test_what_can_not_be_opened_is_one_line_and_status_1(self):
        for arguments in [
                ["nonsense"], ["ws://"], ["ws:///path"], ["http://127.0.0.1/"], ["gopher://127.0.0.1/"],
                ["ws://127.0.0.1:65536/"], ["ws://127.0.0.1:0/"], ["ws://127.0.0.1:x/"], ["ws://[::1/"],
                ["ws://127.0.0.1:1/#fragment"],
                ["-H", "X: a\r\nY: b", "ws://127.0.0.1:1/"], ["-H", "X: a\nY: b", "ws://127.0.0.1:1/"],
                ["-H", "no colon", "ws://127.0.0.1:1/"], ["--subprotocol", "a b", "ws://127.0.0.1:1/"],
                ["--origin", "https://a\r\n", "ws://127.0.0.1:1/"],
                ["ws://no-such-host.invalid/"],
                ["-l", "nonsense"], ["-l", "ws://127.0.0.1:65536/"], ["-l", "ws://no-such-host.invalid:0/"],
                ["-l", "ws://192.0.2.1:0/"],
        ]:
            with self.subTest(arguments=arguments):
                self.assert_broken(run(*arguments))

    def test_refused(self):
        # Bound and not listening: nobody else can have the port meanwhile.
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            self.assert_broken(run("ws://127.0.0.1:%d/" % holder.getsockname()[1]), "[Rr]efused")

    def test_answers_that_are_no_upgrade(self):
        good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        for answer, pattern in [
                ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
                ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403"),
                ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "500"),
                ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200"),
                ("HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "301"),
                (good + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", "."),
                (good + "\r\n", "."),
                ("SSH-2.0-OpenSSH_9.2p1\r\n", "."),
                ("\x00\x01\x02garbage\r\n\r\n", "."),
                ("HTTP/1.1 101 Switching Proto", "."),
                ("", "."),
        ]:
            with self.subTest(answer=answer):
                def serve(connection, answer=answer):
                    connection.read_request()
                    connection.sock.sendall(answer.encode("latin-1"))

                with Server(serve) as server:
                    self.assert_broken(run(server.url), pattern)

    def test_subprotocol_that_was_not_offered(self):
        with Server(lambda connection: connection.accept("Sec-WebSocket-Protocol: other\r\n")) as server:
            self.assert_broken(run("--subprotocol", "mine", server.url))

    def test_silent_server(self):
        def serve(connection):
            connection.read_request()
            connection.sock.recv(1)

        with Server(serve) as server:
            self.assert_broken(run("--handshake-timeout", "0.2", server.url))

    def test_taken_port(self):
        with Listener() as listener:
            self.assert_broken(run("-l", listener.url), "[Uu]se")

    def test_other_path_than_the_one_served(self):
        with Listener("-k", "--echo", url="ws://127.0.0.1:0/here") as listener:
            self.assertTrue(listener.url.endswith("/here"))
            self.assert_broken(run(listener.url.replace("/here", "/there")), "404")
            self.assert_clean(run(listener.url, data=b"x"), b"x")
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_input_that_can_not_be_read(self):
        closes = []
        with Server(lambda c: (c.accept(), closes.append(c.read_until_close()), c.send_close(1011))) as server:
            directory = os.open("/", os.O_RDONLY)
            try:
                self.assert_broken(run(server.url, stdin=directory, data=None), "standard input: ")
            finally:
                os.close(directory)
        self.assertEqual(closes, [(b"", 1011, "")])

    def test_output_that_can_not_be_written(self):
        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"x" * 1000)
            closes.append(connection.read_until_close()[1])
            connection.send_close(closes[0])

        for kind in ("full", "closed"):
            with self.subTest(kind=kind), Server(serve) as server:
                closes = []
                if kind == "full":
                    out = os.open("/dev/full", os.O_WRONLY)
                else:
                    reader, out = os.pipe()
                    os.close(reader)
                process = start(server.url, stdout=out)
                os.close(out)
                process.wait(TIMEOUT_S)
                self.assert_broken(finish(process), "standard output: ")
            # Standard input was not at its end: the peer must not take what it got for the whole.
            self.assertEqual(closes, [1011])


class Transfer(Case):
    def test_echo_of_several_megabytes_and_clients(self):
        data = os.urandom(5000000)
        with Listener("-k", "--echo") as listener:
            self.assert_clean(run(listener.url, data=data), data)
            clients = [start(listener.url) for _ in range(4)]
            results = [None] * len(clients)
            threads = [threading.Thread(target=lambda i=i: results.__setitem__(i, finish(clients[i], data)))
                       for i in range(len(clients))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for result in results:
                self.assert_clean(result, data)
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_echo_answers_at_once(self):
        with Listener("-k", "--echo") as listener:
            client = start(listener.url, bufsize=0)
            for line in (b"one\n", b"two\n", b"x"):
                client.stdin.write(line)
                self.assertEqual(client.stdout.read(len(line)), line)
            self.assert_clean(finish(client), b"")

    def test_one_echo_connection_ends_the_listener_without_keep(self):
        with Listener("--echo") as listener:
            self.assert_clean(run(listener.url, data=b"hello\n"), b"hello\n")
            self.assert_clean(finish(listener.process))

    def test_a_broken_connection_is_one_line_and_harms_no_other(self):
        with Listener("-k", "--echo") as listener:
            connect(listener.url).reset()
            line = listener.process.stderr.readline().decode()
            self.assertRegex(line, r"\Awspipe: 127\.0\.0\.1:\d+: [^\n]+\n\Z")
            self.assert_clean(run(listener.url, data=b"still here"), b"still here")
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_half_close(self):
        lines = b"".join(b"%d\n" % i for i in range(100000))

        def serve(connection):
            connection.accept()
            data, code, _ = connection.read_until_close()
            connection.send_frame(BINARY, b"".join(sorted(data.splitlines(True), reverse=True)))
            connection.send_close(code)

        with Server(serve) as server:
            result = run(server.url, data=lines)
        self.assert_clean(result, b"".join(sorted(lines.splitlines(True), reverse=True)))

    def test_listen_serves_one_connection_both_ways(self):
        with Listener() as listener:
            client = start(listener.url)
            # The listener's end of input closes its side only; what the client sends still arrives.
            listener.process.stdin.write(b"from the listener\n")
            listener.process.stdin.close()
            self.assertEqual(client.stdout.read(18), b"from the listener\n")
            client.stdin.close()
            client.stdin = listener.process.stdin = None
            self.assert_clean(finish(client), b"")
            self.assert_clean(finish(listener.process), b"")

    def test_keep_collects_from_one_after_another(self):
        with Listener("-k", stdin=subprocess.DEVNULL) as listener:
            for data in (b"one\n", b"two\n", b"three\n"):
                self.assert_clean(run(listener.url, data=data), b"")
                self.assertEqual(listener.process.stdout.readline(), data)

    def test_keep_goes_on_after_a_broken_connection(self):
        with Listener("-k", stdin=subprocess.DEVNULL) as listener:
            connect(listener.url).reset()
            self.assertRegex(listener.process.stderr.readline().decode(), r"\Awspipe: 127\.0\.0\.1:\d+: [^\n]+\n\Z")
            self.assert_clean(run(listener.url, data=b"next\n"), b"")
            self.assertEqual(listener.process.stdout.readline(), b"next\n")

    def test_keep_sends_input_to_the_first(self):
        with Listener("-k") as listener:
            listener.process.stdin.write(b"all of it\n")
            listener.process.stdin.close()
            listener.process.stdin = None
            self.assert_clean(run("-q", "none", listener.url), b"all of it\n")
            self.assert_clean(run(listener.url), b"")


class Text(Case):
    def test_text_is_sent_and_accepted(self):
        words = "grüße, 世界 🎉\n".encode() * 20000
        frames = []

        def serve(connection):
            connection.accept()
            connection.send_frame(TEXT, "Wörter".encode())
            while True:
                first, payload = connection.read_frame()
                if first == 0x88:
                    break
                payload.decode()
                frames.append((first, payload))
            connection.send_close(1000)

        with Server(serve) as server:
            self.assert_clean(run("-t", server.url, data=words), "Wörter".encode())
        self.assertEqual({first for first, _ in frames}, {TEXT})
        self.assertEqual(b"".join(payload for _, payload in frames), words)

    def test_text_is_refused_without_the_option(self):
        codes = []
        with Server(lambda c: (c.accept(), c.send_frame(TEXT, b"x"), codes.append(c.read_until_close()[1]),
                               c.send_close(codes[0]))) as server:
            process = start(server.url)
            process.wait(TIMEOUT_S)
            self.assert_broken(finish(process))
        self.assertEqual(codes, [1003])

    def test_input_that_is_no_text_is_an_error(self):
        closes = []

        def serve(connection):
            connection.accept()
            closes.append(connection.read_until_close()[1])
            connection.send_close(closes[0])

        with Server(serve) as server:
            self.assert_broken(run("-t", server.url, data=b"ab\xff\xfe"))
        self.assertNotIn(1000, closes)


class Closing(Case):
    def test_close_code_and_reason_reach_the_peer(self):
        closes = []
        with Server(lambda c: (c.accept(), closes.append(c.read_until_close()), c.send_close(closes[0][1]))) as server:
            self.assert_clean(run("--close-code", "4001", "--close-reason", "tschüß", server.url, data=b"data"))
        self.assertEqual(closes, [(b"data", 4001, "tschüß")])

    def test_peer_that_closes_first_ends_it(self):
        closes = []

        def serve(connection):
            connection.accept()
            self.assertEqual(connection.read_frame(), (BINARY, b"before\n"))
            connection.send_frame(BINARY, b"answer\n")
            connection.send_close(1000)
            closes.append(connection.read_until_close()[:2])

        with Server(serve) as server:
            process = start(server.url, bufsize=0)
            process.stdin.write(b"before\n")
            self.assertEqual(process.wait(TIMEOUT_S), 0)
            self.assert_clean(finish(process), b"answer\n")
        self.assertEqual(closes, [(b"", 1000)])

    def test_abnormal_code_of_the_peer(self):
        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"data first")
            connection.send_close(1011, "boom\x1b[31m\u009bx")
            connection.read_until_close()

        with Server(serve) as server:
            process = start(server.url)
            process.wait(TIMEOUT_S)
            result = finish(process)
        self.assert_broken(result, r"1011.*boom")
        self.assertNotRegex(result[2], "[\x1b\u009b]")
        self.assertEqual(result[1], b"data first")

    def test_cut_is_an_error_after_the_data(self):
        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"half of")

        with Server(serve) as server:
            process = start(server.url)
            process.wait(TIMEOUT_S)
            result = finish(process)
        self.assert_broken(result)
        self.assertEqual(result[1], b"half of")

    def test_no_close_of_ours_with_q_none(self):
        answered = threading.Event()

        def serve(connection):
            connection.accept()
            self.assertEqual(connection.read_frame(), (BINARY, b"question"))
            connection.send_frame(BINARY, b"answer")
            answered.wait(TIMEOUT_S)
            self.assertEqual(select.select([connection.sock], [], [], 0)[0], [])
            connection.send_close(1000)
            self.assertEqual(connection.read_until_close()[:2], (b"", 1000))

        with Server(serve) as server:
            process = start("-q", "none", server.url)
            process.stdin.write(b"question")
            process.stdin.close()
            process.stdin = None
            self.assertEqual(process.stdout.read(6), b"answer")
            answered.set()
            self.assert_clean(finish(process), b"")

    def test_close_comes_after_q_seconds(self):
        times = []

        def serve(connection):
            connection.accept()
            connection.read_frame()
            times.append(time.monotonic())
            connection.read_until_close()
            times.append(time.monotonic())
            connection.send_close(1000)

        with Server(serve) as server:
            self.assert_clean(run("-q", "1.5", server.url, data=b"x"))
        # A lower bound only, and far below: nothing here depends on how fast the machine is.
        self.assertGreater(times[1] - times[0], 0.5)

    def test_message_over_the_limit(self):
        codes = []

        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"x" * 1024)
            connection.send_frame(BINARY, b"y" * 1025)
            codes.append(connection.read_until_close()[1])
            connection.send_close(codes[0])

        with Server(serve) as server:
            process = start("--max-message", "1k", server.url)
            process.wait(TIMEOUT_S)
            self.assert_broken(finish(process))
        self.assertEqual(codes, [1009])

    def test_read_timeout(self):
        closes = []

        def serve(connection):
            connection.accept()
            closes.append(connection.read_until_close()[1])
            connection.send_close(closes[0])

        with Server(serve) as server:
            process = start("--read-timeout", "0.2", server.url)
            process.wait(TIMEOUT_S)
            self.assert_broken(finish(process), "--read-timeout")
        self.assertEqual(closes, [1011])

    def test_server_killed_in_mid_transfer(self):
        with Listener("-k", "--echo") as listener:
            with open("/dev/zero", "rb") as zero:
                client = start(listener.url, stdin=zero)
            self.assertEqual(len(client.stdout.read(1 << 20)), 1 << 20)
            listener.process.kill()
            self.assert_broken(finish(client))


class Handshake(Case):
    def test_header_subprotocol_and_origin(self):
        seen = {}

        def serve(connection):
            connection.accept("Sec-WebSocket-Protocol: second\r\n")
            for name in ("X-One", "X-Two", "Sec-WebSocket-Protocol", "Origin"):
                seen[name] = connection.header(name)
            connection.read_until_close()
            connection.send_close(1000)

        with Server(serve) as server:
            self.assert_clean(run("-H", "X-One: 1", "--header", "X-Two: 2", "--subprotocol", "first", "--subprotocol",
                                  "second", "--origin", "https://example.org", server.url))
        self.assertEqual(seen, {"X-One": "1", "X-Two": "2", "Sec-WebSocket-Protocol": "first, second",
                                "Origin": "https://example.org"})

    def test_origins(self):
        with Listener("-k", "--echo") as listener:
            self.assert_broken(run("--origin", "https://example.org", listener.url), "403")
        with Listener("-k", "--echo", "--origin-allow", "https://example.org") as listener:
            self.assert_clean(run("--origin", "https://example.org", listener.url, data=b"x"), b"x")
            self.assert_broken(run("--origin", "https://example.com", listener.url), "403")


class Progress(Case):
    def test_summary_on_a_terminal(self):
        with Listener("-k", "--echo") as listener:
            try:
                master, terminal = pty.openpty()
            except OSError as error:
                self.skipTest("no pseudo-terminal here: %s" % error)
            process = start("--progress", listener.url, stderr=terminal)
            os.close(terminal)
            self.assertEqual(finish(process, b"x" * 2048)[:2], (0, b"x" * 2048))
            text = b""
            try:
                while data := os.read(master, 4096):
                    text += data
            except OSError:
                pass  # how a terminal without a program ends on Linux
            os.close(master)
            self.assertRegex(text.decode(), r"sent 2\.00KiB, received 2\.00KiB, [^\n]*/s, 0:00:\d\d\r\n\Z")

    def test_nothing_without_a_terminal(self):
        with Listener("-k", "--echo") as listener:
            self.assert_clean(run("--progress", listener.url, data=b"x"), b"x")


if __name__ == "__main__":
    unittest.main(verbosity=1)
