# SPDX-License-Identifier: 0BSD
"""Headless Chromium, steered over its DevTools protocol.

That goes through a pair of pipes (--remote-debugging-pipe): no port, no WebSocket, and the browser ends when they do.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import unittest

TIMEOUT_S = 240
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Without these Chromium asks its maker's hosts for this and that.
QUIET = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--disable-extensions", "--disable-quic", "--disable-gpu", "--no-proxy-server",
         "--disable-dev-shm-usage", "--password-store=basic", "--disable-features=OptimizationHints,MediaRouter"]
# Puts the pipes where Chromium looks for them.
LAUNCH = """import os, sys
for target, fd in zip((3, 4), sys.argv[1:3]):
    os.dup2(int(fd), target)
os.execv(sys.argv[3], sys.argv[3:])
"""


class ProtocolError(Exception):
    pass


def above_four(fd):
    """The same pipe, out of the way of the descriptors that are to be replaced."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return moved


class Browser:
    """One process, with the home directory given: its profile is in there, and so are the authorities it trusts."""

    def __init__(self, home, environment):
        path = next((found for found in map(shutil.which, NAMES) if found), None)
        if path is None:
            raise unittest.SkipTest("no chromium")
        self.log_path = os.path.join(home, "chromium.log")
        theirs, self.output = map(above_four, os.pipe())
        self.input, answers = map(above_four, os.pipe())
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(theirs), str(answers), path, "--headless=new",
                 "--remote-debugging-pipe", "--user-data-dir=" + os.path.join(home, "profile"), *QUIET, *root,
                 "about:blank"],
                pass_fds=(theirs, answers), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**environment, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home})
        os.close(theirs)
        os.close(answers)
        self.changed = threading.Condition()
        self.tab = None
        self.answers, self.events, self.ended, self.last_id = {}, [], False, 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.version = self.call("Browser.getVersion")["product"]

    def read(self):
        pending = b""
        while data := os.read(self.input, 1 << 20):
            *messages, pending = (pending + data).split(b"\0")
            with self.changed:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self.answers[message["id"]] = message
                    else:
                        self.events.append(message)
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, ready, what):
        """What ready() returns, once that is something; it is called with the lock held."""
        deadline = time.monotonic() + TIMEOUT_S
        with self.changed:
            while not (result := ready()):
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    with open(self.log_path, encoding="utf-8", errors="replace") as log:
                        raise ProtocolError("%s: the browser %s; %s" % (
                            what, "ended" if self.ended else "does not answer", log.read()[-2000:]))
                self.changed.wait(left)
            return result

    def call(self, method, session=None, **parameters):
        with self.changed:
            self.last_id += 1
            number = self.last_id
            message = {"id": number, "method": method, "params": parameters}
            if session:
                message["sessionId"] = session
            data = json.dumps(message).encode() + b"\0"
            while data:
                data = data[os.write(self.output, data):]
        answer = self.wait(lambda: self.answers.pop(number, None), method)
        if "error" in answer:
            raise ProtocolError("%s: %s" % (method, answer["error"]))
        return answer["result"]

    def page(self):
        """Its tab, a new one if there is none: starting a renderer takes the longest of all."""
        if self.tab is None:
            self.tab = Page(self)
        return self.tab

    def close(self):
        """Ends it, all of its processes included; whatever happens, it does not outlive the test."""
        try:
            if self.process.poll() is None:
                self.call("Browser.close")
            self.process.wait(TIMEOUT_S)
        except (ProtocolError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.output)
        self.reader.join(TIMEOUT_S)
        os.close(self.input)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    """A tab."""

    def __init__(self, browser):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def events(self, method):
        """The parameters of those that have come."""
        with self.browser.changed:
            return [event["params"] for event in self.browser.events
                    if event["method"] == method and event.get("sessionId") == self.session]

    def wait_event(self, method, wanted=lambda _: True):
        return self.browser.wait(lambda: next(filter(wanted, self.events(method)), None), method)

    def size(self, width, height):
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def navigate(self, url):
        """Until it is loaded. Earlier events are forgotten."""
        with self.browser.changed:
            self.browser.events = [event for event in self.browser.events if event.get("sessionId") != self.session]
        answer = self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise ProtocolError("%s: %s" % (url, answer["errorText"]))
        self.evaluate("new Promise(done => document.readyState === 'complete' ? done(true) :"
                      " addEventListener('load', () => done(true)))")

    def evaluate(self, expression):
        """Its value, or that of its promise."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True,
                           userGesture=True)
        if "exceptionDetails" in answer:
            raise ProtocolError("%s: %s" % (expression, json.dumps(answer["exceptionDetails"])[:1000]))
        return answer["result"].get("value")

    def element(self, selector, expression):
        """An expression of e, the element."""
        return self.evaluate("(e => %s)(document.querySelector(%s))" % (expression, json.dumps(selector)))

    def text(self, selector):
        return self.element(selector, "e.textContent")

    def wait_text(self, selector, pattern):
        """The text, once it matches."""
        try:
            return self.element(selector, """new Promise(done => {
                const look = () => new RegExp(%s).test(e.textContent) && (done(e.textContent), true);
                if (!look())
                    new MutationObserver((_, watch) => look() && watch.disconnect())
                        .observe(e, {childList: true, characterData: true, subtree: true});
            })""" % json.dumps(pattern))
        except ProtocolError as error:
            raise AssertionError("%s is %r, not %s" % (selector, self.text(selector), pattern)) from error

    def click(self, selector):
        """As a pointing device does: what is disabled, covered or not there is not clicked."""
        x, y = self.element(selector, "(e.scrollIntoView({block: 'center'}), (r => [r.x + r.width / 2, r.y + r.height"
                                      " / 2])(e.getBoundingClientRect()))")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def fill(self, selector, value):
        self.element(selector, "(e.focus(), e.select())")
        self.call("Input.insertText", text=value)

    def choose_file(self, selector, path):
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[path])

    def color_scheme(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        """All of the page as PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"])
        with open(path, "wb") as file:
            file.write(data)
        return data

    def close(self):
        """As its user does."""
        self.browser.tab = None
        self.browser.call("Target.closeTarget", targetId=self.target)
