# SPDX-License-Identifier: 0BSD
"""The benchmark works, whatever it measures: test_wsbench.py WSBENCH WSBENCH-PEER [unittest arguments]

Its figures are there and are figures; none is asserted to be good, or to be reached in time.
"""

import json
import os
import shlex
import subprocess
import sys
import unittest

from wspipe_peer import connect

WRAPPER = shlex.split(os.environ.get("WSPIPE_WRAPPER", ""))
WSBENCH, PEER = WRAPPER + [sys.argv.pop(1)], WRAPPER + [sys.argv.pop(1)]
TIMEOUT_S = 1000

SIZES = [64 << 2 * i for i in range(10)]
DIRECTIONS = ["c2s", "s2c"]

# Group: its rows and columns, and which of the columns have a ratio.
GROUPS = {
    "bulk": (["c2s_64k", "s2c_64k", "c2s_1k", "s2c_1k", "echo_64k"], ["mb_s", "cpu_s_gib"], ["mb_s"]),
    "sweep": (["%s_%d" % (way, size) for way in DIRECTIONS for size in SIZES], ["mb_s", "cpu_us"], ["mb_s"]),
    "messages": (DIRECTIONS, ["per_s", "cpu_us"], ["per_s"]),
    "round_trips": (None, ["p50_us", "p99_us", "per_s"], ["p50_us"]),
    "connections": (["one_by_one", "threads_4"], ["per_s"], ["per_s"]),
    "handshakes": (["full", "resumed"], ["per_s"], ["per_s"]),
    "memory": (["idle"], ["listener_bytes", "client_bytes"], ["listener_bytes"]),
    "scale": (["streams_1", "streams_10", "streams_100"],
              ["open_per_s", "listener_bytes", "client_bytes", "idle_cpu_ms_s", "p50_us"],
              ["open_per_s", "listener_bytes", "client_bytes", "p50_us"]),
    "transfer": (DIRECTIONS, ["mb_s", "cpu_s_gib", "listener_peak_bytes", "client_peak_bytes"],
                 ["mb_s", "listener_peak_bytes", "client_peak_bytes"]),
    "fairness": (["slow_reader"], ["alone_mb_s", "mb_s", "kept", "min_kib", "median_kib", "max_kib"],
                 ["alone_mb_s", "mb_s"]),
}
# Memory is told by Linux only, and idling may be free. The scheduler may forget a thread for a quarter of a second.
MAY_BE_ZERO = {"idle_cpu_ms_s", "min_kib"}
BASELINES = {"plain": "tcp", "tls": "openssl"}


