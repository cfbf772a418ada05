# SPDX-License-Identifier: 0BSD
"""tools/demo.sh as somebody uses it who has a browser: test_browser_demo.py WSPIPE DIRECTORY [unittest arguments].

Screenshots are left in DIRECTORY; their paths are printed. Exit 77: no browser.
"""

import glob
import hashlib
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import threading

from bench import BrowserCase, start_browser
from devtools import TIMEOUT_S
from rig import Settings, data_of, environment, main, scratch

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PICTURES = os.path.abspath(sys.argv.pop(2))


def setUpModule():
    start_browser()


class Demo:
    """The script, in a session of its own, and what it prints."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            ["sh", os.path.join(TOP, "tools", "demo.sh"), *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env=environment(TMPDIR=Settings.directory))
        self.lines = queue.Queue()
        self.text = ""
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def wait_for(self, pattern):
        """A match in what it has printed; None = in all of it."""
        while pattern is None or not re.search(pattern, self.text, re.M):
            line = self.lines.get(timeout=TIMEOUT_S)
            if line is None:
                break
            self.text += line
        match = re.search(pattern or "", self.text, re.M)
        if match is None:
            raise AssertionError("demo.sh did not say %s, but %s" % (pattern, self.text))
        return match

    def members(self):
        """Processes of its session that are still there."""
        found = []
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path, encoding="latin-1") as file:
                    state, _, _, session = file.read().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) == self.process.pid and state != "Z":
                found.append(path.split("/")[2])
        return found

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.process.stdout.close()


class Demonstration(BrowserCase):
    @classmethod
    def setUpClass(cls):
        cls.demo = Demo("--wspipe", Settings.wspipe[-1])

    @classmethod
    def tearDownClass(cls):
        cls.demo.close()

    def picture(self, page, name):
        path = os.path.join(PICTURES, name)
        data = page.screenshot(path)
        print("screenshot: " + path)
        width, height = struct.unpack(">II", data[16:24])
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        self.assertGreaterEqual(height, 740)
        self.assertGreater(len(data), 20000)
        return width

    def upload(self, page):
        data = data_of("demo", 3000001)
        with open(scratch("demo.bin"), "wb") as file:
            file.write(data)
        page.choose_file("#upload-file", scratch("demo.bin"))
        page.click("#upload-start")
        page.wait_text("#upload-status", "^Closed from here .* answered with 1000. All 3000001 bytes")
        digest = hashlib.sha256(data).hexdigest()
        page.wait_text("#upload-digest", "^%s$" % digest)
        return data, page.wait_text("#tail-log", "upload: 3000001 bytes in upload\\.\\w+, SHA-256 %s\n" % digest)

    def use_every_card(self, page, demo):
        page.click("#tail-start")
        page.wait_text("#tail-log", "the demonstration is running\n")
        log = demo.wait_for(r"^    echo hello >>(\S+)$").group(1)
        with open(log, "a", encoding="utf-8") as file:
            file.write("hello, “wsfile”\n")
        page.wait_text("#tail-log", "\nhello, “wsfile”\n")
        data, text = self.upload(page)
        uploads = demo.wait_for(r"Until this ends, uploads are in\n    (\S+)$").group(1)
        with open(os.path.join(uploads, re.search(r"upload\.\w+", text).group(0)), "rb") as file:
            self.assertTrue(file.read() == data)
        page.element("#echo-size", "e.value = 16")
        page.click("#echo-start")
        page.wait_text("#echo-status", "^Closed from here .* the same, byte for byte")
        page.click("#talk-open")
        page.wait_text("#talk-status", "^Connected")
        page.click("#talk-ask")
        page.wait_text("#talk-status", "^Closed by the other end: 4001 “as you wished”")

    def test_every_card_works_and_the_screenshots_are_made(self):
        demo = Demo("--wspipe", Settings.wspipe[-1])
        self.addCleanup(demo.close)
        address = demo.wait_for(r"^    (http://127\.0\.0\.1:\d+/)$").group(1)
        # The other name that a user may type.
        page = self.open(address.replace("127.0.0.1", "localhost"))
        page.click("#talk-open")
        page.wait_text("#talk-status", "^Connected")
        page = self.open(address)
        self.use_every_card(page, demo)
        for scheme in ("light", "dark"):
            page.color_scheme(scheme)
            self.assertEqual(self.picture(page, "browser-%s.png" % scheme), 1200)
        page.size(390, 844)
        self.assertEqual(self.picture(page, "browser-narrow.png"), 390)
        # Ctrl-C, with the log still followed.
        demo.process.send_signal(signal.SIGINT)
        page.wait_text("#tail-status", "^Closed by the other end: 1001")
        self.assertEqual(demo.process.wait(TIMEOUT_S), 0)
        demo.wait_for(None)
        self.assertEqual(demo.members(), [])
        self.assertFalse(os.path.exists(os.path.dirname(demo.wait_for(r">>(\S+)$").group(1))))
        self.assertRegex(demo.text, r"(?m)^tail: \d+ closed clean=yes received=1001 sent=1001$")

    def test_a_page_of_another_origin_is_refused_by_every_card(self):
        page = self.open(self.demo.wait_for(r"another origin.*\n    (http://127\.0\.0\.1:\d+/)$").group(1))
        with open(scratch("small"), "wb") as file:
            file.write(b"small")
        page.choose_file("#upload-file", scratch("small"))
        for card, button in [("upload", "start"), ("tail", "start"), ("echo", "start"), ("talk", "open")]:
            page.click("#%s-%s" % (card, button))
            page.wait_text("#%s-status" % card, "^Refused.* 1006")

    def test_an_upload_that_is_not_whole_is_thrown_away(self):
        page = self.open(self.demo.wait_for(r"^    (http://127\.0\.0\.1:\d+/)$").group(1))
        page.click("#tail-start")
        # In good order as far as the stream goes: it closes with 1000.
        page.evaluate("""fetch('streams.json').then(answer => answer.json()).then(streams => new Promise(done => {
            const socket = new WebSocket(streams.upload.url + '?size=1000');
            socket.onopen = () => { socket.send(new Uint8Array(999)); socket.close(1000); };
            socket.onclose = end => { window.end = [end.code, end.reason]; done(true); };
        }))""")
        self.assertEqual(page.evaluate("end"), [1011, "exit status 1"])
        page.wait_text("#tail-log", "upload: 999 bytes came, which is not all: thrown away\n")
        uploads = self.demo.wait_for(r"Until this ends, uploads are in\n    (\S+)$").group(1)
        self.assertEqual(os.listdir(uploads), [])

    def test_what_is_wrong_is_told(self):
        for arguments, status, pattern in [
                (["--help"], 0, r"\Ausage: sh tools/demo\.sh "), (["--port"], 2, r"\Ausage: "),
                (["--port", "x"], 2, r"\Ausage: "), (["nonsense"], 2, r"\Ausage: "),
                (["--wspipe", "/nonexistent"], 1, r"\Ademo\.sh: no command /nonexistent\n\Z"),
                (["--wspipe", Settings.wspipe[-1], "--port", str(self.site.server_port)], 1, "in use")]:
            with self.subTest(arguments=arguments):
                demo = Demo(*arguments)
                demo.wait_for(None)
                self.assertEqual(demo.process.wait(TIMEOUT_S), status, demo.text)
                self.assertRegex(demo.text, pattern)
                self.assertEqual(demo.members(), [])
                demo.close()


if __name__ == "__main__":
    main()
