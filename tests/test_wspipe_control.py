# SPDX-License-Identifier: 0BSD
"""wspipe as a service, what it tells, who starts and stops it: test_wspipe_control.py WSPIPE [unittest arguments]"""

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from wspipe_command import ENVIRONMENT, WSPIPE, Case, Listener, finish, run, start
from wspipe_peer import BINARY, TEXT, TIMEOUT_S, Client, Server


def events(text):
    return re.findall(r"^wspipe: event: (.*)$", text, re.M)


class Events(Case):
    def test_client_of_a_clean_connection(self):
        with Server(lambda c: (c.accept(), c.read_until_close(), c.send_close(1000, "bye \"\x07\u00fc"))) as server:
            status, out, err = run("-v", "--close-code", "4001", "--close-reason", "done", server.url, data=b"x")
        self.assertEqual((status, out), (0, b""))
        reason = r'received-reason="bye \x22\x07\xc3\xbc"'
        self.assertEqual(events(err), [
            "1 open", "1 close-received received=1000 " + reason,
            "1 closed clean=yes received=1000 " + reason + " sent=4001 sent-reason=\"done\""])

    def test_pings_and_pongs(self):
        def serve(connection):
            connection.accept()
            connection.send_frame(0x89, b"\x00ab")
            self.assertEqual(connection.read_frame(), (0x8a, b"\x00ab"))
            connection.send_frame(0x8a, b"unasked")
            connection.send_close(1000)
            connection.read_until_close()

        with Server(serve) as server:
            process = start("--events", server.url)
            process.wait(TIMEOUT_S)
            status, _, err = finish(process)
        self.assertEqual(status, 0)
        self.assertEqual(events(err)[1:3], [r'1 ping payload="\x00ab"', '1 pong payload="unasked" asked=no'])

    def test_what_breaks_a_rule(self):
        with Server(lambda c: (c.accept(), c.send_frame(0x83, b"?"), c.drain())) as server:
            process = start("-v", server.url)
            process.wait(TIMEOUT_S)
            _, _, err = finish(process)
        self.assertRegex("\n".join(events(err)),
                         r'\A1 open\n1 protocol-error error="[^"]+"\n1 closed clean=no [^\n]+\Z')

    def test_text_that_is_rejected(self):
        with Server(lambda c: (c.accept(), c.send_frame(TEXT, b"?"), c.read_until_close(),
                               c.send_close(1003))) as server:
            process = start("-v", server.url)
            process.wait(TIMEOUT_S)
            _, _, err = finish(process)
        self.assertIn("1 text-rejected", "\n".join(events(err)))

    def test_listener_numbers_its_connections(self):
        with Listener("-k", "-v", "--echo") as listener:
            for _ in range(2):
                self.assert_clean(run(listener.url, data=b"x"), b"x")
            found = events(listener.messages_when_stopped())
        ids = [line.split()[0] for line in found]
        self.assertEqual(len(set(ids)), 2)
        for number in set(ids):
            self.assertEqual([line.split()[1] for line in found if line.split()[0] == number],
                             ["open", "close-received", "closed"])

    def test_ping_interval(self):
        def serve(connection):
            connection.accept()
            for _ in range(2):
                first, payload = connection.read_frame()
                frames.append(first)
                connection.send_frame(0x8a, payload)
            connection.send_close(1000)
            connection.read_until_close()

        frames = []
        with Server(serve) as server:
            process = start("-v", "--ping", "0.2", server.url)
            process.wait(TIMEOUT_S)
            status, _, err = finish(process)
        self.assertEqual((status, frames), (0, [0x89, 0x89]))
        self.assertRegex("\n".join(events(err)), r'1 pong payload="[^"]*" asked=yes')


