# SPDX-License-Identifier: 0BSD
"""wspipe at a terminal: test_wspipe_terminal.py WSPIPE [unittest arguments]"""

import os
import re
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


if __name__ == "__main__":
    unittest.main(verbosity=1)
