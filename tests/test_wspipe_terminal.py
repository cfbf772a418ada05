# SPDX-License-Identifier: 0BSD
"""wspipe at a terminal: test_wspipe_terminal.py WSPIPE [unittest arguments]"""

import os
import re
import signal
import subprocess
import threading
import unittest

from wspipe_command import Case, Listener
from wspipe_peer import BINARY, TIMEOUT_S, Server
from wspipe_terminal import COLUMNS, Held, Terminal, screen


def take_all(connection):
    code = connection.read_until_close()[1]
    connection.send_close(code)


class Progress(Case):
    STATUS = (r"\rsent (\S+) received 0B (\d+:\d\d:\d\d) \[\S+/s\] ((?:\(\S+/s\) )?)(\[=*>? *\])\s+(\d+)% "
              r"ETA \d+:\d\d:\d\d")

    def upload(self, server, *arguments, **settings):
        """32 MiB of a file: more than any socket takes."""
        file = os.memfd_create("in")
        self.addCleanup(os.close, file)
        os.truncate(file, 32 << 20)
        return Terminal("--progress", *arguments, server.url, stdin=file, stdout=subprocess.DEVNULL, **settings)

    def test_line_of_an_upload_is_rewritten_and_then_a_summary(self):
        with Held(take_all) as server, self.upload(server) as terminal:
            first = terminal.expect(self.STATUS)
            self.assertLess(len(first.group(0)) - 1, COLUMNS)
            self.assertLess(int(first.group(5)), 100)
            terminal.expect(self.STATUS, first.end())
            server.go_on.set()
            self.assertEqual(terminal.finish(), 0)
            lines = screen(terminal.text)
            self.assertEqual(len(lines), 2, lines)
            self.assertRegex(lines[0], r"\Asent 32\.0MiB, received 0B, \S+/s, 0:\d\d:\d\d\Z")
            self.assertEqual(lines[1], "")

    def test_line_is_as_wide_as_the_terminal_is_now(self):
        with Held(take_all) as server, self.upload(server) as terminal:
            wide = terminal.expect(self.STATUS)
            self.assertEqual(wide.group(3), "")
            for columns, average, bar in ((120, True, True), (40, False, False), (9, False, False)):
                terminal.resize(columns)
                # The one that is being written may not know yet.
                for _ in range(2):
                    start_at = len(terminal.text)
                    found = terminal.expect(r"\r(sent [^\r\033]*)(?=\r)", start_at)
                self.assertLess(len(found.group(1)), columns)
                self.assertEqual("(" in found.group(1), average, found.group(1))
                self.assertEqual(">" in found.group(1), bar, found.group(1))
            server.go_on.set()
            self.assertEqual(terminal.finish(), 0)

    def test_size_that_is_told_and_what_is_received(self):
        """The bar follows the direction that carries more."""
        def serve(connection):
            connection.send_frame(BINARY, b"x" * 1000000)
            assert told.wait(TIMEOUT_S)
            connection.send_frame(BINARY, b"x" * 1000000)
            connection.send_close(1000)
            connection.read_until_close()

        told = threading.Event()
        with Held(serve) as server:
            server.go_on.set()
            with Terminal("--progress", "--size", "2000000", "-q", "none", server.url, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as terminal:
                terminal.expect(r"\rsent 0B received 977KiB [^\r]*  50% ETA ")
                told.set()
                self.assertEqual(terminal.finish(), 0)
                self.assertEqual(screen(terminal.text)[0].split(", ")[:2], ["sent 0B", "received 1.91MiB"])

    def test_no_bar_without_a_size(self):
        with Held(take_all) as server:
            with Terminal("--progress", server.url, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as terminal:
                line = terminal.expect(r"\rsent 0B received 0B 0:00:0\d \[0B/s\] \(0B/s\)(?=\r)")
                self.assertNotIn("%", line.group(0))
                server.go_on.set()
                terminal.process.stdin.close()
                terminal.process.stdin = None
                self.assertEqual(terminal.finish(), 0)

    def test_a_message_takes_the_line_away(self):
        with Held(lambda connection: connection.reset()) as server, self.upload(server, "-v") as terminal:
            terminal.expect(self.STATUS)
            server.go_on.set()
            self.assertEqual(terminal.finish(), 1)
            lines = screen(terminal.text)
            self.assertEqual(lines[0], "wspipe: event: 1 open")
            self.assertTrue(any(re.match(r"wspipe: event: 1 transport-error ", line) for line in lines), lines)
            self.assertTrue(all(re.match(r"wspipe: |sent [^ ]+, received |\Z", line) for line in lines), lines)
            self.assertTrue(lines[-2].startswith("wspipe: "), lines)

    def test_received_lines_on_the_same_terminal_are_whole(self):
        def serve(connection):
            for word in (b"first\n", b"sec", b"ond\n"):
                assert steps.acquire(timeout=TIMEOUT_S)
                connection.send_frame(BINARY, word)
            connection.send_close(1000)
            connection.read_until_close()

        steps = threading.Semaphore(0)
        with Held(serve) as server:
            server.go_on.set()
            with Terminal("--progress", "-q", "none", server.url, stdin=subprocess.DEVNULL) as terminal:
                terminal.expect(r"sent 0B received 0B")
                steps.release()
                seen = terminal.expect("first\r\n")
                terminal.expect(r"\rsent 0B received 6B", seen.end())
                steps.release()
                terminal.expect("sec")
                steps.release()
                self.assertEqual(terminal.finish(), 0)
                lines = screen(terminal.text)
                self.assertEqual(lines[:2], ["first", "second"])
                self.assertRegex(lines[2], r"\Asent 0B, received 13B, ")

    def test_a_dumb_terminal_gets_no_commands(self):
        with Held(take_all) as server, self.upload(server, env={"TERM": "dumb"}) as terminal:
            terminal.expect(self.STATUS)
            server.go_on.set()
            self.assertEqual(terminal.finish(), 0)
            self.assertNotIn("\033", terminal.text)
            lines = screen(terminal.text)
            self.assertRegex(lines[0], r"\Asent 32\.0MiB, received 0B, \S+/s, 0:\d\d:\d\d\Z")

    def test_json_is_no_line_for_people(self):
        with Listener("-k", "--echo") as listener:
            with Terminal("--progress", "--json", listener.url, stdin=subprocess.DEVNULL) as terminal:
                self.assertEqual(terminal.finish(), 0)
                self.assertTrue(all(line[0] == "{" for line in terminal.text.splitlines()), terminal.text)


class Color(Case):
    def colored(self, *arguments, **env):
        with Terminal(*arguments, env=env) as terminal:
            terminal.finish()
            return "\033[" in terminal.text

    def test_on_a_terminal_and_as_the_environment_says(self):
        for arguments in (["--nonsense"], ["--help"]):
            with self.subTest(arguments=arguments):
                self.assertTrue(self.colored(*arguments, NO_COLOR=""))
                self.assertFalse(self.colored(*arguments, NO_COLOR="1"))
                self.assertFalse(self.colored(*arguments, NO_COLOR="", TERM="dumb"))
                self.assertFalse(self.colored(*arguments, NO_COLOR="", TERM=""))
                self.assertFalse(self.colored("--color=never", *arguments, NO_COLOR=""))
                self.assertTrue(self.colored("--color=always", *arguments, NO_COLOR="1", TERM="dumb"))

    def test_what_is_no_terminal_has_none(self):
        with Terminal("--help", stdout=subprocess.PIPE) as terminal:
            self.assertNotIn(b"\033", terminal.process.stdout.read())


class Typed(Case):
    def test_lines_and_the_end_of_input(self):
        closes = []

        def serve(connection):
            connection.accept()
            for line in (b"hello\n", b"world\n"):
                self.assertEqual(connection.read_frame(), (BINARY, line))
                connection.send_frame(BINARY, b"<" + line)
            closes.append(connection.read_until_close())
            connection.send_frame(BINARY, b"bye\n")
            connection.send_close(1000)

        with Server(serve) as server, Terminal(server.url) as terminal:
            terminal.type(b"hello\n")
            terminal.expect("<hello\r\n")
            terminal.type(b"world\n")
            terminal.expect("<world\r\n")
            terminal.type(b"\x04")
            self.assertEqual(terminal.finish(), 0)
            self.assertTrue(terminal.text.endswith("bye\r\n"), terminal.text)
        self.assertEqual(closes, [(b"", 1000, "")])

    def test_control_c_says_good_bye(self):
        closes = []

        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"ready\n")
            closes.append(connection.read_until_close())
            connection.send_close(1001)

        with Server(serve) as server, Terminal(server.url) as terminal:
            terminal.expect("ready")
            terminal.type(b"a line\n\x03")
            self.assertEqual(terminal.finish(), -signal.SIGINT)
            self.assertNotIn("wspipe:", terminal.text)
        self.assertEqual(closes, [(b"a line\n" if closes[0][0] else b"", 1001, "interrupted")])


class Harmless(Case):
    """What a peer may do to the terminal: nothing."""

    def shown(self, *frames):
        def serve(connection):
            connection.accept()
            for frame in frames:
                connection.send_frame(BINARY, frame)
            connection.send_close(1000)
            connection.read_until_close()

        with Server(serve) as server, Terminal("-q", "none", server.url, stdin=subprocess.DEVNULL) as terminal:
            self.assertEqual(terminal.finish(), 0)
            return terminal.text

    def test_controls_are_shown(self):
        self.assertEqual(self.shown(b"a\033[31mred\x07\x7f\x00\n"), "a^[[31mred^G^?^@\r\n")
        self.assertEqual(self.shown(b"\xc2\x9b31m\n"), "\\xc2\\x9b31m\r\n")
        self.assertEqual(self.shown(b"\ttab\r\n"), "\ttab\r\r\n")

    def test_text_is_text_wherever_it_is_cut(self):
        text = "grüße, 世界 🎉\n".encode()
        self.assertEqual(self.shown(*(text[i:i + 1] for i in range(len(text)))), "grüße, 世界 🎉\r\n")

    def test_what_is_no_text_is_shown_as_digits(self):
        text = self.shown(b"\xff\xc3", b"(\xe4\xb8", b"\n\xf0\x9f\x8e")
        self.assertEqual(text, "\\xff\\xc3(\\xe4\\xb8\r\n\\xf0\\x9f\\x8e")

    def test_much_of_it(self):
        text = self.shown(b"\x01" * 200000 + b"\n")
        self.assertEqual(text, "^A" * 200000 + "\r\n")

    def test_a_pipe_gets_all_bytes(self):
        data = bytes(range(256)) * 100
        with Listener("-k", "--echo") as listener:
            with Terminal(listener.url, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as terminal:
                self.assertEqual(terminal.process.communicate(data, timeout=TIMEOUT_S)[0], data)

    def test_an_error_has_a_line_of_its_own(self):
        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"no newline")
            connection.send_close(1011, "\033[2Jclear")
            connection.read_until_close()

        with Server(serve) as server, Terminal("-q", "none", "--color=never", server.url,
                                               stdin=subprocess.DEVNULL) as terminal:
            self.assertEqual(terminal.finish(), 1)
            self.assertRegex(terminal.text, r"\Ano newline\r\nwspipe: [^\r\n]*\?\[2Jclear\r\n\Z")


if __name__ == "__main__":
    unittest.main(verbosity=1)
