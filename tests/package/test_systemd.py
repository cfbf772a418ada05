# SPDX-License-Identifier: 0BSD
"""The example units are good ones, and their services serve: test_systemd.py WSPIPE [unittest arguments]

There need be no systemd running: systemd-socket-activate plays its part. Exit 77: it is not here.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

from parcel import ENVIRONMENT, SOURCE, TIMEOUT_S, main, need, read, run

WSPIPE = os.path.abspath(sys.argv.pop(1))
UNITS = os.path.join(SOURCE, "tools", "systemd")
NAMES = sorted(os.listdir(UNITS))
# Of 100: "SAFE". What keeps it from 0 is that the service runs in the system's own root directory and the like.
MOST_EXPOSED = 10


def settings(name, key):
    """Its values in a unit file, in order."""
    return [line.partition("=")[2] for line in read("tools", "systemd", name).splitlines()
            if line.startswith(key + "=")]


class Units(unittest.TestCase):
    def setUp(self):
        self.analyze = need("systemd-analyze")
        directory = tempfile.TemporaryDirectory(prefix="wsfile-units.")
        self.addCleanup(directory.cleanup)
        self.units = []
        for name in NAMES:
            self.units.append(os.path.join(directory.name, name.replace(".in", "")))
            with open(self.units[-1], "w", encoding="utf-8") as file:
                file.write(read("tools", "systemd", name).replace("@bindir@", os.path.dirname(WSPIPE)))

    def test_systemd_has_nothing_to_say_against_them(self):
        self.assertEqual(len(self.units), 4)
        self.assertEqual(run(self.analyze, "verify", "--man=no", *self.units), ("", ""))

    def test_the_services_are_confined(self):
        for unit in self.units:
            if unit.endswith(".service"):
                with self.subTest(unit=os.path.basename(unit)):
                    run(self.analyze, "security", "--offline=true", "--threshold=%d" % MOST_EXPOSED, unit)

    def test_the_sockets_are_this_machine_s_until_somebody_decides_otherwise(self):
        for name in NAMES:
            if name.endswith(".socket"):
                for value in settings(name, "ListenStream"):
                    self.assertRegex(value, r"\A127\.0\.0\.1:\d+\Z")


class Service:
    """What a service unit starts, behind systemd-socket-activate with a local socket; told how it is going."""

    def __init__(self, case, unit, *options):
        self.activate = need("systemd-socket-activate")
        directory = tempfile.mkdtemp(prefix="wsfile-service.")
        case.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "socket")
        self.url = "ws+unix://%s:/" % path
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        case.addCleanup(self.told.close)
        self.told.settimeout(TIMEOUT_S)
        self.told.bind(os.path.join(directory, "notify"))
        command = shlex.split(settings(unit, "ExecStart")[0].replace("@bindir@/wspipe", shlex.quote(WSPIPE)))
        self.process = subprocess.Popen(
            [self.activate, *options, "-E", "NOTIFY_SOCKET=" + self.told.getsockname(), "-l", path, *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
        case.addCleanup(self.end)
        line = self.process.stdout.readline()
        case.assertIn("Listening on %s as 3" % path, line)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def ask(self, text):
        return run(WSPIPE, self.url, input=text)


class Activation(unittest.TestCase):
    def test_echo_starts_with_the_first_connection_and_says_when_it_is_ready_and_stops(self):
        unit = "wspipe-echo.service.in"
        self.assertEqual(settings(unit, "Type"), ["notify"])
        service = Service(self, unit)
        self.assertEqual(service.ask("hello\n"), ("hello\n", ""))
        self.assertEqual(service.told.recv(100), b"READY=1")
        self.assertEqual(service.ask("again\n"), ("again\n", ""))
        service.process.terminate()
        self.assertEqual(service.told.recv(100), b"STOPPING=1")
        service.process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(service.process.returncode, 0)

    def test_sort_is_a_process_for_each_connection(self):
        unit = "wspipe-sort@.service.in"
        self.assertEqual((settings(unit, "StandardInput"), settings("wspipe-sort.socket", "Accept")),
                         (["socket"], ["yes"]))
        service = Service(self, unit, "--accept", "--inetd")
        self.assertEqual(service.ask("10\n9\n8\n"), ("8\n9\n10\n", ""))
        self.assertEqual(service.ask("b\na\n"), ("a\nb\n", ""))


if __name__ == "__main__":
    main()
