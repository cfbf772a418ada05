# SPDX-License-Identifier: 0BSD
"""What wspipe says, to people and to programs: test_wspipe_messages.py WSPIPE [unittest arguments]"""

import json
import os
import re
import signal
import subprocess
import unittest

from wspipe_command import Case, Listener, finish, run, start
from wspipe_peer import BINARY, TIMEOUT_S, Client, Server

GROUPS = "listening connection security data time output".split()
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "man", "wspipe.1")


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", text))


def help_of(*arguments):
    status, out, err = run(*arguments)
    assert (status, err) == (0, ""), err
    return out.decode()


def options_of(text):
    """Those that have a line of their own."""
    return {name for line in text.splitlines() if line.startswith("  ") for name in options_in(line[:31])}


class Help(Case):
    def test_first_screen_fits_a_terminal_and_leaves_a_line_for_the_prompt(self):
        for argument in ("--help", "-h"):
            lines = help_of(argument).splitlines()
            self.assertLessEqual(len(lines), 23)
            self.assertLess(max(map(len, lines)), 80)

    def test_all_options_stand_in_the_groups_and_in_all_of_them_and_in_the_manual(self):
        everything = help_of("--help=all")
        self.assertLess(max(map(len, everything.splitlines())), 80)
        groups = [options_of(help_of("--help=" + name)) for name in GROUPS]
        self.assertEqual(sum(map(len, groups)), len(set.union(*groups)), "an option is in two groups")
        self.assertEqual(set.union(*groups), options_of(everything))
        self.assertLessEqual(options_of(help_of("--help")), options_of(everything))
        with open(PAGE, encoding="utf-8") as file:
            page = {"--" + name for name in re.findall(r"^\.It Fl .*?(?<=[ ])-([a-z-]+)", file.read(), re.M)}
        self.assertEqual(page, options_of(everything))

    def test_every_option_of_the_help_is_understood(self):
        for name in options_of(help_of("--help=all")) - {"--help", "--version"}:
            self.assertNotIn("unknown", run(name)[2])

    def test_a_group_may_be_a_word_of_its_own(self):
        self.assertEqual(help_of("--help", "security"), help_of("--help=security"))
        self.assertEqual(help_of("--help", "ws://127.0.0.1/"), help_of("--help"))

    def test_a_group_that_is_none(self):
        self.assert_usage(run("--help=secruity"), "did you mean security?")
        self.assert_usage(run("--help=x"), "--help has no group 'x'")

    def test_output_that_is_full(self):
        for argument in ("--help", "--version"):
            with open("/dev/full", "wb") as full:
                self.assert_broken(run(argument, stdout=full), "standard output: No space left on device")


