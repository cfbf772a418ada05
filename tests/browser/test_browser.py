# SPDX-License-Identifier: 0BSD
"""A page in Chromium and wspipe: test_browser.py WSPIPE [unittest arguments]. Exit 77: no browser."""

import hashlib

from bench import MIB, BrowserCase, start_browser
from rig import Exchange, Listener, data_of, finish, fingerprint, main, scratch


def setUpModule():
    start_browser()


def file_of(name, size):
    path, data = scratch(name), data_of(name, size)
    with open(path, "wb") as file:
        file.write(data)
    return path, data


class Upload(BrowserCase):
    def start(self, listener_arguments, name, size):
        listener = self.listen("upload", "-q", "none", *listener_arguments)
        path, data = file_of(name, size)
        page = self.open()
        page.evaluate("""window.shown = [], window.unsent = [];
            new MutationObserver(() => shown.push(document.querySelector('#upload-progress').value))
                .observe(document.querySelector('#upload-progress'), {attributes: true});
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (data) { send.call(this, data); unsent.push(this.bufferedAmount); }""")
        page.choose_file("#upload-file", path)
        page.click("#upload-start")
        return listener, page, data

    def test_a_file_arrives_byte_for_byte_and_progress_is_shown(self):
        listener, page, data = self.start([], "file", 8 * MIB + 12345)
        exchange = Exchange(listener.process, b"")
        self.assertEqual(page.wait_text("#upload-status", "^(Closed|Broken)"),
                         "Closed from here with 1000 (normal), answered with 1000. All %d bytes are there." % len(data))
        self.assert_state(page, "upload", "good")
        status, messages, arrived = exchange.result()
        self.assertEqual((status, arrived), (0, fingerprint(data)))
        self.assertEqual(messages[-1], "wspipe: event: 1 closed clean=yes received=1000 sent=1000")
        self.assertEqual(page.wait_text("#upload-digest", "^[0-9a-f]{64}$"), arrived[1])
        shown = page.evaluate("shown")
        self.assertEqual(shown, sorted(shown))
        self.assertGreater(len(set(shown)), 5)
        self.assertEqual(shown[-1], 1)

    def test_an_empty_file_arrives(self):
        listener, page, _ = self.start([], "empty", 0)
        page.wait_text("#upload-status", "^Closed from here with 1000 .*All 0 bytes")
        self.assertEqual(finish(listener.process)[:2], (0, b""))

    def test_a_receiver_that_does_not_take_it_holds_the_page_back(self):
        listener, page, data = self.start([], "held", 32 * MIB)
        page.wait_text("#upload-status", "^Waiting")
        self.assertLess(page.element("#upload-progress", "e.value"), 1)
        exchange = Exchange(listener.process, b"")
        page.wait_text("#upload-status", "^Closed from here with 1000")
        status, _, arrived = exchange.result()
        self.assertEqual((status, arrived), (0, fingerprint(data)))
        self.assertLessEqual(max(page.evaluate("unsent")), 4 * MIB + 256 * 1024)

    def assert_cut(self, listener, data):
        """A part came, and its receiver knows that it is one."""
        status, out, messages = finish(listener.process)
        self.assertEqual(status, 1, messages)
        self.assertLess(len(out), len(data))
        self.assertTrue(data.startswith(out), "what came is no part of the file")
        self.assertNotIn("clean=yes received=100", messages)
        return messages

    def test_a_stopped_upload_is_no_whole(self):
        listener, page, data = self.start([], "stopped", 32 * MIB)
        page.wait_text("#upload-status", "^Waiting")
        page.click("#upload-stop")
        messages = self.assert_cut(listener, data)
        self.assertIn('close-received received=4000 received-reason="stopped by the user"', messages)
        self.assertEqual(page.wait_text("#upload-status", "^(Closed|Broken)"),
                         "Closed from here with 4000 “stopped by the user”, answered with 4000. "
                         "Not all of it is there.")
        self.assert_state(page, "upload", "bad")

    def test_an_upload_that_the_page_is_left_in_is_no_whole(self):
        listener, page, data = self.start([], "left", 32 * MIB)
        page.wait_text("#upload-status", "^Waiting")
        page.navigate("about:blank")
        self.assert_cut(listener, data)

    def test_an_upload_whose_tab_is_closed_is_no_whole(self):
        listener, page, data = self.start([], "closed", 32 * MIB)
        page.wait_text("#upload-status", "^Waiting")
        page.close()
        self.assert_cut(listener, data)

    def test_a_page_that_does_not_see_to_it_ends_with_1001_and_as_a_whole(self):
        # What README warns of, and the page's pagehide is about.
        listener = self.listen("upload", "-q", "none")
        page = self.open()
        page.evaluate("""new Promise(done => {
            window.socket = new WebSocket('%s');
            socket.onopen = () => { socket.send(new Uint8Array(1000)); done(true); };
        })""" % listener.url)
        self.assertEqual(len(listener.process.stdout.read(1000)), 1000)
        page.close()
        self.assertIn("closed clean=yes received=1001 sent=1000", self.messages(listener))

    def test_a_listener_that_breaks_is_told(self):
        listener, page, _ = self.start([], "broken", 32 * MIB)
        page.wait_text("#upload-status", "^Waiting")
        listener.process.kill()
        self.assertRegex(page.wait_text("#upload-status", "^(Closed|Broken)"), "^Broken: 1006 .*Not all of it")


