#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""The command wspipe where its own side fails: output that is full, closed or limited, input that is none, descriptors
that run out. In both roles: test_fault_wspipe.py WSPIPE [unittest arguments]"""

import os
import resource
import signal
import subprocess
import unittest

from wspipe_command import Case, Listener, finish, run, start
from wspipe_peer import BINARY, TIMEOUT_S, Client, Server

DATA = b"x" * 100
MUCH = 1 << 20


def limited_to(limit, size):
    def limit_it():
        resource.setrlimit(limit, (size, size))
    return limit_it


def closed(*numbers):
    def close_them():
        for number in numbers:
            os.close(number)
    return close_them


def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


def sigpipe_kills():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class Output(Case):
    """The peer sends; nothing of it finds a place. It must get an error, not the end."""

    OUTPUTS = [
        ("full disk", full_disk, None, "standard output: No space left on device"),
        ("broken pipe", broken_pipe, sigpipe_kills, "standard output: Broken pipe"),
        ("closed", None, closed(1), "standard output: Bad file descriptor"),
    ]

    def outputs(self):
        for name, make, before, text in self.OUTPUTS:
            with self.subTest(name):
                out = make() if make else os.open(os.devnull, os.O_WRONLY)
                try:
                    yield out, before, text
                finally:
                    os.close(out)

    def test_a_client_tells_its_server(self):
        for out, before, text in self.outputs():
            closes = []

            def serve(connection):
                connection.accept()
                connection.send_frame(BINARY, DATA)
                closes.append(connection.read_until_close()[:2])
                connection.send_close(1011)

            with Server(serve) as server:
                process = start(server.url, stdout=out, preexec_fn=before)
                process.wait(TIMEOUT_S)  # its input is not at its end
                self.assert_broken(finish(process), text)
            self.assertEqual(closes, [(b"", 1011)])

    def test_a_listener_tells_its_client(self):
        for out, before, text in self.outputs():
            with Listener(stdout=out, preexec_fn=before) as listener:
                with Client(listener.url) as client:
                    client.send(BINARY, DATA)
                    self.assertEqual(client.read_until_close()[:2], (b"", 1011))
                    client.finish(1011)
                    listener.process.wait(TIMEOUT_S)
                self.assert_broken(finish(listener.process), text)

    def test_another_wspipe_at_the_other_end_fails_too(self):
        for out, before, text in self.outputs():
            with Listener(stdout=out, preexec_fn=before) as listener:
                self.assert_broken(run(listener.url, data=os.urandom(MUCH)))
                listener.process.wait(TIMEOUT_S)
                self.assert_broken(finish(listener.process), text)

    def test_what_came_before_the_limit_is_written(self):
        """A file may have 1000 bytes; the 1001st is an error."""
        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"a" * 1000)
            connection.send_frame(BINARY, b"b")
            closes.append(connection.read_until_close()[1])
            connection.send_close(1011)

        def before():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            limited_to(resource.RLIMIT_FSIZE, 1000)()

        closes = []
        with Server(serve) as server, os.fdopen(os.memfd_create("out"), "w+b") as file:
            process = start(server.url, stdout=file, preexec_fn=before)
            process.wait(TIMEOUT_S)
            self.assert_broken(finish(process), "standard output: File too large")
            file.seek(0)
            self.assertEqual(file.read(), b"a" * 1000)
        self.assertEqual(closes, [1011])

    def test_events_that_find_no_place_are_no_fault(self):
        with Listener("-k", "--echo") as listener, open("/dev/full", "wb") as err:
            self.assertEqual(run("-v", listener.url, data=DATA, stderr=err)[:2], (0, DATA))


class Input(Case):
    """What can't be read is not the end of what there is to send."""

    INPUTS = [("closed", closed(0), "standard input: Bad file descriptor"),
              ("both closed", closed(0, 1), "standard (in|out)put: Bad file descriptor")]

    def test_a_client_tells_its_server(self):
        for name, before, text in self.INPUTS:
            closes = []

            def serve(connection):
                connection.accept()
                closes.append(connection.read_until_close()[:2])
                connection.send_close(1011)

            with self.subTest(name), Server(serve) as server:
                self.assert_broken(run(server.url, data=None, stdin=None, preexec_fn=before), text)
            self.assertEqual(closes, [(b"", 1011)])

    def test_a_listener_tells_its_client(self):
        for name, before, text in self.INPUTS:
            with self.subTest(name), Listener(stdin=None, preexec_fn=before) as listener:
                with Client(listener.url) as client:
                    self.assertEqual(client.read_until_close()[:2], (b"", 1011))
                    client.finish(1011)
                    listener.process.wait(TIMEOUT_S)
                self.assert_broken(finish(listener.process), text)

    def test_another_wspipe_at_the_other_end_fails_too(self):
        with Listener() as listener:
            self.assert_broken(run(listener.url, data=None, stdin=None, preexec_fn=closed(0)), "standard input")
            self.assert_broken(finish(listener.process, b""))


class Descriptors(Case):
    @unittest.skipIf(os.environ.get("WSPIPE_WRAPPER"), "the wrapper has no more of them, and fails first")
    def test_too_few_of_them_is_an_error_that_says_so(self):
        """From none to enough, one more each time."""
        good = 0
        with Listener("-k", "--echo") as listener:
            for limit in range(3, 64):
                result = run(listener.url, data=DATA, preexec_fn=limited_to(resource.RLIMIT_NOFILE, limit))
                if result[0] == 127:
                    continue  # not even its libraries could be opened
                if result[0] == 0:
                    self.assert_clean(result, DATA)
                    good += 1
                    if good == 3:
                        break
                    continue
                self.assert_broken(result, "RLIMIT_NOFILE|Too many open files")
                self.assertEqual(good, 0, "with %d it works no more" % limit)
            self.assertEqual(good, 3)
            self.assert_clean(run(listener.url, data=DATA), DATA)

    def test_a_listener_without_a_descriptor_left_goes_on_when_there_is_one(self):
        with Listener("-k", "--echo") as listener:
            used = {int(name) for name in os.listdir("/proc/%d/fd" % listener.process.pid)}
            free = min(set(range(len(used) + 1)) - used)
            resource.prlimit(listener.process.pid, resource.RLIMIT_NOFILE, (free, 4096))
            client = start(listener.url)
            client.stdin.write(DATA)
            client.stdin.flush()
            with self.assertRaises(subprocess.TimeoutExpired):
                client.wait(0.3)
            resource.prlimit(listener.process.pid, resource.RLIMIT_NOFILE, (4096, 4096))
            self.assert_clean(finish(client), DATA)
            self.assert_clean(run(listener.url, data=DATA), DATA)


if __name__ == "__main__":
    unittest.main(verbosity=1)
