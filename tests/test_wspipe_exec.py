# SPDX-License-Identifier: 0BSD
"""wspipe --exec: a command for each connection: test_wspipe_exec.py WSPIPE [unittest arguments]"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from wspipe_command import ENVIRONMENT, Case, Listener, finish, run, start
from wspipe_peer import BINARY, TIMEOUT_S, Client, connect

CLIENTS = 8 if os.environ.get("WSPIPE_WRAPPER") else 50  # under valgrind so many would not shake hands in time


class Fifo:
    """A pipe with a name: a command says something there, and its end is seen when nobody has it open any more."""

    def __init__(self, directory, name="fifo"):
        self.path = os.path.join(directory, name)
        os.mkfifo(self.path)
        # Both ways, so that nobody's open waits for the other, until the command has written its first line.
        self.fd = os.open(self.path, os.O_RDWR)
        self.file = os.fdopen(os.open(self.path, os.O_RDONLY), "rb", buffering=0)

    def line(self):
        text = b""
        while not text.endswith(b"\n"):
            text += self.file.read(1)
        return text.decode().strip()

    def wait_for_end(self):
        """All that is still said, when the last writer has gone."""
        os.close(self.fd)
        self.fd = -1
        return self.file.read()

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.file.close()


class ExecCase(Case):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="wspipe-exec-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def fifo(self, name="fifo"):
        fifo = Fifo(self.directory, name)
        self.addCleanup(fifo.close)
        return fifo

    def error_line(self, listener):
        return listener.process.stderr.readline().decode()


class Data(ExecCase):
    def test_sort_answers_when_the_client_has_said_all(self):
        lines = subprocess.run("seq 100000 | shuf", shell=True, stdout=subprocess.PIPE, check=True).stdout
        with Listener("-k", "--exec", "sort -n") as listener:
            expected = b"".join(b"%d\n" % i for i in range(1, 100001))
            for _ in range(2):
                self.assert_clean(run(listener.url, data=lines), expected)
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_without_keep_one_command_is_the_service(self):
        with Listener("--exec", "tr a-z A-Z") as listener:
            self.assert_clean(run(listener.url, data=b"hello\n"), b"HELLO\n")
            self.assert_clean(finish(listener.process), b"")

    def test_many_clients_at_once(self):
        lines = b"".join(b"%d\n" % i for i in range(20000, 0, -1))
        expected = b"".join(b"%d\n" % i for i in range(1, 20001))
        with Listener("-k", "--exec", "sort -n") as listener:
            clients = [start(listener.url) for _ in range(CLIENTS)]
            results = [None] * CLIENTS
            threads = [threading.Thread(target=lambda i=i: results.__setitem__(i, finish(clients[i], lines)))
                       for i in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for result in results:
                self.assert_clean(result, expected)
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_both_ways_at_once_and_whole(self):
        data = os.urandom(5000000)
        with Listener("-k", "--exec", "cat") as listener:
            self.assert_clean(run(listener.url, data=data), data)

    def test_answers_go_out_as_they_are_written(self):
        with Listener("-k", "--exec", "while read -r line; do echo \"<$line>\"; done") as listener:
            client = start(listener.url, bufsize=0)
            for word in (b"one", b"two"):
                client.stdin.write(word + b"\n")
                self.assertEqual(client.stdout.read(len(word) + 3), b"<%s>\n" % word)
            self.assert_clean(finish(client), b"")

    def test_output_without_any_input(self):
        with Listener("-k", "--exec", "seq 100000") as listener:
            client = start("-q", "none", listener.url)
            self.assertEqual(client.wait(TIMEOUT_S) if not client.stdout.read() else 0, 0)
            finish(client)
            self.assert_clean(run(listener.url), b"".join(b"%d\n" % i for i in range(1, 100001)))

    def test_command_that_does_not_want_all(self):
        with Listener("-k", "--exec", "head -n 1") as listener:
            self.assert_clean(run(listener.url, data=b"first\n" * 500000), b"first\n")
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_command_whose_output_goes_elsewhere_gets_all_its_input(self):
        data = os.urandom(3000000)
        path = os.path.join(self.directory, "upload")
        with Listener("-k", "--exec", "exec cat >" + path) as listener:
            self.assert_clean(run(listener.url, data=data), b"")
        with open(path, "rb") as file:
            self.assertTrue(file.read() == data)

    def test_command_that_closed_its_output_and_runs_on_keeps_no_connection(self):
        fifo = self.fifo()
        command = "trap '' PIPE; echo $$ >%s; echo before; exec >&-; exec sleep 1000 3>%s" % (fifo.path, fifo.path)
        with Listener("-k", "--kill-after", "0.2", "--exec", command) as listener:
            self.assert_clean(run(listener.url), b"before\n")
            pid = int(fifo.line())
            os.kill(pid, 0)
            os.kill(pid, signal.SIGKILL)
            fifo.wait_for_end()
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_text(self):
        with Listener("-k", "-t", "--exec", "cat") as listener:
            self.assert_clean(run("-t", listener.url, data="grüße\n".encode() * 50000), "grüße\n".encode() * 50000)


class Ends(ExecCase):
    def test_exit_status_is_told(self):
        with Listener("-k", "--exec", "cat; exit 3") as listener:
            result = run(listener.url, data=b"data")
            self.assert_broken(result, r"1011.*exit status 3")
            self.assertEqual(result[1], b"data")
            self.assertRegex(self.error_line(listener), r"\Awspipe: 127\.0\.0\.1:\d+: command: exit status 3\n\Z")

    def test_signal_is_told(self):
        with Listener("-k", "--exec", "kill -9 $$") as listener:
            self.assert_broken(run(listener.url), r"1011.*killed by signal 9")
            self.assertRegex(self.error_line(listener), r"command: killed by signal 9\n\Z")

    def test_missing_command(self):
        with Listener("-k", "--exec", "/no/such/command") as listener:
            self.assert_broken(run(listener.url, data=b"x" * 1000000), r"1011.*exit status 127")
            log = self.error_line(listener) + self.error_line(listener)
            self.assertRegex(log, r"/no/such/command.*not found")
            self.assertRegex(log, r"wspipe: 127\.0\.0\.1:\d+: command: exit status 127\n")
            # And the next one is served.
            self.assert_broken(run(listener.url), r"1011.*exit status 127")

    def test_status_of_the_service_without_keep(self):
        with Listener("--exec", "exit 7") as listener:
            self.assert_broken(run(listener.url), "exit status 7")
            self.assert_broken(finish(listener.process), "command: exit status 7")

    def test_close_code_and_reason(self):
        with Listener("-k", "--close-code", "4001", "--close-reason", "done", "--exec", "cat") as listener:
            with Client(listener.url) as client:
                client.send(BINARY, b"ab")
                client.send_close(1000)
                self.assertEqual(client.read_until_close(), (b"ab", 4001, "done"))

    def test_command_has_default_signals(self):
        with Listener("-k", "--exec", "exec sed -n -e '/^SigBlk/p' -e '/^SigIgn/p' /proc/self/status") as listener:
            out = run(listener.url)[1].decode()
        masks = {name: int(value, 16) for name, value in re.findall(r"^(\w+):\s*(\w+)$", out, re.M)}
        self.assertEqual(masks["SigBlk"], 0)
        self.assertEqual(masks["SigIgn"] & 1 << (signal.SIGPIPE - 1), 0)


class Gone(ExecCase):
    """Whatever happens to the peer, no command is left behind. Its end is seen by the fifo it has open."""

    def command(self, fifo, rest):
        return "exec 3>%s; echo ready >&3; %s" % (fifo.path, rest)

    def test_peer_killed_while_the_command_runs(self):
        fifo = self.fifo()
        with Listener("-k", "--exec", self.command(fifo, "cat; sleep 1000")) as listener:
            client = start(listener.url)
            client.stdin.write(b"x")
            client.stdin.flush()
            self.assertEqual(fifo.line(), "ready")
            client.kill()
            finish(client)
            self.assertEqual(fifo.wait_for_end(), b"")
            self.assertRegex(self.error_line(listener), r"\Awspipe: 127\.0\.0\.1:\d+: [^\n]+\n\Z")

    def test_peer_that_cuts_after_its_close_is_missed_too(self):
        fifo = self.fifo()
        with Listener("-k", "--exec", self.command(fifo, "sleep 1000")) as listener:
            client = Client(listener.url)
            client.send_close(1000)
            self.assertEqual(fifo.line(), "ready")
            client.reset()
            self.assertEqual(fifo.wait_for_end(), b"")

    def test_peer_lost_while_the_command_takes_nothing(self):
        fifo = self.fifo()
        with Listener("-k", "--exec", self.command(fifo, "sleep 1000")) as listener:
            client = start(listener.url)
            self.assertEqual(fifo.line(), "ready")
            # More than a pipe holds: the command's input is full.
            client.stdin.write(b"x" * 200000)
            client.stdin.flush()
            client.kill()
            with contextlib.suppress(BrokenPipeError):
                finish(client)
            self.assertEqual(fifo.wait_for_end(), b"")

    def test_abnormal_close(self):
        fifo = self.fifo()
        with Listener("-k", "--exec", self.command(fifo, "sleep 1000")) as listener:
            with Client(listener.url) as client:
                self.assertEqual(fifo.line(), "ready")
                client.send_close(1011)
                self.assertEqual(fifo.wait_for_end(), b"")
            self.assertIn("1011", self.error_line(listener))

    def test_part_of_the_input_is_not_taken_for_the_whole(self):
        fifo = self.fifo()
        path = os.path.join(self.directory, "whole")
        command = self.command(fifo, "cat >%s.part; mv %s.part %s" % (path, path, path))
        with Listener("-k", "--exec", command) as listener:
            client = Client(listener.url)
            client.send(BINARY, b"part")
            self.assertEqual(fifo.line(), "ready")
            client.reset()
            self.assertEqual(fifo.wait_for_end(), b"")
        self.assertFalse(os.path.exists(path))

    def test_command_that_ignores_sigterm_is_killed(self):
        fifo = self.fifo()
        command = self.command(fifo, "trap '' TERM; echo deaf >&3; while :; do sleep 1000; done")
        with Listener("-k", "--kill-after", "0.1", "--exec", command) as listener:
            client = Client(listener.url)
            self.assertEqual((fifo.line(), fifo.line()), ("ready", "deaf"))
            client.reset()
            self.assertEqual(fifo.wait_for_end(), b"")

    def test_command_that_ignores_sigterm_gets_the_end_of_its_input(self):
        fifo = self.fifo()
        command = self.command(fifo, "trap '' TERM; echo deaf >&3; cat >/dev/null; echo end >&3")
        with Listener("-k", "--kill-after", "none", "--exec", command) as listener:
            client = Client(listener.url)
            self.assertEqual((fifo.line(), fifo.line()), ("ready", "deaf"))
            client.reset()
            self.assertEqual(fifo.wait_for_end(), b"end\n")

    def test_no_zombies_and_no_descriptors_are_left(self):
        with Listener("-k", "--exec", "cat") as listener:
            pid = listener.process.pid
            self.assert_clean(run(listener.url, data=b"x"), b"x")
            self.wait_until(lambda: self.children(pid) == [])
            before = len(self.pipes(pid))
            for _ in range(20):
                self.assert_clean(run(listener.url, data=b"x"), b"x")
            connect(listener.url).reset()
            self.error_line(listener)
            self.wait_until(lambda: self.children(pid) == [] and len(self.pipes(pid)) <= before)

    def wait_until(self, condition):
        """What is done behind the client's back is done a moment later."""
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    @staticmethod
    def children(pid):
        return subprocess.run(["ps", "-o", "stat=", "--ppid", str(pid)], stdout=subprocess.PIPE, text=True,
                              check=False).stdout.split()

    def pipes(self, pid):
        links = [self.link(pid, fd) for fd in os.listdir("/proc/%d/fd" % pid)]
        return [link for link in links if link.startswith("pipe:")]

    @staticmethod
    def link(pid, fd):
        try:
            return os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            return ""