class Tail(BrowserCase):
    def append(self, data):
        with open(scratch("followed"), "ab") as file:
            file.write(data)

    def setUp(self):
        super().setUp()
        with open(scratch("followed"), "wb") as file:
            file.write(b"first\n")
        # tail does not look at its input; cat ends with it.
        self.listener = self.listen("tail", "-k", "--exec", "tail -n +1 -f '%s' & cat >/dev/null; kill $!"
                                    % scratch("followed"))

    def test_lines_appear_as_they_are_appended(self):
        page = self.open()
        page.click("#tail-start")
        page.wait_text("#tail-log", "^first\n$")
        for i in range(5):
            self.append(b"line %d\n" % i)
            page.wait_text("#tail-log", "\nline %d\n$" % i)
        # A character that comes in two pieces.
        self.append(b"caf\xc3")
        page.wait_text("#tail-log", "\ncaf$")
        self.append(b"\xa9\n")
        page.wait_text("#tail-log", "\ncafé\n$")
        page.click("#tail-stop")
        page.wait_text("#tail-status", "^Closed from here with 1000 .*, answered with 1000\\.$")
        self.listener.process.terminate()
        self.assertIn("event: 1 closed clean=yes received=1000 sent=1000\n", self.messages(self.listener))

    def test_the_listener_stops_and_says_so(self):
        page = self.open()
        page.click("#tail-start")
        page.wait_text("#tail-log", "first")
        self.listener.process.terminate()
        page.wait_text("#tail-status", "^Closed by the other end: 1001 \\(going away\\)\\.$")
        self.assertIn("event: 1 closed clean=yes received=1001 sent=1001\n", self.messages(self.listener))

    def test_a_page_that_is_left_ends_the_command(self):
        page = self.open()
        page.click("#tail-start")
        page.wait_text("#tail-log", "first")
        page.navigate("about:blank")
        while " closed " not in (line := self.listener.process.stderr.readline().decode()):
            self.assertNotEqual(line, "")
        self.listener.process.terminate()
        self.messages(self.listener)


class BothWays(BrowserCase):
    def run_page(self, mebibytes):
        page = self.open()
        page.element("#echo-size", "e.add(new Option(%d, %d, true, true))" % (mebibytes, mebibytes))
        page.click("#echo-start")
        text = page.wait_text("#echo-status", "^(Closed|Broken|Refused)")
        return page, text

    def test_64_mib_each_way_have_the_checksums_of_both_ends(self):
        listener = self.listen("echo", "-q", "none")
        ours = data_of("listener", 64 * MIB)
        exchange = Exchange(listener.process, ours)
        page, text = self.run_page(64)
        self.assertRegex(text, r"^Closed from here with 1000 \(normal\), answered with 1000\. 64\.0 MiB each way")
        # Not an echo: the page has to notice.
        self.assertRegex(text, "what came is not what was sent")
        self.assert_state(page, "echo", "bad")
        self.assertEqual(page.text("#echo-received"), hashlib.sha256(ours).hexdigest())
        status, messages, arrived = exchange.result()
        self.assertEqual((status, arrived), (0, (64 * MIB, page.text("#echo-sent"))))
        self.assertEqual(messages[-1], "wspipe: event: 1 closed clean=yes received=1000 sent=1000")

    def test_what_goes_out_comes_back(self):
        self.listen("echo", "-k", "--echo")
        page, text = self.run_page(16)
        self.assertRegex(text, r"^Closed from here with 1000 .* answered with 1000\. 16\.0 MiB each way.*the same, byte for byte")
        self.assert_state(page, "echo", "good")
        self.assertRegex(page.text("#echo-sent"), "^[0-9a-f]{64}$")
        self.assertEqual(page.text("#echo-sent"), page.text("#echo-received"))

    def test_compressed_they_are_the_same(self):
        self.listen("echo", "-k", "--echo", "--compress")
        page, text = self.run_page(4)
        self.assertRegex(text, "the same, byte for byte")
        answer = page.wait_event("Network.webSocketHandshakeResponseReceived")
        headers = {name.lower(): value for name, value in answer["response"]["headers"].items()}
        self.assertIn("permessage-deflate", headers["sec-websocket-extensions"])

    def test_less_than_all_is_told(self):
        listener = self.listen("echo", "-q", "none")
        exchange = Exchange(listener.process, data_of("listener", MIB))
        page = self.open()
        page.element("#echo-size", "e.value = 16")
        page.click("#echo-start")
        page.wait_text("#echo-status", "^Sending")
        listener.process.terminate()
        self.assertRegex(page.wait_text("#echo-status", "^(Closed|Broken)"), "Not all of it came back")
        exchange.result()


