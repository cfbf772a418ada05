# SPDX-License-Identifier: 0BSD
"""A terminal for wspipe, and a peer that waits, for the scripts test_wspipe*.py."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import threading
import unittest

from wspipe_command import ENVIRONMENT, start
from wspipe_peer import TIMEOUT_S, Server

COLUMNS = 80


def screen(text):
    """The lines that a terminal shows in the end, if none of them is too long for it."""
    lines, column = [""], 0
    for part in re.findall(r"\r|\n|\033\[K|\033\[[0-9;]*m|[^\r\n\033]+", text):
        if part == "\n":
            lines.append("")
            column = 0
        elif part == "\r":
            column = 0
        elif part == "\033[K":
            lines[-1] = lines[-1][:column]
        elif not part.startswith("\033"):
            lines[-1] = lines[-1][:column].ljust(column) + part + lines[-1][column + len(part):]
            column += len(part)
    return [line.rstrip() for line in lines]


class Terminal:
    """wspipe at one, which is the process's own, as Control-C needs it. Descriptors given are no part of it."""

    def __init__(self, *arguments, env=None, **settings):
        try:
            self.master, end = pty.openpty()
        except OSError as error:
            raise unittest.SkipTest("no pseudo-terminal here: %s" % error) from error
        self.resize(COLUMNS)
        self.text = ""
        environment = {**ENVIRONMENT, "TERM": "xterm", **(env or {})}
        if env is None:
            environment.pop("NO_COLOR", None)

        def become_leader():
            os.setsid()
            fcntl.ioctl(end, termios.TIOCSCTTY, 0)

        settings = {"stdin": end, "stdout": end, "stderr": end, **settings}
        try:
            self.process = start(*arguments, env=environment, preexec_fn=become_leader, **settings)
        finally:
            os.close(end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self.master)

    def resize(self, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def type(self, data):
        os.write(self.master, data)

    def more(self):
        """Returns false at the end of all that has the terminal."""
        if not select.select([self.master], [], [], TIMEOUT_S)[0]:
            raise AssertionError("nothing more came behind %r" % self.text)
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False  # how a terminal without a program ends on Linux
        self.text += data.decode(errors="surrogateescape")
        return bool(data)

    def expect(self, pattern, start_at=0):
        """Waits for it; returns the match."""
        while True:
            match = re.compile(pattern).search(self.text, start_at)
            if match:
                return match
            if not self.more():
                raise AssertionError("no %s in %r" % (pattern, self.text))

    def finish(self):
        """The exit status; all that was shown is in text."""
        while self.more():
            pass
        return self.process.wait(TIMEOUT_S)


class Held:
    """A server that reads nothing of its only connection until it is told how to go on."""

    def __init__(self, serve):
        self.go_on = threading.Event()
        self.server = Server(self.run)
        self.serve = serve

    def run(self, connection):
        connection.accept()
        assert self.go_on.wait(TIMEOUT_S), "nobody said so"
        self.serve(connection)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *details):
        self.go_on.set()
        self.server.__exit__(*details)

    @property
    def url(self):
        return self.server.url
