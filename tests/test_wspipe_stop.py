# SPDX-License-Identifier: 0BSD
"""wspipe that is told to stop while it copies: test_wspipe_stop.py WSPIPE [unittest arguments]"""

import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from wspipe_command import Case, Listener, finish, start
from wspipe_peer import BINARY, TIMEOUT_S, Client, Connection, Server
from wspipe_terminal import Held


class Interrupted(Case):
    def ready(self, connection):
        connection.accept()
        connection.send_frame(BINARY, b"ready")

    def client(self, server, *arguments, **settings):
        process = start(*arguments, server.url, **settings)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        self.assertEqual(process.stdout.read(5), b"ready")
        return process

    def test_a_part_is_never_taken_for_the_whole(self):
        """A pipeline gets Control-C: the program before us has ended by it, maybe before we have heard of it."""
        for number in [signal.SIGINT, signal.SIGTERM] * 10:
            closes = []

            def serve(connection):
                self.ready(connection)
                closes.append(connection.read_until_close())
                connection.send_close(1011)

            with Server(serve) as server:
                process = self.client(server)
                process.stdin.write(b"half of")
                process.stdin.flush()
                process.send_signal(number)
                process.stdin.close()
                process.stdin = None
                self.assertEqual(process.wait(TIMEOUT_S), -number)
                self.assertEqual(finish(process)[2], "")
            self.assertIn(closes[0][0], (b"", b"half of"))
            self.assertEqual(closes[0][1:], (1011, "interrupted"))

    def test_what_comes_until_the_close_is_written(self):
        def serve(connection):
            self.ready(connection)
            connection.read_until_close()
            connection.send_frame(BINARY, b"the last words")
            connection.send_close(1011)

        with Server(serve) as server:
            process = self.client(server)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGINT)
            self.assertEqual(finish(process)[1], b"the last words")

    def test_while_waiting_with_q(self):
        closes = []

        def serve(connection):
            self.ready(connection)
            closes.append(connection.read_until_close()[1:])
            connection.send_close(1011)

        with Server(serve) as server:
            process = self.client(server, "-q", "none", stdin=subprocess.DEVNULL)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGINT)
        self.assertEqual(closes, [(1011, "interrupted")])

    def test_a_peer_that_does_not_answer_is_not_waited_for(self):
        """In the first case for as long as --close-timeout says, in the second until another signal."""
        for timeout in ("0.2", "none"):
            closed = threading.Event()

            def serve(connection):
                self.ready(connection)
                connection.read_until_close()
                closed.set()
                connection.drain()

            with self.subTest(timeout=timeout), Server(serve) as server:
                process = self.client(server, "--close-timeout", timeout)
                process.send_signal(signal.SIGINT)
                self.assertTrue(closed.wait(TIMEOUT_S))
                if timeout == "none":
                    process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGINT)

    def test_a_peer_that_takes_nothing_is_not_waited_for(self):
        with Held(lambda connection: connection.drain()) as server, open("/dev/zero", "rb") as zero:
            process = start("--close-timeout", "0.2", server.url, stdin=zero)
            self.addCleanup(lambda: (process.kill(), process.communicate()))
            self.wait_until_stuck(process)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGINT)

    def wait_until_stuck(self, process):
        """It has read as much of its input as it will."""
        before = -1
        while True:
            with open("/proc/%d/io" % process.pid, encoding="ascii") as file:
                read = int(re.search(r"rchar: (\d+)", file.read()).group(1))
            if read == before and read > 100000:
                return
            before = read
            time.sleep(0.2)

    def test_when_all_was_sent_it_ends_at_once(self):
        def serve(connection):
            self.ready(connection)
            closes.append(connection.read_until_close()[1])
            sent.set()
            connection.drain()

        closes, sent = [], threading.Event()
        with Server(serve) as server:
            process = self.client(server, "--close-timeout", "none")
            tasks = "/proc/%d/task" % process.pid
            before = len(os.listdir(tasks))
            process.stdin.close()
            process.stdin = None
            self.assertTrue(sent.wait(TIMEOUT_S))
            while len(os.listdir(tasks)) >= before:
                time.sleep(0.01)  # the thread that sends has a moment to live still
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGINT)
        self.assertEqual(closes, [1000])

    def test_while_it_connects(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(TIMEOUT_S)
            process = start("ws://127.0.0.1:%d/" % listener.getsockname()[1], "--close-timeout", "none")
            self.addCleanup(lambda: (process.kill(), process.communicate()))
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(TIMEOUT_S)
                Connection(sock).read_request()
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGINT)

    def test_a_listener_with_its_only_client(self):
        with Listener() as listener, Client(listener.url) as client:
            client.send(BINARY, b"x")
            self.assertEqual(listener.process.stdout.read(1), b"x")
            listener.process.send_signal(signal.SIGTERM)
            self.assertEqual(client.read_until_close(), (b"", 1011, "interrupted"))
            client.finish(1011)
            self.assertEqual(listener.process.wait(TIMEOUT_S), -signal.SIGTERM)

    def test_a_listener_without_a_client(self):
        for arguments in ([], ["--echo"]):
            with self.subTest(arguments=arguments), Listener(*arguments) as listener:
                listener.process.send_signal(signal.SIGINT)
                self.assertEqual(listener.process.wait(TIMEOUT_S), -signal.SIGINT)
                self.assertEqual(finish(listener.process)[2], "")

    def test_a_local_socket_goes_with_its_listener(self):
        with tempfile.TemporaryDirectory(prefix="wspipe-stop-") as directory:
            path = os.path.join(directory, "socket")
            with Listener(url="ws+unix://" + path) as listener:
                self.assertTrue(os.path.exists(path))
                listener.process.send_signal(signal.SIGTERM)
                self.assertEqual(listener.process.wait(TIMEOUT_S), -signal.SIGTERM)
                self.assertFalse(os.path.exists(path))

    def test_one_that_is_ignored_stays_so(self):
        def serve(connection):
            self.ready(connection)
            self.assertEqual(connection.read_until_close(), (b"all of it", 1000, ""))
            connection.send_close(1000)

        with Server(serve) as server:
            process = self.client(server, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
            process.send_signal(signal.SIGINT)
            self.assert_clean(finish(process, b"all of it"), b"")


if __name__ == "__main__":
    unittest.main(verbosity=1)
