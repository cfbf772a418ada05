# SPDX-License-Identifier: 0BSD
"""nginx and HAProxy with the configurations of tools/front, of which the tests change addresses, files and times only.

A script is run as: SCRIPT WSPIPE FRONT nginx|haproxy [unittest arguments], FRONT being the program of this directory.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))

# pylint: disable=wrong-import-position
import rig
from rig import Daemon, pki, program, start, stop

SHIPPED = os.path.join(HERE, "..", "..", "tools", "front")
FRONT = os.path.abspath(sys.argv.pop(2))
KIND = sys.argv.pop(2)
WORK = ["127.0.0.1:901%d" % i for i in range(1, 5)]


def replaced(text, was, becomes, times=1):
    """The shipped file has it so often: else the test would run another configuration than it says."""
    if text.count(was) != times:
        raise AssertionError("%r stands there %d times, not %d" % (was, text.count(was), times))
    return text.replace(was, becomes)


class Proxy(Daemon):
    """echo, logs, pool and work (four) are addresses, those that are not given of dead ends: bound, and nobody listens.

    changes are (was, becomes) in the shipped file.
    """

    shipped = ""
    # Of an opening, for machines that are busy otherwise.
    patience = []

    def __init__(self, echo=None, logs=None, work=(), pool=None, changes=()):
        self.holder = socket.socket()
        self.holder.bind(("127.0.0.1", 0))
        dead = "127.0.0.1:%d" % self.holder.getsockname()[1]
        path = program(KIND)

        def make(port, directory):
            with open(os.path.join(SHIPPED, self.shipped), encoding="utf-8") as file:
                text = file.read()
            text = self.placed(text, port, directory)
            text = replaced(text, "127.0.0.1:9001", echo or dead)
            text = replaced(text, "/run/wsfile/logs.sock", logs or os.path.join(directory, "nobody.sock"), 2)
            for was, becomes in zip(WORK, [*work, *[dead] * 4]):
                text = replaced(text, was, becomes)
            text = text.replace("127.0.0.1:9020", pool or dead)
            for was, becomes in [*self.patience, *changes]:
                text = replaced(text, was, becomes)
            with open(os.path.join(directory, self.shipped), "w", encoding="utf-8") as file:
                file.write(text)
            return [path, *self.arguments(directory)]

        super().__init__(KIND, make)
        self.url = "wss://localhost:%d/" % self.port

    def __exit__(self, *_):
        stop(self.process)
        self.holder.close()

    def workers(self):
        """The processes that the master has now."""
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid), encoding="ascii") as file:
            return set(file.read().split())

    def reload(self):
        """Returns when the new workers are there, and the old ones as long as they have streams."""
        before = self.workers()
        self.process.send_signal(self.reload_signal)
        deadline = time.monotonic() + rig.TIMEOUT_S
        while not self.workers() - before:
            if time.monotonic() > deadline:
                raise AssertionError("%s does not reload: %s" % (KIND, self.log()))
            time.sleep(0.02)

    def is_ready(self):
        return super().is_ready() and "ALERT" not in self.log() and "[emerg]" not in self.log()


class Nginx(Proxy):
    """With a master, so that it can reload; its workers are of the same user, as the sockets of the tests are."""

    shipped = "nginx.conf"
    patience = [("proxy_connect_timeout 2s", "proxy_connect_timeout 60s")]
    silence = [("proxy_read_timeout 1h", "proxy_read_timeout %s"), ("proxy_send_timeout 1h", "proxy_send_timeout %s"),
               ("\tsend_timeout 1h", "\tsend_timeout %s")]
    reload_signal = signal.SIGHUP

    @staticmethod
    def placed(text, port, directory):
        with open(os.path.join(directory, "main.conf"), "w", encoding="ascii") as main:
            main.write("daemon off; pid nginx.pid; error_log stderr warn; worker_processes 2;\n")
            main.write("user root;\n" if os.getuid() == 0 else "")
            main.write("events { worker_connections 512; }\nhttp { access_log off;\n")
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
                main.write("%s_temp_path %s;\n" % (name, name))
            main.write("include nginx.conf; }\n")
        text = replaced(text, "listen 443 ssl", "listen 127.0.0.1:%d ssl" % port)
        text = replaced(text, "/etc/ssl/example.org.pem", pki("server.pem"))
        return replaced(text, "/etc/ssl/private/example.org.key", pki("server.key"))

    @staticmethod
    def arguments(directory):
        return ["-p", directory, "-e", "stderr", "-c", "main.conf"]


class Haproxy(Proxy):
    """With a master process, so that it can reload."""

    shipped = "haproxy.cfg"
    patience = [("timeout connect 2s", "timeout connect 60s"), ("timeout http-request 10s", "timeout http-request 60s"),
                ("timeout client 10s", "timeout client 60s"), ("timeout server 10s", "timeout server 60s"),
                ("timeout check 5s", "timeout check 60s")]
    silence = [("timeout tunnel 1h", "timeout tunnel %s")]
    reload_signal = signal.SIGUSR2

    @staticmethod
    def placed(text, port, directory):
        with open(os.path.join(directory, "global.cfg"), "w", encoding="ascii") as main:
            main.write("global\n\tmaxconn 400\n")
        text = replaced(text, "bind :443 ssl", "bind 127.0.0.1:%d ssl" % port)
        return replaced(text, "/etc/haproxy/example.org.pem", pki("both.pem"))

    @staticmethod
    def arguments(directory):
        return ["-W", "-f", os.path.join(directory, "global.cfg"), "-f", os.path.join(directory, "haproxy.cfg")]


PROXY = {"nginx": Nginx, "haproxy": Haproxy}[KIND]


class Lines:
    """A program of ours whose standard output is lines that a test waits for."""

    def __init__(self, *arguments):
        self.process = start([FRONT, *arguments], stderr=None)
        self.changed = threading.Condition()
        self.lines = []
        self.ended = False
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.decode().rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, what, enough):
        """Until enough(lines) is true; returns it."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended or enough(self.lines), rig.TIMEOUT_S):
                raise AssertionError("no %s in time: %r" % (what, self.lines[-5:]))
            found = enough(self.lines)
            if not found:
                raise AssertionError("it ended without %s: %r" % (what, self.lines[-5:]))
            return found

    def wait_match(self, pattern):
        def found(lines):
            return next((match for match in map(re.compile(pattern).fullmatch, lines) if match), None)
        return self.wait_for(pattern, found)

    def of(self, kind):
        """The words of the lines of this kind, without the first."""
        return [line.split(" ")[1:] for line in self.lines if line.startswith(kind + " ")]

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def result(self):
        """The status; all lines are there then."""
        try:
            status = self.process.wait(rig.TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.reader.join(rig.TIMEOUT_S)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(rig.TIMEOUT_S)
        self.process.stdin.close()
        self.process.stdout.close()


class Server(Lines):
    """front serve; name is what its answers carry."""

    def __init__(self, name, way="drain", url="ws://127.0.0.1:0/"):
        super().__init__("serve", url, name, way)
        self.name = name
        self.address = self.wait_match(r"listening on ws(?:\+unix)?://(?:(127\.[0-9.:]+)/|.*)").group(1)

    def stop(self):
        self.process.terminate()
        return self.result()


class Load(Lines):
    """front load: so many threads with one stream after the other, and so many with one that does not end."""

    def __init__(self, url, shorts, longs):
        super().__init__("load", url, pki("ca.pem"), str(shorts), str(longs))
        self.count = shorts + longs

    def opened(self, behind=""):
        """The servers of the streams opened, of those whose lines follow the line behind."""
        lines = self.lines[self.lines.index(behind) + 1:] if behind else self.lines
        return [line.split(" ")[3] for line in lines if line.startswith("open ")]

    def wait_opened(self, enough, behind=""):
        """Until enough(servers of the streams opened), or until one could not be."""
        self.wait_for("streams", lambda _: self.of("failed") or enough(self.opened(behind)))

    def finish(self):
        self.process.stdin.close()
        return self.result()


def main():
    rig.main()
