# SPDX-License-Identifier: 0BSD
"""Running the command wspipe, for the scripts test_wspipe*.py: their first argument is its path."""

import os
import re
import shlex
import subprocess
import sys
import unittest

from wspipe_peer import TIMEOUT_S

WSPIPE = shlex.split(os.environ.get("WSPIPE_WRAPPER", "")) + [sys.argv.pop(1)]
# What the machine says about proxies is none of the tests' business.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def start(*arguments, **settings):
    settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENVIRONMENT,
                **settings}
    return subprocess.Popen([*WSPIPE, *arguments], **settings)


def finish(process, data=None):
    """(status, output, messages); the process never outlives the test."""
    try:
        out, err = process.communicate(data, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err.decode(errors="replace") if err is not None else ""


def run(*arguments, data=b"", **settings):
    return finish(start(*arguments, **settings), data)


class Listener:
    """wspipe -l in the background; .url is what it prints."""

    def __init__(self, *arguments, url="ws://127.0.0.1:0/", **settings):
        self.process = start("-l", *arguments, url, **settings)
        self.line = self.process.stderr.readline().decode()
        match = re.fullmatch(r"listening on (wss?://127\.0\.0\.1:[1-9][0-9]*/\S*|wss?\+unix://\S+)\n", self.line)
        if not match:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("wspipe -l said %r" % self.line)
        self.url = match.group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def messages_when_stopped(self):
        self.process.terminate()
        return finish(self.process)[2]


class Case(unittest.TestCase):
    def assert_clean(self, result, output=None):
        status, out, err = result
        self.assertEqual((status, err), (0, ""))
        if output is not None:
            self.assertTrue(out == output, "%d bytes where %d were expected" % (len(out), len(output)))

    def assert_broken(self, result, pattern="."):
        status, _, err = result
        self.assertEqual(status, 1, err)
        self.assertRegex(err, r"\Awspipe: [^\n]+\n\Z")
        self.assertRegex(err, pattern)

    def assert_usage(self, result, name):
        status, out, err = result
        self.assertEqual((status, out), (2, b""), err)
        self.assertRegex(err, r"\Awspipe: [^\n]+; try wspipe --help\n\Z")
        self.assertIn(name, err)