class Limits(Case):
    def test_connections(self):
        with Listener("-k", "--echo", "--max-connections", "2") as listener:
            first, second = Client(listener.url), Client(listener.url)
            self.assert_broken(run(listener.url), "503")
            with second:
                second.send_close(1000)
                second.read_until_close()
                # The server ends TCP first: then there is room.
                self.assertEqual(second.sock.recv(1), b"")
            self.served_in_the_end(listener)
            with first:
                first.send(BINARY, b"still here")
                first.send_close(1000)
                self.assertEqual(first.read_until_close()[0], b"still here")

    def served_in_the_end(self, listener):
        """The count goes down a moment after the peer sees the end."""
        while True:
            status, out, err = run(listener.url, data=b"x")
            if status == 0:
                self.assertEqual(out, b"x")
                return
            self.assertIn("503", err)

    def test_path(self):
        with Listener("-k", "--echo", "--path", "/here") as listener:
            url = "/".join(listener.url.split("/")[:3])
            self.assert_broken(run(url + "/there"), "404")
            self.assert_clean(run(url + "/here", data=b"x"), b"x")
            self.assert_clean(run(url + "/here?query", data=b"x"), b"x")

    def test_origin_patterns(self):
        with Listener("-k", "--echo", "--origin-allow", "https://*.example.org", "--origin-allow",
                      "http://localhost:*") as listener:
            for origin in ("https://a.example.org", "https://a.b.example.org", "http://localhost:8080"):
                self.assert_clean(run("--origin", origin, listener.url, data=b"x"), b"x")
            for origin in ("https://example.org", "https://a.example.com", "https://localhost:1"):
                self.assert_broken(run("--origin", origin, listener.url), "403")

    def test_usage(self):
        for arguments, name in [
                (["-l", "--max-connections", "0", "ws://a/"], "--max-connections"),
                (["-l", "--max-connections", "x", "ws://a/"], "--max-connections"),
                (["--max-connections", "1", "ws://a/"], "--max-connections"),
                (["-l", "--path", "here", "ws://a/"], "--path"),
                (["--path", "/here", "ws://a/"], "--path"),
                (["--ping", "often", "ws://a/"], "--ping"),
                (["--inetd", "ws://a/"], "--inetd"),
                (["--inetd", "--echo", "-k", "ws://a/"], "-k"),
                (["--inetd", "--echo", "--max-connections", "1", "ws://a/"], "--max-connections"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_usage(run(*arguments), name)


class Started(Case):
    """By somebody who has the socket already."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="wspipe-control-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def activated(self, *arguments, count=1, pid="$$", descriptor=None, **environment):
        """wspipe -l with the test's socket as descriptor 3, as systemd does it."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        # Somewhere else first: 3 may be the test's own.
        fd = os.dup(descriptor if descriptor is not None else listener.fileno())
        os.set_inheritable(fd, True)
        words = " ".join(map(shlex.quote, [*WSPIPE, "-l", *arguments]))
        script = "exec 3<&%d %d<&-; LISTEN_PID=%s; export LISTEN_PID; exec %s" % (fd, fd, pid, words)
        if fd == 3:
            script = "LISTEN_PID=%s; export LISTEN_PID; exec %s" % (pid, words)
        process = subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, pass_fds=[fd],
                                   env={**ENVIRONMENT, "LISTEN_FDS": str(count), **environment})
        os.close(fd)
        return process, "ws://127.0.0.1:%d/" % listener.getsockname()[1], listener

    def test_socket_of_systemd(self):
        command = "echo ${LISTEN_FDS-none} ${LISTEN_PID-none}; ls /proc/self/fd"
        process, url, listener = self.activated("-k", "--exec", command, "ws://localhost/")
        self.assertRegex(process.stderr.readline().decode(), r"\Alistening on ws://")
        listener.close()
        self.assertEqual(run(url)[1].decode().split(), ["none", "none", "0", "1", "2", "3"])
        process.terminate()
        self.assert_clean(finish(process), b"")

    def test_path_of_the_url_counts(self):
        process, url, _ = self.activated("-k", "--echo", "ws://localhost/here")
        process.stderr.readline()
        self.assert_broken(run(url), "404")
        self.assert_clean(run(url + "here", data=b"x"), b"x")
        process.terminate()
        self.assert_clean(finish(process), b"")

    def test_socket_for_another_process_is_not_taken(self):
        process, _, listener = self.activated("-k", "--echo", "ws://127.0.0.1:0/", pid="1")
        line = process.stderr.readline().decode()
        self.assertNotIn(":%d/" % listener.getsockname()[1], line)
        self.assertRegex(line, r"\Alistening on ws://127\.0\.0\.1:\d+/\n\Z")
        process.terminate()
        self.assert_clean(finish(process), b"")

    def test_what_can_not_be_used(self):
        process, _, _ = self.activated("--echo", "ws://localhost/", count=2)
        self.assert_broken(finish(process), "LISTEN_FDS")
        reader, writer = os.pipe()
        process, _, _ = self.activated("--echo", "ws://localhost/", descriptor=reader)
        os.close(reader)
        os.close(writer)
        self.assert_broken(finish(process))

    def test_notifications(self):
        for abstract in (False, True):
            with self.subTest(abstract=abstract), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
                path = os.path.join(self.directory, "notify")
                receiver.bind("\0" + path if abstract else path)
                receiver.settimeout(TIMEOUT_S)
                name = "@" + path if abstract else path
                with Listener("-k", "--echo", env={**ENVIRONMENT, "NOTIFY_SOCKET": name}) as listener:
                    self.assertEqual(receiver.recv(100), b"READY=1")
                    listener.process.terminate()
                    self.assertEqual(receiver.recv(100), b"STOPPING=1")
                    self.assert_clean(finish(listener.process))

    def inetd(self, *arguments, **settings):
        """wspipe with one end of a connection as descriptors 0 and 1, and the other end's port."""
        listener = socket.create_server(("127.0.0.1", 0))
        url = "ws://127.0.0.1:%d/" % listener.getsockname()[1]
        self.addCleanup(listener.close)
        client = start(url, stdin=subprocess.PIPE)
        server, _ = listener.accept()
        process = start("--inetd", *arguments, "ws://localhost/", stdin=server, stdout=server, **settings)
        server.close()
        return process, client

    def test_inetd_with_a_command(self):
        data = b"".join(b"%d\n" % i for i in range(100000, 0, -1))
        process, client = self.inetd("--exec", "sort -n; echo $REMOTE_ADDR")
        expected = b"".join(b"%d\n" % i for i in range(1, 100001)) + b"127.0.0.1\n"
        self.assert_clean(finish(client, data), expected)
        self.assertEqual(finish(process)[2], "")
        self.assertEqual(process.returncode, 0)

    def test_inetd_both_ways_at_once(self):
        data = os.urandom(3000000)
        process, client = self.inetd("--exec", "cat")
        self.assert_clean(finish(client, data), data)
        self.assertEqual(finish(process)[2], "")

    def test_inetd_answers_at_once(self):
        process, client = self.inetd("--exec", "while read -r line; do echo \"<$line>\"; done")
        for word in (b"one", b"two"):
            client.stdin.write(word + b"\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.read(len(word) + 3), b"<%s>\n" % word)
        self.assert_clean(finish(client), b"")
        self.assertEqual(finish(process)[2], "")

    def test_inetd_with_echo(self):
        process, client = self.inetd("--echo")
        self.assert_clean(finish(client, b"hello" * 100000), b"hello" * 100000)
        self.assertEqual(finish(process)[2], "")

    def test_inetd_with_progress(self):
        for mode in (["--echo"], ["--exec", "cat"]):
            with self.subTest(mode=mode):
                process, client = self.inetd(*mode, "--json", "--progress")
                self.assert_clean(finish(client, b"hello" * 100000), b"hello" * 100000)
                lines = [json.loads(line) for line in finish(process)[2].splitlines()]
                last = [line for line in lines if line["event"] == "progress"][-1]
                self.assertEqual((last["sent"], last["received"]), (500000, 500000))

    def test_inetd_never_writes_messages_to_the_socket(self):
        ours, theirs = socket.socketpair()
        process = start("--inetd", "--exec", "cat; exit 3", "ws://localhost/", stdin=theirs, stdout=theirs,
                        stderr=theirs)
        theirs.close()
        with ours:
            ours.settimeout(TIMEOUT_S)
            ours.sendall(b"no request at all\r\n\r\n")
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while data := ours.recv(4096):
                    answer += data
        self.assertEqual(process.wait(TIMEOUT_S), 1)
        self.assertNotIn(b"wspipe:", answer)

    def test_inetd_without_a_socket(self):
        self.assert_broken(run("--inetd", "--echo", "ws://localhost/", data=b""))


class Stopped(Case):
    def served(self, listener):
        """A client whose connection is surely accepted, not only ready to be."""
        client = Client(listener.url)
        client.send(BINARY, b"before")
        self.assertEqual(client.connection.exactly(8)[2:], b"before")
        return client

    def stop(self, listener, number=signal.SIGTERM):
        listener.process.send_signal(number)

    def test_open_connections_get_1001_and_end_in_time(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number=number), Listener("-k", "--echo") as listener:
                clients = [self.served(listener) for _ in range(3)]
                self.stop(listener, number)
                for client in clients:
                    self.assertEqual(client.read_until_close()[:2], (b"", 1001))
                    client.finish(1001)
                self.assert_clean(finish(listener.process), b"")

    def test_nobody_is_connected(self):
        for arguments in (["--echo"], ["--exec", "cat"], []):
            with self.subTest(arguments=arguments), Listener("-k", *arguments) as listener:
                self.stop(listener)
                self.assert_clean(finish(listener.process), b"")

    def test_no_new_connection_is_taken(self):
        with Listener("-k", "--echo") as listener:
            client = self.served(listener)
            self.stop(listener)
            self.assertEqual(client.read_until_close()[1], 1001)
            self.assertEqual(run(listener.url)[0], 1)
            client.finish(1001)
            self.assert_clean(finish(listener.process), b"")

    def test_commands_get_the_end_of_their_input(self):
        with tempfile.TemporaryDirectory(prefix="wspipe-control-") as directory:
            path = os.path.join(directory, "all")
            with Listener("-k", "--exec", "echo ready; cat >%s.part; mv %s.part %s" % (path, path, path)) as listener:
                client = Client(listener.url)
                self.assertEqual(client.connection.exactly(8)[2:], b"ready\n")
                self.stop(listener)
                self.assertEqual(client.read_until_close()[1], 1001)
                client.send(BINARY, b"the rest")
                client.finish(1001)
                self.assert_clean(finish(listener.process), b"")
            with open(path, "rb") as file:
                self.assertEqual(file.read(), b"the rest")

    def test_output_that_has_no_way_any_more_is_dropped(self):
        with Listener("-k", "--exec", "echo ready; cat >/dev/null; seq 100000") as listener:
            client = Client(listener.url)
            self.assertEqual(client.connection.exactly(8)[2:], b"ready\n")
            self.stop(listener)
            self.assertEqual(client.read_until_close()[1], 1001)
            client.finish(1001)
            self.assert_clean(finish(listener.process), b"")

    def test_peer_that_does_not_answer_is_not_waited_for(self):
        with Listener("-k", "--echo", "--kill-after", "0.2") as listener, self.served(listener):
            self.stop(listener)
            self.assert_broken(finish(listener.process), "in time")

    def test_command_that_does_not_end_is_killed(self):
        command = "trap '' TERM; echo $$; while :; do sleep 1000; done"
        with Listener("-k", "--exec", command, "--kill-after", "0.2") as listener:
            client = Client(listener.url)
            pid = int(client.connection.exactly(2 + 1)[2:] + self.rest_of_line(client))
            self.stop(listener)
            self.assertEqual(client.read_until_close()[1], 1001)
            client.finish(1001)
            status, _, err = finish(listener.process)
            self.assertEqual(status, 1)
            self.assertIn("in time", err)
        # Whoever reaps orphans here does so soon; until then it is a zombie.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            while True:
                os.kill(pid, 0)
                with open("/proc/%d/stat" % pid, encoding="ascii") as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        break
                time.sleep(0.01)

    @staticmethod
    def rest_of_line(client):
        text = b""
        while not text.endswith(b"\n"):
            text += client.connection.exactly(1)
        return text

    def test_second_signal_ends_at_once(self):
        with Listener("-k", "--echo", "--kill-after", "none") as listener, self.served(listener) as client:
            self.stop(listener)
            self.assertEqual(client.read_until_close()[1], 1001)
            self.stop(listener)
            self.assertEqual(listener.process.wait(TIMEOUT_S), -signal.SIGTERM)

    def test_one_after_another(self):
        with Listener("-k", stdin=subprocess.DEVNULL) as listener, Client(listener.url) as client:
            client.send(BINARY, b"some\n")
            self.assertEqual(listener.process.stdout.readline(), b"some\n")
            self.stop(listener)
            self.assertEqual(client.read_until_close()[1], 1001)
            client.finish(1001)
            self.assert_clean(finish(listener.process), b"")

    def test_interrupt_that_is_ignored_stays_so(self):
        with Listener("-k", "--echo", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as listener:
            self.stop(listener, signal.SIGINT)
            self.assert_clean(run(listener.url, data=b"x"), b"x")


if __name__ == "__main__":
    unittest.main(verbosity=1)
