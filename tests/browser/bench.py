# SPDX-License-Identifier: 0BSD
"""What the browser tests share: the page, its streams, and a browser that has a home directory of its own."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

# pylint: disable=wrong-import-position
from devtools import Browser
from page_server import PageServer
from rig import Case, Listener, Settings, environment, finish

MIB = 1 << 20


def start_browser(home=None):
    """For setUpModule."""
    BrowserCase.browser = Browser(home or tempfile.mkdtemp(prefix="home.", dir=Settings.directory), environment())
    unittest.addModuleCleanup(BrowserCase.browser.close)
    print(BrowserCase.browser.version)


class BrowserCase(Case):
    """Each test has a page's server, .site, and says in .streams where the page finds what."""

    browser = None

    def setUp(self):
        self.streams = {}
        self.site = self.serve()

    def serve(self):
        site = PageServer(lambda: self.streams)
        self.addCleanup(site.close)
        return site

    def listen(self, card, *arguments, url="ws://127.0.0.1:0/", allow=True):
        """wspipe -l -v, which the page knows by the card's name."""
        arguments = ["-v", *(["--origin-allow", self.site.origin] if allow else []), *arguments]
        listener = Listener(*arguments, url=url)
        self.addCleanup(listener.close)
        if url.startswith("ws://"):
            listener.url = listener.url.replace("localhost", "127.0.0.1")
        self.streams[card] = {"url": listener.url, "command": "wspipe -l " + " ".join(arguments)}
        return listener

    def open(self, url=None, width=1200, height=900):
        """In the one tab, loaded anew."""
        page = self.browser.page()
        page.size(width, height)
        page.color_scheme("light")
        page.navigate(url or self.site.origin + "/")
        page.evaluate("""new Promise(done => {
            const ready = () => document.documentElement.dataset.ready && (done(true), true);
            if (!ready())
                new MutationObserver((_, watch) => ready() && watch.disconnect())
                    .observe(document.documentElement, {attributes: true});
        })""")
        return page

    def assert_state(self, page, card, state):
        self.assertEqual(page.element("#" + card, "e.dataset.state"), state, page.text("#%s-status" % card))

    def messages(self, listener, status=0):
        """Of a listener that ends by itself or has been told to."""
        code, _, messages = finish(listener.process)
        self.assertEqual(code, status, messages)
        return messages