class Closing(BrowserCase):
    def talk(self, *arguments):
        listener = self.listen("talk", *arguments)
        page = self.open()
        page.click("#talk-open")
        page.wait_text("#talk-status", "^Connected")
        return listener, page

    def test_the_page_closes_with_code_and_reason(self):
        for code, reason, shown, status in [
                (1000, "", "1000 (normal)", 0),
                (1000, "done", "1000 (normal) “done”", 0),
                (4000, "lunch", "4000 “lunch”", 1),
                (3001, "größer", "3001 “größer”", 1),
                (4999, "x" * 123, "4999 “%s”" % ("x" * 123), 1)]:
            with self.subTest(code=code, reason=reason):
                listener, page = self.talk("-q", "none")
                page.fill("#talk-code", str(code))
                page.fill("#talk-reason", reason)
                page.click("#talk-close")
                text = page.wait_text("#talk-status", "^(Closed|Broken)")
                self.assertEqual(text, "Closed from here with %s, answered with %d." % (shown, code))
                escaped = "".join(c if c.isascii() else "".join("\\x%02x" % b for b in c.encode()) for c in reason)
                got = "received=%d" % code + (' received-reason="%s"' % escaped if reason else "")
                end, _, messages = finish(listener.process)
                self.assertEqual(end, status, messages)
                self.assertIn("event: 1 close-received %s\n" % got, messages)
                self.assertIn("event: 1 closed clean=%s %s sent=%d" % ("no" if status else "yes", got, code), messages)

    def test_a_code_that_no_page_may_send_is_told(self):
        _, page = self.talk("-q", "none")
        page.fill("#talk-code", "1001")
        page.click("#talk-close")
        page.wait_text("#talk-status", "1001|code")
        self.assert_state(page, "talk", "bad")

    def test_the_listener_closes_with_code_and_reason(self):
        for code, reason, shown in [
                (1000, "", "1000 (normal)"), (1001, "", "1001 (going away)"),
                (1008, "not you", "1008 (policy) “not you”"), (4001, "time is up", "4001 “time is up”"), (3000, "größer", "3000 “größer”")]:
            with self.subTest(code=code):
                listener, page = self.talk("--close-code", str(code), "--close-reason", reason)
                status, _, messages = finish(listener.process)
                self.assertEqual(page.wait_text("#talk-status", "^(Closed|Broken)"),
                                 "Closed by the other end: %s." % shown)
                self.assert_state(page, "talk", "good")
                self.assertEqual(status, 0, messages)
                self.assertRegex(messages, "closed clean=yes received=%d .*sent=%d" % (code, code))

    def test_a_command_closes(self):
        command = 'read -r line; [ "$line" = bye ] || exit 3'
        for button, shown in [("#talk-ask", "4001 “as you wished”"),
                              ("#talk-fail", "1011 (internal error) “exit status 3”")]:
            with self.subTest(button=button):
                _, page = self.talk("-k", "--close-code", "4001", "--close-reason", "as you wished", "--exec", command)
                page.click(button)
                self.assertEqual(page.wait_text("#talk-status", "^(Closed|Broken)"),
                                 "Closed by the other end: %s." % shown)

    def test_no_close_at_all(self):
        listener, page = self.talk("-q", "none")
        listener.process.kill()
        self.assertEqual(page.wait_text("#talk-status", "^(Closed|Broken)"), "Broken: 1006 (no Close).")
        self.assert_state(page, "talk", "bad")


