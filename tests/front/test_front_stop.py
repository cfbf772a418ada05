# SPDX-License-Identifier: 0BSD
"""Several processes behind one name: one of them stops, or the proxy reloads, and no stream is lost.

test_front_stop.py WSPIPE FRONT nginx|haproxy [unittest arguments]; exit 77: the proxy is not on this machine.
"""

import contextlib
import socket
import unittest

from proxies import KIND, PROXY, Load, Server, main, program

SHORTS, LONGS = 20, 20


class Stopping(unittest.TestCase):
    """Judged by what both ends of all streams said."""

    def setUp(self):
        program(KIND)

    def assert_carried(self, load, servers, turns_away=None):
        """Every stream ended well at both ends, and every byte that one end sent the other one got, in its place.

        Of the server turns_away, the program may never have seen a stream: then nothing came back.
        """
        done = load.of("done")
        seen = {}
        for server in servers:
            for words in server.of("stream"):
                job, start, received, echoed, _, verdict = words[:6]
                self.assertEqual((verdict, words[6:]), ("ok", []), words)
                self.assertNotIn((job, start, server.name), seen)
                seen[job, start, server.name] = (received, echoed)
        for words in done:
            job, start, sent, echoed, _, server, verdict = words[:7]
            if server == turns_away and (job, start, server) not in seen:
                self.assertEqual(echoed, "0", words)
            else:
                self.assertEqual((verdict, words[7:]), ("ok", []), words)
                self.assertEqual(seen.pop((job, start, server)), (sent, echoed))
        self.assertEqual(seen, {})
        self.assertEqual(len(load.of("open")), len(done))

    def assert_jobs_are_whole(self, load):
        """The parts of each job follow one another without a gap."""
        ends = {}
        for job, start, _, echoed, *_ in sorted(load.of("done"), key=lambda words: (int(words[0]), int(words[1]))):
            if echoed != "0":
                self.assertEqual(int(start), ends.get(job, 0), job)
                ends[job] = int(start) + int(echoed)
        self.assertGreaterEqual(len(ends), load.count)

    def finish_well(self, load):
        status = load.finish()
        self.assertEqual((load.of("failed"), status), ([], 0))

    def stop_first(self, load, servers):
        """Its streams are busy, and it stops; the others take what comes."""
        load.wait_opened(lambda opened: len(opened) >= 4 * load.count and set(opened) == {one.name for one in servers})
        self.assertEqual(servers[0].stop(), 0, servers[0].lines[-5:])
        load.say("stopped")
        load.wait_match("stopped")
        load.wait_opened(lambda opened: len(opened) >= 4 * SHORTS
                         and set(opened) == {one.name for one in servers[1:]}, "stopped")
        self.finish_well(load)
        for server in servers[1:]:
            self.assertEqual(server.stop(), 0)
        self.assertNotIn(servers[0].name, load.opened("stopped"))
        self.assert_jobs_are_whole(load)

    def told(self, server):
        """How many of its streams it told that it goes away."""
        return sum(words[4] == "1001" for words in server.of("stream"))

    def test_one_of_four_stops_and_its_streams_go_on_at_the_others(self):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server("abcd"[i])) for i in range(4)]
            proxy = stack.enter_context(PROXY(work=[server.address for server in servers]))
            load = stack.enter_context(Load(proxy.url + "work", SHORTS, LONGS))
            self.stop_first(load, servers)
            self.assert_carried(load, servers)
            self.assertGreater(int(servers[0].of("stopping")[0][0]), 0)
            self.assertGreater(self.told(servers[0]), 0)

    def test_one_of_four_stops_when_its_streams_have_ended(self):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server("abcd"[i], "finish")) for i in range(4)]
            proxy = stack.enter_context(PROXY(work=[server.address for server in servers]))
            load = stack.enter_context(Load(proxy.url + "work", SHORTS + LONGS, 0))
            self.stop_first(load, servers)
            self.assert_carried(load, servers)
            self.assertGreater(int(servers[0].of("stopping")[0][0]), 0)
            self.assertEqual(self.told(servers[0]), 0)

    def test_one_of_four_on_one_port_stops(self):
        with contextlib.ExitStack() as stack:
            # It does not listen, and keeps the number.
            place = stack.enter_context(socket.socket())
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            place.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % place.getsockname()[1]
            servers = [stack.enter_context(Server("abcd"[i], "at-once", "ws://%s/" % address)) for i in range(4)]
            proxy = stack.enter_context(PROXY(pool=address))
            load = stack.enter_context(Load(proxy.url + "pool", SHORTS, LONGS))
            self.stop_first(load, servers)
            self.assert_carried(load, servers, turns_away="a")
            self.assertGreater(self.told(servers[0]), 0)

    def test_all_are_full_or_gone_and_the_client_is_told(self):
        with contextlib.ExitStack() as stack:
            proxy = stack.enter_context(PROXY())
            load = stack.enter_context(Load(proxy.url + "work", 1, 0))
            self.assertRegex(load.wait_match("failed .*").group(0), "50[23]")
            self.assertEqual(load.finish(), 1)

    def test_the_proxy_reloads_under_open_streams(self):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server("abcd"[i])) for i in range(4)]
            proxy = stack.enter_context(PROXY(work=[server.address for server in servers]))
            load = stack.enter_context(Load(proxy.url + "work", SHORTS, LONGS))
            load.wait_opened(lambda opened: len(opened) >= load.count)
            proxy.reload()
            load.say("reloaded")
            load.wait_match("reloaded")
            load.wait_opened(lambda opened: len(opened) >= 2 * SHORTS, "reloaded")
            self.finish_well(load)
            for server in servers:
                self.assertEqual(server.stop(), 0)
            self.assert_carried(load, servers)
            # Those that do not end by themselves have stayed where they were.
            self.assertEqual(sum(self.told(server) for server in servers), 0)


if __name__ == "__main__":
    main()
