# SPDX-License-Identifier: 0BSD
"""A page in Chromium and wspipe over TLS, directly and behind nginx: test_browser_secure.py WSPIPE [unittest arguments]

The browser verifies: the tests' authority is in its own store, and in another browser's it is not. Exit 77: something
is not on this machine.
"""

import json
import os
import subprocess
import tempfile

from bench import MIB, BrowserCase, start_browser
from devtools import Browser
from page_server import PAGE
from rig import NGINX, Daemon, Exchange, Settings, data_of, environment, fingerprint, main, pki, program, scratch


def trusting_home():
    """A home directory with the tests' authority in it, where Chromium looks for a user's own."""
    certutil = program("certutil")
    home = tempfile.mkdtemp(prefix="home.", dir=Settings.directory)
    store = os.path.join(home, ".pki", "nssdb")
    os.makedirs(store)
    for arguments in (["-N", "--empty-password"], ["-A", "-n", "tests", "-t", "C,,", "-i", pki("ca.pem")]):
        subprocess.run([certutil, "-d", "sql:" + store, *arguments], check=True, env=environment(HOME=home))
    return home


def setUpModule():
    start_browser(trusting_home())


CONFIGURATION = """\
	types {
		text/html html;
		text/css css;
		text/javascript js;
		application/json json;
	}
	server {
		listen 127.0.0.1:@PORT@ ssl;
		ssl_certificate @PKI@/server.pem;
		ssl_certificate_key @PKI@/server.key;
		add_header Content-Security-Policy "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;
 connect-src 'self'";
		root @PAGE@;
		location = /streams.json {
			root .;
		}
@LOCATIONS@
	}
"""
LOCATION = """
		location /%s {
			proxy_pass http://127.0.0.1:%d/;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_set_header Host $http_host;
		}
"""


class Nginx(Daemon):
    """Page and streams on one port: for the browser they are of one origin."""

    def __init__(self, listeners):
        path = program("nginx")

        def make(port, directory):
            text = NGINX.replace("@WHOLE@", CONFIGURATION.replace("'self';\n", "'self';"))
            locations = "".join(LOCATION % (card, listener.port) for card, listener in listeners.items())
            for name, value in [("PORT", str(port)), ("PKI", pki("")), ("PAGE", PAGE), ("LOCATIONS", locations)]:
                text = text.replace("@%s@" % name, value)
            with open(os.path.join(directory, "nginx.conf"), "w", encoding="utf-8") as config:
                config.write(text)
            with open(os.path.join(directory, "streams.json"), "w", encoding="ascii") as streams:
                json.dump({card: {"url": "/" + card, "command": "wspipe -l"} for card in listeners}, streams)
            return [path, "-p", directory, "-e", "stderr", "-c", "nginx.conf"]

        super().__init__("nginx", make)
        self.origin = "https://localhost:%d" % self.port


class Secure(BrowserCase):
    def listen_secure(self, card, *arguments, name="server"):
        return self.listen(card, "--cert", pki(name + ".pem"), "--key", pki(name + ".key"), *arguments,
                           url="wss://localhost:0/")

    def send_and_receive(self, page, mebibytes):
        page.element("#echo-size", "e.value = %d" % mebibytes)
        page.click("#echo-start")
        return page.wait_text("#echo-status", "^(Closed|Broken|Refused)")

    def test_16_mib_each_way_have_the_checksums_of_both_ends(self):
        listener = self.listen_secure("echo", "-q", "none")
        ours = data_of("listener", 16 * MIB)
        exchange = Exchange(listener.process, ours)
        page = self.open()
        self.assertRegex(self.send_and_receive(page, 16), "answered with 1000. 16.0 MiB each way")
        status, messages, arrived = exchange.result()
        self.assertEqual((status, arrived), (0, (16 * MIB, page.text("#echo-sent"))), messages)
        self.assertEqual((len(ours), page.text("#echo-received")), fingerprint(ours))

    def test_a_wrong_certificate_is_refused_and_the_reason_is_in_the_console(self):
        for name, reason in [("wrong", "ERR_CERT_COMMON_NAME_INVALID"), ("expired", "ERR_CERT_DATE_INVALID"),
                             ("unknown", "ERR_CERT_AUTHORITY_INVALID"), ("self", "ERR_CERT_AUTHORITY_INVALID")]:
            with self.subTest(name=name):
                self.listen_secure("echo", "-k", "--echo", name=name)
                page = self.open()
                self.assertRegex(self.send_and_receive(page, 1), "^Refused.* 1006")
                page.wait_event("Network.webSocketFrameError", lambda event, r=reason: r in event["errorMessage"])

    def test_a_browser_without_the_authority_refuses(self):
        self.listen_secure("echo", "-k", "--echo")
        home = tempfile.mkdtemp(prefix="home.", dir=Settings.directory)
        with Browser(home, environment()) as self.browser:
            page = self.open()
            self.assertRegex(self.send_and_receive(page, 1), "^Refused.* 1006")
            page.wait_event("Network.webSocketFrameError",
                            lambda event: "ERR_CERT_AUTHORITY_INVALID" in event["errorMessage"])


