#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""Packets through wspipe to a program that knows only libpcap: test_packets.py WSPIPE PACKETS [unittest arguments]

Each packet has to be printed at the other end before the next is sent. Exit 77: nothing failed, but tshark or tcpdump is
not here, or may not capture.
"""

import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# pylint: disable=wrong-import-position
from wspipe_command import finish, start
from wspipe_peer import TIMEOUT_S

PACKETS = sys.argv.pop(1)
COUNT = 20
# A capture that has begun sees one of these; there is no event for that.
AGAIN_S = 0.2


def header():
    return struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)


def packet(payload):
    return struct.pack("<IIII", 1700000000, 0, len(payload), len(payload)) + payload


class Reader:
    """The program packets; its lines come through a queue."""

    def __init__(self):
        self.process = subprocess.Popen([PACKETS, "ws://127.0.0.1:0/"], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.url = re.fullmatch(r"listening on (\S+)\n", self.process.stdout.readline().decode()).group(1)
        self.lines = queue.Queue()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode())
        self.lines.put(None)

    def line(self, timeout=TIMEOUT_S):
        return self.lines.get(timeout=timeout)

    def finish(self):
        """(status, messages)"""
        status = self.process.wait(timeout=TIMEOUT_S)
        return status, self.process.stderr.read().decode()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


class Packets(unittest.TestCase):
    def setUp(self):
        self.reader = Reader()
        self.addCleanup(self.reader.end)
        self.pipe = self.sender = self.capture = None

    def start_pipe(self, **settings):
        self.pipe = start(self.reader.url, stdout=subprocess.DEVNULL, **settings)
        self.addCleanup(self.end, self.pipe)

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def send_slowly(self):
        """From a program that writes one packet when the one before has been printed."""
        self.start_pipe()
        self.pipe.stdin.write(header())
        for number in range(COUNT):
            self.pipe.stdin.write(packet(b"packet %d of a program" % number))
            self.pipe.stdin.flush()
            self.assertIn("packet %d of a program\n" % number, self.reader.line())

    def test_each_packet_of_a_slow_program_is_there_when_it_is_written(self):
        self.send_slowly()
        self.assertEqual(finish(self.pipe)[0], 0)
        self.assertEqual(self.reader.finish(), (0, ""))
        self.assertIsNone(self.reader.line())

    def test_a_pipe_that_is_killed_is_no_end_of_the_capture(self):
        self.send_slowly()
        self.pipe.kill()
        status, messages = self.reader.finish()
        self.assertEqual(status, 1)
        self.assertIn("reset by peer", messages)

    def send_one(self, text):
        self.sender.sendto(text.encode(), self.receiver.getsockname())

    def await_capture(self):
        """What has begun is seen by what comes of it; else it has ended, and says why."""
        while True:
            self.send_one("begin")
            try:
                line = self.reader.line(timeout=AGAIN_S)
            except queue.Empty:
                if self.capture.poll() is not None:
                    messages = self.capture.stderr.read().decode()
                    self.skipTest("no capture: %s" % messages.strip().replace("\n", "; "))
                continue
            self.assertRegex(line, r"begin\n\Z")
            return

    def open_sockets(self):
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.receiver.close)
        self.receiver.bind(("127.0.0.1", 0))
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.sender.close)

    def captures(self, name, *arguments):
        program = shutil.which(name)
        if program is None:
            self.skipTest("%s is not here" % name)
        self.open_sockets()
        filtered = "udp dst port %d" % self.receiver.getsockname()[1]
        self.capture = subprocess.Popen([program, "-i", "lo", "-w", "-", *arguments, filtered],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, self.capture)
        self.start_pipe(stdin=self.capture.stdout)
        self.await_capture()
        for number in range(COUNT):
            self.send_one("packet %d of %s" % (number, name))
            line = self.reader.line()
            while line.endswith("begin\n"):
                line = self.reader.line()
            self.assertIn("packet %d of %s\n" % (number, name), line)
        self.capture.send_signal(signal.SIGINT)
        self.capture.wait(timeout=TIMEOUT_S)
        self.assertEqual(self.pipe.wait(timeout=TIMEOUT_S), 0)
        self.assertEqual(self.reader.finish(), (0, ""))

    def test_each_packet_is_there_when_tcpdump_has_captured_it(self):
        self.captures("tcpdump", "-U", "--immediate-mode")

    def test_each_packet_is_there_when_tshark_has_captured_it(self):
        self.captures("tshark", "-q", "-f")


if __name__ == "__main__":
    outcome = unittest.main(exit=False, verbosity=2).result
    sys.exit(1 if not outcome.wasSuccessful() else 77 if outcome.skipped else 0)