def run(*arguments):
    done = subprocess.run([*WSBENCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=TIMEOUT_S, check=False)
    return done.returncode, done.stdout, done.stderr


def round_trip_rows():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return ["unpinned"] if cores == 0 else ["one_core"] if cores == 1 else ["one_core", "two_cores"]


class Wsbench(unittest.TestCase):
    def assert_figure(self, value, row, column):
        told_by_linux = column.endswith("_bytes") and "peak" not in column
        too_few = row in ("streams_1", "streams_10") and column.endswith("_bytes")
        if too_few or (value is None and told_by_linux and not sys.platform.startswith("linux")):
            self.assertIsNone(value)
        elif column in MAY_BE_ZERO:
            self.assertGreaterEqual(value, 0)
        else:
            self.assertGreater(value, 0)

    def assert_group(self, found, kind, name):
        rows, columns, ratios = GROUPS[name]
        self.assertEqual(list(found), rows or round_trip_rows())
        for row, sides in found.items():
            self.assertEqual(list(sides), [BASELINES[kind], "wsfile", "ratio"])
            for side, figures in sides.items():
                self.assertEqual(list(figures), ratios if side == "ratio" else columns)
                for column, value in figures.items():
                    with self.subTest(kind=kind, group=name, row=row, side=side, column=column):
                        self.assert_figure(value, row, column)

    def assert_kind(self, kind, names):
        status, out, err = run("--quick", "--json", "--" + kind)
        self.assertEqual(status, 0, err)
        self.assertEqual(out.count("\n"), 1)
        found = json.loads(out)
        self.assertEqual(list(found), ["version", "rounds", "mib", "stream_mib", "quick", kind])
        self.assertEqual(list(found[kind]), names)
        for name in names:
            self.assert_group(found[kind][name], kind, name)

    def test_every_row_over_tcp(self):
        self.assert_kind("plain", [name for name in GROUPS if name != "handshakes"])

    def test_every_row_over_tls(self):
        self.assert_kind("tls", list(GROUPS))

    def test_streams_of_a_number_and_a_size(self):
        status, out, err = run("--streams", "7", "--stream-mib", "2", "--rounds", "2", "--json")
        self.assertEqual(status, 0, err)
        found = json.loads(out)
        self.assertEqual((found["rounds"], found["stream_mib"]), (2, 2))
        for kind in BASELINES:
            self.assertEqual(list(found[kind]), ["transfer"])
            self.assert_group(found[kind]["transfer"], kind, "transfer")

    def test_a_table_for_people(self):
        status, out, err = run("--messages", "--plain", "--quick")
        self.assertEqual(status, 0, err)
        self.assertIn("listener to client", out)
        self.assertIn("ratio", out)

    def test_help_fits_a_page(self):
        status, out, err = run("--help")
        lines = out.splitlines()
        self.assertEqual((status, err), (0, ""))
        self.assertLess(len(lines), 60)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_a_bad_command_line_is_status_2(self):
        for arguments in [["--nonsense"], ["bulk"], ["--rounds", "0"], ["--rounds"], ["--mib", "1x"],
                          ["--streams", "-1"], ["--streams"], ["--plain", "--handshakes"]]:
            with self.subTest(arguments=arguments):
                status, out, err = run(*arguments)
                self.assertEqual((status, out), (2, ""))
                self.assertTrue(err)


class Peer(unittest.TestCase):
    def start(self, *arguments, **settings):
        process = subprocess.Popen([*PEER, *map(str, arguments)], stdout=subprocess.PIPE, text=True, **settings)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def serve(self, *arguments):
        """The server and its URL."""
        process = self.start("server", 0, *arguments)
        ready, url = process.stdout.readline().split()
        self.assertEqual(ready, "READY")
        return process, url

    def assert_result(self, process, role, names):
        words = process.communicate(timeout=TIMEOUT_S)[0].split()
        self.assertEqual((process.returncode, words[:2]), (0, ["RESULT", "role=" + role]))
        figures = dict(word.split("=") for word in words[2:])
        self.assertEqual(list(figures), names)
        for value in figures.values():
            self.assertGreaterEqual(float(value), 0)

    def test_bulk_and_round_trips(self):
        bulk, trips = ["secs", "user", "sys"], ["secs", "rate", "p50us", "p99us", "user", "sys"]
        for mode, total, chunk, names in [("c2s", 1048576, 1024, bulk), ("s2c", 1048576, 65536, bulk),
                                          ("pp", 100, 64, trips)]:
            with self.subTest(mode=mode):
                server, url = self.serve(mode, total, chunk)
                client = self.start("client", url.rstrip("/").split(":")[-1], mode, total, chunk)
                self.assert_result(client, "client", names)
                self.assert_result(server, "server", bulk)

    @unittest.skipUnless(sys.platform.startswith("linux"), "only Linux tells the memory in /proc")
    def test_memory_of_idle_connections(self):
        server, url = self.serve("idle", 12, 64)
        for _ in range(12):
            connection = connect(url)
            self.addCleanup(connection.sock.close)
            connection.sock.sendall(b"\x82\xc0\0\0\0\0" + b"x" * 64)
            self.assertEqual(connection.exactly(66), b"\x82\x40" + b"x" * 64)
        self.assert_result(server, "server", ["idle_bytes"])

    def test_usage(self):
        for arguments in [[], ["server", "0", "c2s", "1"], ["client", "1", "idle", "20", "64"],
                          ["server", "0", "nonsense", "1", "1"], ["server", "0", "c2s", "1", "0"]]:
            with self.subTest(arguments=arguments):
                done = subprocess.run([*PEER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, timeout=TIMEOUT_S, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("usage: wsbench-peer", done.stderr)


if __name__ == "__main__":
    unittest.main()