class Origins(BrowserCase):
    def assert_refused(self, page):  # pylint: disable=arguments-differ
        page.click("#talk-open")
        self.assertRegex(page.wait_text("#talk-status", "^(Connected|Refused)"), "^Refused.*1006")
        page.wait_event("Network.webSocketFrameError", lambda event: "response code: 403" in event["errorMessage"])
        page.wait_event("Log.entryAdded", lambda event: "response code: 403" in event["entry"]["text"])

    def assert_let_in(self, page):
        page.click("#talk-open")
        page.wait_text("#talk-status", "^Connected")
        page.click("#talk-close")
        page.wait_text("#talk-status", "^Closed from here with 4000")

    def test_a_page_of_another_origin_is_refused_and_the_listener_goes_on(self):
        listener = self.listen("talk", "-k", "--echo")
        stranger = self.serve()
        for _ in range(2):
            self.assert_refused(self.open(stranger.origin + "/"))
            # Another name of the same machine is another origin.
            self.assert_refused(self.open(self.site.origin.replace("127.0.0.1", "localhost") + "/"))
            self.assert_let_in(self.open())
        listener.process.terminate()
        self.assertEqual(self.messages(listener).count(" open\n"), 2)

    def test_by_default_a_page_of_another_port_is_refused(self):
        with Listener("-k", "--echo", url="ws://127.0.0.1:0/") as listener:
            self.streams["talk"] = {"url": "ws://127.0.0.1:%d/" % listener.port, "command": ""}
            self.assert_refused(self.open())


class Quality(BrowserCase):
    NAMED = {"button", "textbox", "spinbutton", "combobox", "progressbar", "log", "region", "status"}

    def whole_page(self, **size):
        for card in ("upload", "echo", "talk", "tail"):
            self.listen(card, "-k", "--echo")
        page = self.open(**size)
        page.element("#echo-size", "e.value = 1")
        return page

    def test_the_page_keeps_its_own_content_security_policy(self):
        page = self.whole_page()
        page.click("#echo-start")
        page.wait_text("#echo-status", "^Closed from here with 1000")
        self.assertEqual(page.events("Log.entryAdded"), [])
        self.assertEqual(page.events("Runtime.exceptionThrown"), [])
        self.assertEqual(page.events("Runtime.consoleAPICalled"), [])

    def test_that_policy_is_one(self):
        page = self.whole_page()
        with Listener("-k", "--echo", "--origin-allow", "*", url="ws://127.0.0.1:0/") as listener:
            for expression, directive in [
                    ("try { new WebSocket('ws://127.0.0.1:%d/') } catch (error) { }" % listener.port, "connect-src"),
                    ("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))",
                     "script-src-elem"),
                    ("document.body.setAttribute('style', 'color: red')", "style-src-attr")]:
                self.assertEqual(page.evaluate("""new Promise(done => {
                    addEventListener('securitypolicyviolation', e => done(e.effectiveDirective), {once: true});
                    %s })""" % expression), directive)

    def test_every_control_has_a_name_and_states_are_told(self):
        page = self.whole_page()
        found = []
        for node in page.call("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value", "")
            if node.get("ignored") or role not in self.NAMED:
                continue
            found.append(role)
            if role != "status":
                self.assertTrue(node.get("name", {}).get("value"), node)
        for role, count in [("button", 9), ("progressbar", 3), ("region", 4), ("log", 1), ("textbox", 1)]:
            self.assertGreaterEqual(found.count(role), count, (role, found))
        for card in ("upload", "tail", "echo", "talk"):
            self.assertEqual(page.element("#%s-status" % card, "e.getAttribute('role')"), "status")

    def test_text_can_be_read_in_light_and_dark(self):
        page = self.whole_page()
        page.click("#echo-start")
        page.click("#tail-start")
        page.wait_text("#echo-status", "^Closed from here with 1000")
        for scheme in ("light", "dark"):
            page.color_scheme(scheme)
            self.assertGreater(page.evaluate("document.querySelectorAll('p, button, label, h1, h2, code').length"), 40)
            # WCAG 2.2, 1.4.3: 4.5 to 1. What is disabled is exempt.
            self.assertEqual(page.evaluate("""(() => {
                const luminance = color => color.map(c => c / 255)
                    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
                    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
                const parse = text => text.match(/[0-9.]+/g).map(Number);
                const behind = e => {
                    const color = parse(getComputedStyle(e).backgroundColor);
                    return color.length === 3 ? color : behind(e.parentElement);
                };
                const contrast = e => {
                    const [a, b] = [parse(getComputedStyle(e).color).slice(0, 3), behind(e)].map(luminance);
                    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                };
                return Array.from(document.querySelectorAll('body *'))
                    .filter(e => e.innerText && !e.disabled && contrast(e) < 4.5)
                    .map(e => e.outerHTML.slice(0, 80));
            })()"""), [])

    def test_it_fits_a_telephone(self):
        page = self.whole_page(width=360, height=740)
        self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), 360)


if __name__ == "__main__":
    main()