class Surroundings(ExecCase):
    def environment(self, *arguments, path="/", extra="", settings=None):
        with Listener("-k", *arguments, "--exec", "env -0", **(settings or {})) as listener:
            with Client(listener.url, path, extra) as client:
                port = client.sock.getsockname()[1]
                client.send_close(1000)
                data, code, _ = client.read_until_close()
        self.assertEqual(code, 1000)
        server = listener.url.rsplit(":", 1)[1].split("/")[0]
        return dict(entry.split("=", 1) for entry in data.decode().split("\0") if entry), port, server

    def test_variables_of_cgi(self):
        variables, port, server = self.environment(
            path="/a%20b/c?x=1&y=%20", extra="User-Agent: peer/1\r\nCookie: a=b\r\nX-Forwarded-For: 192.0.2.1\r\n")
        self.assertEqual({name: variables.get(name) for name in (
            "REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR", "SERVER_PORT", "SERVER_NAME", "SERVER_PROTOCOL",
            "GATEWAY_INTERFACE", "REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "SCRIPT_NAME",
            "HTTP_HOST", "HTTP_USER_AGENT", "HTTP_COOKIE", "HTTP_X_FORWARDED_FOR", "PATH")}, {
                "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": str(port), "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": server,
                "SERVER_NAME": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
                "REQUEST_METHOD": "GET", "REQUEST_URI": "/a%20b/c?x=1&y=%20", "PATH_INFO": "/a b/c",
                "QUERY_STRING": "x=1&y=%20", "SCRIPT_NAME": "", "HTTP_HOST": "127.0.0.1:" + server,
                "HTTP_USER_AGENT": "peer/1", "HTTP_COOKIE": "a=b", "HTTP_X_FORWARDED_FOR": "192.0.2.1",
                "PATH": os.environ["PATH"]})
        self.assertRegex(variables["SERVER_SOFTWARE"], r"\Awsfile/\d")

    def test_no_header_becomes_a_variable_that_programs_obey(self):
        variables, _, _ = self.environment(
            extra="Proxy: http://evil.example/\r\nAuthorization: Basic c2VjcmV0\r\nX-Any: 1\r\nLD-Preload: evil\r\n")
        self.assertEqual({name for name in variables if name.startswith("HTTP_")}, {"HTTP_HOST"})
        self.assertNotIn("evil", "".join(variables.values()))
        self.assertNotIn("c2VjcmV0", "".join(variables.values()))

    def test_what_was_inherited_can_not_pass_for_the_request(self):
        inherited = {**ENVIRONMENT, "HTTP_PROXY": "http://evil.example/", "HTTP_COOKIE": "old", "REMOTE_USER": "root",
                     "HTTPS": "on", "WS_TLS_PEER": "CN=root", "LISTEN_FDS": "1", "NOTIFY_SOCKET": "/nowhere",
                     "KEPT": "yes"}
        variables, _, _ = self.environment(settings={"env": inherited})
        for name in ("HTTP_PROXY", "HTTP_COOKIE", "REMOTE_USER", "HTTPS", "WS_TLS_PEER", "LISTEN_FDS", "NOTIFY_SOCKET"):
            self.assertNotIn(name, variables)
        self.assertEqual(variables["KEPT"], "yes")

    def test_subprotocol(self):
        variables, _, _ = self.environment("--subprotocol", "lines", extra="Sec-WebSocket-Protocol: other, lines\r\n")
        self.assertEqual(variables["WS_SUBPROTOCOL"], "lines")
        self.assertEqual(variables["HTTP_SEC_WEBSOCKET_PROTOCOL"], "other, lines")

    def test_request_that_fits_no_environment_is_refused(self):
        with Listener("-k", "--exec", "cat") as listener:
            for path in ("/%00", "/%zz", "/%4", "/" + "x" * 300):
                with self.subTest(path=path), Client(listener.url, path) as client:
                    self.assertEqual(client.read_until_close()[:2], (b"", 1008))
                    client.finish(1008)
                    self.assertRegex(self.error_line(listener), r"\Awspipe: 127\.0\.0\.1:\d+: the [^\n]+\n\Z")

    def test_local_socket(self):
        url = "ws+unix://%s/socket" % self.directory
        with Listener("-k", "--exec", "echo \"$REMOTE_ADDR ${REMOTE_PORT-none}\"", url=url) as listener:
            status, out, _ = run(listener.url)
        self.assertEqual(status, 0)
        self.assertRegex(out.decode(), r"\Aunix:\S* none\n\Z")

    def test_descriptors_of_others_do_not_leak_into_a_command(self):
        # Another connection with its pipes is open meanwhile. 255 is where some shells keep their script.
        fifo = self.fifo()
        with Listener("-k", "--exec", "read -r word; echo ready >%s; [ -z \"$word\" ] || exec ls /proc/self/fd; cat"
                      % fifo.path) as listener:
            first = start(listener.url, bufsize=0)
            first.stdin.write(b"\n")
            fifo.line()
            status, out, err = run(listener.url, data=b"list\n")
            self.assertEqual((status, err), (0, ""))
            # The last one is the directory that ls itself has open.
            self.assertEqual(out.decode().split(), ["0", "1", "2", "3"])
            self.assert_clean(finish(first, b"rest"), b"rest")

    def test_standard_input_and_output_of_the_service_are_not_used(self):
        with Listener("-k", "--exec", "cat", stdin=subprocess.DEVNULL) as listener:
            self.assert_clean(run(listener.url, data=b"x"), b"x")
            listener.process.terminate()
            self.assertEqual(finish(listener.process)[1], b"")

    def test_usage(self):
        for arguments, name in [
                (["--exec", "cat", "ws://a/"], "--exec"),
                (["-l", "--exec", "", "ws://a/"], "--exec"),
                (["-l", "--exec", "cat", "--echo", "ws://a/"], "--exec"),
                (["-l", "--exec", "cat", "-q", "1", "ws://a/"], "-q"),
                (["-l", "--kill-after", "1", "ws://a/"], "--kill-after"),
                (["-l", "--exec", "cat", "--kill-after", "soon", "ws://a/"], "--kill-after"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_usage(run(*arguments), name)


if __name__ == "__main__":
    unittest.main(verbosity=1)
