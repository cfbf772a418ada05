#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""A peer that vanishes without a packet: two network namespaces, and the wire between them is cut.

usage: test_vanish.py VANISH. Needs iproute2 and unshare, and user namespaces or root; exit status 77 = not to be had.
"""
import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time

INTERVAL_MS = 500
GIVE_UP_SECONDS = 60
ADDRESSES = ("198.18.0.1", "198.18.0.2")  # set aside for tests of network devices: RFC 2544


def skip(why):
    print("SKIP:", why, flush=True)
    sys.exit(77)


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=GIVE_UP_SECONDS)
    if done.returncode != 0:
        skip("%s: %s" % (" ".join(command), done.stdout.strip()))


class Namespace:
    """A network namespace that lives as long as a process in it waits for its standard input's end."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; read line"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True)
        line = self.holder.stdout.readline()
        if line != "ready\n":
            skip("unshare --net: %s" % line.strip())

    def inside(self, command):
        return ["nsenter", "--net=/proc/%d/ns/net" % self.holder.pid] + command

    def end(self):
        self.holder.stdin.close()
        self.holder.wait(timeout=GIVE_UP_SECONDS)


class End:
    """One end of the connection, in a namespace."""

    def __init__(self, program, namespace, role, url, interval_ms, what):
        self.process = subprocess.Popen(namespace.inside([program, role, url, str(interval_ms), what]),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def line(self):
        watch = threading.Timer(GIVE_UP_SECONDS, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        return line

    def expect(self, pattern):
        line = self.line()
        match = re.fullmatch(pattern + r"\n", line)
        if match is None:
            raise AssertionError("%r, not %r" % (line, pattern))
        return match


def connect(namespaces):
    """A pair of virtual devices, one in each, and an address on each."""
    run(namespaces[0].inside(["ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns",
                              str(namespaces[1].holder.pid)]))
    for i, namespace in enumerate(namespaces):
        run(namespace.inside(["ip", "address", "add", ADDRESSES[i] + "/24", "dev", "wire%d" % i]))
        run(namespace.inside(["ip", "link", "set", "wire%d" % i, "up"]))


def vanishes(program, watcher_is_client, half_closed):
    """
    One end keeps the connection alive, the other one, which does not, is cut off; half-closed, it is TCP's keepalive.
    Returns the seconds it took.
    """
    namespaces = [Namespace(), Namespace()]
    ends = []
    try:
        connect(namespaces)
        intervals = [-1, INTERVAL_MS] if watcher_is_client else [INTERVAL_MS, -1]
        roles = ("stays", "leaves") if watcher_is_client else ("leaves", "stays")
        roles = roles if half_closed else ("reads", "reads")
        ends.append(End(program, namespaces[0], "server", "ws://%s:0/" % ADDRESSES[0], intervals[0], roles[0]))
        url = ends[0].expect(r"listening on (ws://[0-9.:]+/)").group(1)
        ends.append(End(program, namespaces[1], "client", url, intervals[1], roles[1]))
        for end in ends:
            end.expect("open")
        # So long the pings are answered.
        time.sleep(4 * INTERVAL_MS / 1000)
        watcher = 1 if watcher_is_client else 0
        other = 1 - watcher
        if half_closed:
            ends[other].expect("stays")
        begin = time.monotonic()
        run(namespaces[other].inside(["ip", "address", "flush", "dev", "wire%d" % other]))
        run(namespaces[other].inside(["ip", "link", "set", "wire%d" % other, "down"]))
        error, text = (errno.ECONNRESET, ".*") if half_closed else (errno.ETIMEDOUT, ".*two ping intervals")
        ends[watcher].expect("%s: %s" % (re.escape(os.strerror(error)), text))
        return time.monotonic() - begin
    finally:
        for end in ends:
            end.process.kill()
            end.process.communicate()
        for namespace in namespaces:
            namespace.end()


def main():
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            skip("the command %s is missing" % tool)
    if os.geteuid() != 0 and os.environ.get("WSF_TEST_INSIDE") is None:
        if subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            skip("no user namespaces")
        os.environ["WSF_TEST_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", sys.executable] + sys.argv)
    failed = False
    for watcher_is_client, half_closed in ((True, False), (False, False), (True, True), (False, True)):
        name = ("the server" if watcher_is_client else "the client") + (", half-closed," if half_closed else "")
        try:
            seconds = vanishes(sys.argv[1], watcher_is_client, half_closed)
            print("%s vanishes: noticed after %.2f s, %.1f intervals" %
                  (name, seconds, seconds * 1000 / INTERVAL_MS), flush=True)
        except AssertionError as error:
            print("FAIL: %s vanishes: %s" % (name, error), flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
