#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""Serves the page, on 127.0.0.1: page_server.py STREAMS PORT...

STREAMS is the file served as streams.json, {"NAME": {"url": URL, "command": TEXT}, ...}, read at each request: the
listeners want to know the page's origin before they have an address. Prints the page's address on each PORT, 0 = any.
"""

import http.server
import json
import os
import sys
import threading
import urllib.parse

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page")


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=PAGE)

    def policy(self):
        """Nothing but what is in the page's directory, and connections to its streams only."""
        urls = [urllib.parse.urlsplit(stream["url"]) for stream in self.server.streams().values()]
        allowed = sorted({"%s://%s" % (url.scheme, url.netloc) for url in urls if url.netloc})
        return "; ".join([
            "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src data:",
            " ".join(["connect-src 'self'", *allowed]), "base-uri 'none'", "form-action 'none'",
            "frame-ancestors 'none'"])

    def end_headers(self):
        self.send_header("Content-Security-Policy", self.policy())
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        # A page that a browser keeps when it is left keeps its connections.
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def do_GET(self):
        if self.path != "/streams.json":
            return super().do_GET()
        data = json.dumps(self.server.streams()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class PageServer(http.server.ThreadingHTTPServer):
    """In a thread of its own. streams() is what streams.json is to say."""

    daemon_threads = True

    def __init__(self, streams, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.streams = streams
        self.origin = "http://127.0.0.1:%d" % self.server_port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


def read_streams(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def main():
    if len(sys.argv) < 3:
        print("usage: page_server.py STREAMS PORT...", file=sys.stderr)
        sys.exit(2)
    for port in map(int, sys.argv[2:]):
        try:
            print(PageServer(lambda: read_streams(sys.argv[1]), port).origin + "/", flush=True)
        except (OSError, OverflowError) as error:
            sys.exit("page_server.py: port %d: %s" % (port, getattr(error, "strerror", error)))
    threading.Event().wait()


if __name__ == "__main__":
    main()