class Suggestions(Case):
    def test_what_was_meant(self):
        for arguments, text in [
                (["--kep"], "unknown option --kep (did you mean --keep?)"),
                (["--keeep"], "(did you mean --keep?)"),
                (["--Keep"], "(did you mean --keep?)"),
                (["--ehco"], "(did you mean --echo?)"),
                (["--colour=always"], "unknown option --colour (did you mean --color?)"),
                (["--handshake_timeout=3"], "(did you mean --handshake-timeout?)"),
                (["--maxconnections", "3"], "(did you mean --max-connections?)"),
                (["--protocol", "x"], "(did you mean --subprotocol?)"),
                (["--redirects", "x"], "(did you mean --max-redirects?)"),
                (["--timeout", "3"], "--connect-timeout, --handshake-timeout, --read-timeout, --close-timeout?)"),
                (["--pro"], "option --pro can be --proxy, --progress"),
                (["-keep"], "unknown option -e in -keep (did you mean --keep?)"),
                (["-listen"], "(did you mean --listen?)"),
                (["-version"], "(did you mean --version?)"),
                (["-header", "A: b"], "unknown option -header (did you mean --header?)"),
                (["-l", "-cert=a.pem"], "unknown option -c in -cert (did you mean --cert?)"),
                (["--color=alwys", "ws://a/"], "--color: bad value 'alwys' (did you mean always?)"),
                (["--color=blue", "ws://a/"], "it is auto, always or never"),
                (["-q", "nome", "ws://a/"], "-q: bad value 'nome' (did you mean none?)"),
                (["--ping", "5s", "ws://a/"], "a time is seconds such as 2.5, or 'none'"),
                (["--read-timeout", "0", "ws://a/"], "bad value '0': it must be more than 0, or 'none'"),
                (["--max-message", "5X", "ws://a/"], "a size is a number of bytes, or with K, M, G or T"),
                (["--tls-min", "1.4", "wss://a/"], "versions are 1.2 and 1.3"),
                (["--close-code", "1005", "ws://a/"], "codes are 1000, "),
                (["-l", "--path", "here", "ws://a/"], "a path begins with a slash"),
                (["--size", "3K", "ws://a/"], "--size needs --progress"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_usage(run(*arguments), text)

    def test_what_nobody_can_have_meant(self):
        for word in ("--xyzzy", "-Z", "-Zzzzz", "--k=x", "--no-check", "--", "--" + "y" * 2000):
            with self.subTest(word=word):
                result = run(word if word != "--" else "--=", "ws://a/")
                self.assert_usage(result, "unknown option")
                self.assertNotIn("mean", result[2])

    def test_the_wrong_letter_is_named_whatever_stands_before_it(self):
        self.assert_usage(run("--listen", "-Zk", "ws://a/"), "unknown option -Z;")
        self.assert_usage(run("--text", "-kZ", "ws://a/"), "unknown option -Z;")

    def test_options_of_the_library_have_our_names(self):
        for arguments, text in [
                (["--ca", "/no/such", "wss://127.0.0.1:1/"], 'cannot read --ca "/no/such": No such file'),
                (["--client-cert", "/no/such", "wss://127.0.0.1:1/"], 'cannot read --client-cert "/no/such"'),
                (["-l", "--cert", "/no/such", "wss://127.0.0.1:0/"], 'cannot read --cert "/no/such"'),
                (["--pin", "abc", "wss://127.0.0.1:1/"], "--pin is not the base64 of a SHA-256"),
                (["-H", "nonsense", "ws://127.0.0.1:1/"], '--header is not a "Name: value" line'),
                (["--subprotocol", "a b", "ws://127.0.0.1:1/"], "--subprotocol is not a token"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_broken(run(*arguments), re.escape(text))


class Hints(Case):
    def test_an_option_that_may_help_is_named(self):
        for status, text in [("401 Unauthorized", "--bearer-file"), ("307 Temporary Redirect", "--max-redirects"),
                             ("404 Not Found", None)]:
            def serve(connection, status=status):
                connection.read_request()
                connection.sock.sendall(b"HTTP/1.1 %s\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                                        % status.encode())

            with self.subTest(status=status):
                with Server(serve) as server:
                    self.assert_broken(run(server.url), "%s.*; .*%s" % (status, text) if text else status + "\n")
                with Server(serve) as server:
                    error, = named(objects(run("--json", server.url)[2]), "error")
                self.assertEqual(error["http_status"], int(status[:3]))
                self.assertNotIn("--", error["text"])
                self.assertIn(text or "", error.get("hint", ""))
                self.assertEqual("hint" in error, text is not None)

    def test_text_that_is_none(self):
        with Listener("-t", "-k", "--echo") as listener:
            self.assert_broken(run("-t", listener.url, data=b"\xff"), "not UTF-8; without -t any bytes")


class Color(Case):
    def messages(self, *arguments):
        return run(*arguments, "--nonsense")[2]

    def test_never_into_a_pipe_unless_asked_for(self):
        self.assertNotIn("\033", self.messages())
        self.assertNotIn("\033", self.messages("--color=auto"))
        self.assertNotIn("\033", self.messages("--color=never"))
        self.assertTrue(self.messages("--color=always").startswith("\033[1;31mwspipe:\033[m unknown option"))

    def test_help(self):
        self.assertNotIn("\033", help_of("--help"))
        colored = help_of("--color=always", "--help")
        self.assertIn("\033[1m", colored)
        self.assertEqual(re.sub(r"\033\[[0-9;]*m", "", colored), help_of("--help"))

    def test_text_of_the_peer_has_none(self):
        def serve(connection):
            connection.accept()
            connection.send_close(1011, "\033[31mred")
            connection.read_until_close()

        with Server(serve) as server:
            process = start("--color=always", server.url)
            process.wait(TIMEOUT_S)
            self.assertIn("?[31mred", finish(process)[2])

    def test_nor_have_words_of_the_user_that_are_no_text(self):
        err = start("--close-reason", b"\x9b31m\xff\xc2\x9b\x1b", "ws://a/").communicate(timeout=TIMEOUT_S)[1]
        self.assertIn(b"'?31m????'", err)


def once(pairs):
    assert len({name for name, _ in pairs}) == len(pairs), "a name is there twice: %r" % pairs
    return dict(pairs)


def objects(text, process=None):
    """Each line is one; the last tells the exit status."""
    found = [json.loads(line, object_pairs_hook=once) for line in text.splitlines()]
    for item in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item["time"]), item
    assert [item["event"] for item in found].index("exit") == len(found) - 1
    if process is not None:
        assert found[-1]["status"] == (process if process >= 0 else 128 - process), found[-1]
    return found


def named(found, event):
    return [item for item in found if item["event"] == event]


class Json(Case):
    def objects(self, *arguments, **settings):
        status, out, err = run("--json", *arguments, **settings)
        return objects(err, status), out

    def served(self, serve, *arguments):
        """What a client says whose standard input does not end."""
        with Server(serve) as server:
            process = start("--json", *arguments, server.url)
            process.wait(TIMEOUT_S)
            _, _, err = finish(process)
        return objects(err, process.returncode)

    def test_a_usage_error_in_front_of_it_is_json_too(self):
        for arguments in (["--kep", "ws://a/", "--json"], ["-q", "soon", "--json", "ws://a/"], ["--json"]):
            with self.subTest(arguments=arguments):
                status, _, err = run(*arguments)
                self.assertEqual(status, 2)
                self.assertEqual([item["event"] for item in objects(err, status)], ["error", "exit"])
        # Behind "--" it would be an operand.
        self.assert_usage(run("--kep", "--", "--json"), "--kep")

    def test_clean_connection(self):
        reason = "tsch\u00fc\u00df \U0001f389 \"quoted\" \\ \x07\x7f\u009b\n"

        def serve(connection):
            connection.accept("Sec-WebSocket-Protocol: chat\r\n")
            connection.read_until_close()
            connection.send_close(1000, reason)

        with Server(serve) as server:
            found, _ = self.objects("--subprotocol", "chat", "--close-code", "4001", "--close-reason", "done",
                                    server.url.replace("//", "//wanda:sesame@"), data=b"12345")
        connected, = named(found, "connected")
        self.assertEqual((connected["stream"], connected["url"], connected["subprotocol"]), (1, server.url, "chat"))
        self.assertEqual(connected["peer"], "127.0.0.1:%d" % server.port)
        self.assertEqual(named(found, "close-received")[0]["received_reason"], reason)
        closed, = named(found, "closed")
        del closed["time"]
        self.assertEqual(closed, {"event": "closed", "stream": 1, "clean": True, "received_code": 1000,
                                  "received_reason": reason, "sent_code": 4001, "sent_reason": "done"})
        self.assertEqual([found[-1][name] for name in ("verdict", "status", "sent", "received")], ["clean", 0, 5, 0])
        self.assertEqual(named(found, "error"), [])

    def test_any_bytes_make_a_good_line(self):
        payloads = [bytes(range(first, min(first + 125, 256))) for first in (0, 125, 250)] + [
            b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"a\xf0\x9f\x8e\x89b", b"", b'"\\']

        def serve(connection):
            connection.accept()
            for payload in payloads:
                connection.send_frame(0x8a, payload)
                # Pongs that nobody asked for are left out when many come at once.
                connection.send_frame(0x89, payload)
                while connection.read_frame() != (0x8a, payload):
                    pass
            connection.send_close(1000)
            connection.read_until_close()

        found = self.served(serve)
        pings = named(found, "ping")
        self.assertEqual([bytes.fromhex(ping["payload_hex"]) for ping in pings], payloads)
        for ping, payload in zip(pings, payloads):
            # Python, too, has one U+FFFD for each byte that begins no character; it takes parts of some for one.
            text = payload.decode(errors="replace")
            self.assertEqual(re.sub("\ufffd+", "\ufffd", ping["payload"]), re.sub("\ufffd+", "\ufffd", text))
        self.assertTrue(all(pong["asked"] is False for pong in named(found, "pong")))

    def test_our_pings_are_timed(self):
        def serve(connection):
            connection.accept()
            connection.send_frame(0x8a, connection.read_frame()[1])
            connection.send_close(1000)
            connection.read_until_close()

        pong = named(self.served(serve, "--ping", "0.2"), "pong")[0]
        self.assertIs(pong["asked"], True)
        self.assertGreaterEqual(pong["round_trip_us"], 0)

    def test_what_could_not_be_opened(self):
        found, _ = self.objects("ws://127.0.0.1:1/")
        error, = named(found, "error")
        self.assertEqual(error["errno"], "ECONNREFUSED")
        self.assertIn("refused", error["text"])
        self.assertEqual(found[-1]["verdict"], "broken")
        with Listener("-k", "--echo", url="ws://127.0.0.1:0/here") as listener:
            error, = named(self.objects(listener.url + "x")[0], "error")
        self.assertEqual((error["errno"], error["http_status"]), ("ECONNABORTED", 404))

    def test_what_was_cut(self):
        def serve(connection):
            connection.accept()
            connection.reset()

        found = self.served(serve)
        error, = named(found, "error")
        self.assertEqual((error["errno"], error["stream"]), ("ECONNRESET", 1))
        self.assertRegex(error["peer"], r"\A127\.0\.0\.1:\d+\Z")
        self.assertIs(named(found, "closed")[0]["clean"], False)

    def test_our_own_side_that_fails(self):
        with Listener("-k", "--echo") as listener, open("/dev/full", "wb") as full:
            found, _ = self.objects(listener.url, data=b"x", stdout=full)
        self.assertEqual(named(found, "error")[0]["errno"], "ENOSPC")

    def test_words_of_the_user_that_are_no_text(self):
        found, _ = self.objects("--close-reason", b'a\xff"\\\x01', "ws://127.0.0.1:1/")
        self.assertIn("'a\ufffd\"\\\x01'", named(found, "error")[0]["text"])
        found, _ = self.objects("--ca", "/no/such", "wss://127.0.0.1:1/")
        self.assertEqual(named(found, "error")[0]["errno"], "ENOENT")

    def test_usage_error_behind_it(self):
        found, _ = self.objects("--nonsense")
        self.assertEqual([item["event"] for item in found], ["error", "exit"])
        self.assertEqual((found[-1]["verdict"], found[-1]["status"]), ("usage", 2))

    def test_listener(self):
        process = start("-l", "-k", "--json", "--exec", "cat; exit 3", "ws://127.0.0.1:0/")
        try:
            listening = json.loads(process.stderr.readline())
            self.assertEqual(listening["event"], "listening")
            self.assertEqual(run(listening["url"], data=b"x")[:2], (1, b"x"))
            with Client(listening["url"]) as client:
                client.send(BINARY, b"y")
                self.assertEqual(client.connection.exactly(3), b"\x82\x01y")
                client.reset()
            lines = []
            while len(named(lines, "error")) < 2:
                lines.append(json.loads(process.stderr.readline()))
        finally:
            process.terminate()
            status, _, err = finish(process)
        self.assertEqual(status, 0)
        found = lines + objects(err, status)
        streams = {item["stream"] for item in named(found, "connected")}
        self.assertEqual(len(streams), 2)
        first, second = named(found, "error")
        self.assertEqual(first["text"], "command: exit status 3")
        self.assertEqual({first["stream"], second["stream"]}, streams)
        self.assertEqual(found[-1]["received"], 2)

    def test_one_that_is_stopped(self):
        with Server(lambda c: (c.accept(), c.send_frame(BINARY, b"x"), c.read_until_close(),
                               c.send_close(1011))) as server:
            process = start("--json", server.url)
            process.stdout.read(1)
            process.send_signal(signal.SIGTERM)
            process.wait(TIMEOUT_S)
            _, _, err = finish(process)
        last = objects(err, process.returncode)[-1]
        self.assertEqual((last["verdict"], last["status"]), ("interrupted", 128 + signal.SIGTERM))

    def test_progress_needs_no_terminal(self):
        with Listener("-k", "--echo") as listener:
            found, out = self.objects("--progress", listener.url, data=b"x" * 100000)
        self.assertEqual(len(out), 100000)
        last = named(found, "progress")[-1]
        self.assertEqual((last["sent"], last["received"]), (100000, 100000))
        self.assertNotIn("size", last)

    def test_size_of_a_file_is_known_from_where_it_is_read(self):
        with Listener("-k", "--echo") as listener, os.fdopen(os.memfd_create("in"), "w+b") as file:
            file.write(b"x" * 5000)
            file.flush()
            os.lseek(file.fileno(), 1000, os.SEEK_SET)
            found, out = self.objects("--progress", listener.url, data=None, stdin=file)
            self.assertEqual((named(found, "progress")[-1]["size"], len(out)), (4000, 4000))
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            found, _ = self.objects("--progress", "--size", "9K", listener.url, data=None, stdin=file)
            self.assertEqual(named(found, "progress")[-1]["size"], 9 * 1024)

    def test_lines_are_whole_whoever_writes_between_them(self):
        """Many connections at once, all told by the same listener."""
        process = start("-l", "-k", "--json", "--echo", "ws://127.0.0.1:0/")
        try:
            url = json.loads(process.stderr.readline())["url"]
            clients = [start("--json", url, stderr=subprocess.DEVNULL) for _ in range(8)]
            for client in clients:
                self.assertEqual(finish(client, b"x")[:2], (0, b"x"))
        finally:
            process.terminate()
            status, _, err = finish(process)
        self.assertEqual(status, 0)
        self.assertEqual(len(named(objects(err, status), "closed")), 8)


if __name__ == "__main__":
    unittest.main(verbosity=1)