class ThroughNginx(BrowserCase):
    def setUp(self):
        super().setUp()
        program("nginx")

    def behind(self, card, *arguments):
        """A plain listener, with the default rule of origins."""
        return self.listen(card, *arguments, allow=False)

    def start_nginx(self, **listeners):
        nginx = Nginx(listeners)
        self.addCleanup(nginx.__exit__)
        return nginx

    def test_what_goes_out_comes_back(self):
        listener = self.behind("echo", "-k", "--echo")
        page = self.open(self.start_nginx(echo=listener).origin + "/")
        page.click("#echo-start")
        self.assertRegex(page.wait_text("#echo-status", "^(Closed|Broken|Refused)"),
                         "answered with 1000. 64.0 MiB each way.*the same, byte for byte")

    def test_an_upload_arrives_byte_for_byte(self):
        data = data_of("file", 8 * MIB + 321)
        with open(scratch("file"), "wb") as file:
            file.write(data)
        listener = self.behind("upload", "-q", "none")
        page = self.open(self.start_nginx(upload=listener).origin + "/")
        exchange = Exchange(listener.process, b"")
        page.choose_file("#upload-file", scratch("file"))
        page.click("#upload-start")
        page.wait_text("#upload-status", "answered with 1000. All %d bytes" % len(data))
        status, messages, arrived = exchange.result()
        self.assertEqual((status, arrived), (0, fingerprint(data)), messages)

    def test_codes_and_reasons_pass(self):
        listener = self.behind("talk", "-k", "--close-code", "4001", "--close-reason", "time is up",
                               "--exec", "read -r line")
        page = self.open(self.start_nginx(talk=listener).origin + "/")
        page.click("#talk-open")
        page.wait_text("#talk-status", "^Connected")
        page.click("#talk-ask")
        page.wait_text("#talk-status", "^Closed by the other end: 4001 “time is up”")
        page.click("#talk-open")
        page.wait_text("#talk-status", "^Connected")
        page.click("#talk-close")
        page.wait_text("#talk-status", "^Closed from here with 4000 “lunch”, answered with 4000")
        listener.process.terminate()
        self.assertIn('event: 2 close-received received=4000 received-reason="lunch"', self.messages(listener))

    def test_lines_are_not_held_back(self):
        with open(scratch("followed"), "wb") as file:
            file.write(b"first\n")
        listener = self.behind("tail", "-k", "--exec",
                               "tail -n +1 -f '%s' & cat >/dev/null; kill $!" % scratch("followed"))
        page = self.open(self.start_nginx(tail=listener).origin + "/")
        page.click("#tail-start")
        page.wait_text("#tail-log", "^first\n$")
        with open(scratch("followed"), "ab") as file:
            file.write(b"second\n")
        page.wait_text("#tail-log", "\nsecond\n$")

    def test_a_page_of_another_origin_is_refused(self):
        listener = self.behind("talk", "-k", "--echo")
        nginx = self.start_nginx(talk=listener)
        self.streams["talk"]["url"] = "wss://localhost:%d/talk" % nginx.port
        page = self.open(self.site.origin + "/")
        page.click("#talk-open")
        page.wait_text("#talk-status", "^Refused")
        page.wait_event("Network.webSocketFrameError", lambda event: "response code: 403" in event["errorMessage"])


if __name__ == "__main__":
    main()
