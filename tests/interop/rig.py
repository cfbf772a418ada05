# SPDX-License-Identifier: 0BSD
"""What the interop tests share: processes, certificates, other people's programs, and data.

A script calls main() with the rig's own arguments before unittest's: WSPIPE [--full] [unittest arguments].
"""

import hashlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77
TIMEOUT_S = 120
SMALL_BYTES = 8000000
FULL_BYTES = 100000000


class Settings:
    wspipe = []
    total = SMALL_BYTES
    directory = None


def environment(**more):
    """This process' without what would lead connections or OpenSSL elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        kept.pop(name, None)
    # Where Debian keeps Node's modules, and where it keeps its daemons.
    kept.setdefault("NODE_PATH", "/usr/share/nodejs")
    kept["PATH"] = kept.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    kept.update(more)
    return kept


def program(name):
    """The program's path; without it the test is skipped."""
    path = shutil.which(name, path=environment()["PATH"])
    if path is None:
        raise unittest.SkipTest("no " + name)
    return path


def scratch(name):
    """A path in the script's temporary directory."""
    return os.path.join(Settings.directory, name)


def pki(name):
    return os.path.join(Settings.directory, "pki", name)


# --- data ---

LETTERS = bytes(b"etaoin shrdlucm\n"[i & 15] for i in range(256))


def data_of(name, total):
    """The peers' data: the same bytes from a name, every second 64 KiB compressible."""
    data = hashlib.shake_128(name.encode()).digest(total)
    blocks = [data[i:i + 65536] for i in range(0, total, 65536)]
    return b"".join(block.translate(LETTERS) if i % 2 else block for i, block in enumerate(blocks))


def fingerprint(data):
    return len(data), hashlib.sha256(data).hexdigest()


# --- processes ---

def start(arguments, **settings):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    return subprocess.Popen(arguments, **{**pipes, **settings})


def stop(process):
    """It never outlives its test; what it still says is returned."""
    if process.poll() is None:
        process.terminate()
    if process.returncode is not None and process.stdout is not None and process.stdout.closed:
        return b""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return (out or b"") + (err or b"")


def finish(process, data=None):
    """(status, output, messages)"""
    try:
        out, err = process.communicate(data, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out or b"", (err or b"").decode(errors="replace")


def wspipe(*arguments, data=b"", **settings):
    return finish(start([*Settings.wspipe, *arguments], **settings), data)


class Exchange:
    """wspipe in the background, with data for its standard input, that knows what it got.

    Its standard input ends behind the data or, with wait_for bytes, when so many have come out.
    """

    def __init__(self, process, data, wait_for=None):
        self.process = process
        self.pipes = process.stdin, process.stdout, process.stderr
        # They are not for communicate() any more.
        process.stdin = process.stdout = process.stderr = None
        self.total = 0
        self.hash = hashlib.sha256()
        self.messages = []
        self.arrived = threading.Event()
        self.wait_for = wait_for or 0
        if self.wait_for == 0:
            self.arrived.set()
        self.threads = [threading.Thread(target=self.feed, args=(data,), daemon=True),
                        threading.Thread(target=self.drain, daemon=True),
                        threading.Thread(target=self.listen, daemon=True)]
        for thread in self.threads:
            thread.start()

    def feed(self, data):
        try:
            with self.pipes[0] as sink:
                sink.write(data)
                sink.flush()
                self.arrived.wait()
        except BrokenPipeError:
            pass  # its own message says more

    def drain(self):
        while piece := self.pipes[1].read1(1 << 20):
            self.total += len(piece)
            self.hash.update(piece)
            if self.total >= self.wait_for:
                self.arrived.set()
        self.arrived.set()

    def listen(self):
        self.messages += self.pipes[2].read().decode(errors="replace").splitlines()

    def result(self):
        """(status, messages, (size, SHA-256) of what came out)"""
        try:
            status = self.process.wait(TIMEOUT_S + Settings.total / 1e6)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for thread in self.threads:
            thread.join(TIMEOUT_S)
        for pipe in self.pipes[1:]:
            pipe.close()
        return status, self.messages, (self.total, self.hash.hexdigest())


class Listener:
    """wspipe -l in the background; .url is what it prints."""

    def __init__(self, *arguments, url="wss://localhost:0/", **settings):
        self.process = start([*Settings.wspipe, "-l", *arguments, url], **settings)
        line = self.process.stderr.readline().decode()
        match = re.fullmatch(r"listening on (wss?://[^ ]+:([1-9][0-9]*)/\S*)\n", line)
        if not match:
            raise AssertionError("wspipe -l said %r" % (line.encode() + stop(self.process)))
        self.port = int(match.group(2))
        self.url = "%s://localhost:%d/" % (match.group(1).split(":")[0], self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        stop(self.process)


# --- other people's programs ---

# One that keeps to its own directory. WHOLE is what its http block has besides.
NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {
	worker_connections 64;
}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
@WHOLE@
}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
        return True
    except ConnectionRefusedError:
        return False


class Daemon:
    """A server that can't choose a port by itself: a free one is found for it, again if another program was faster.

    make(port, directory) returns its command line; the directory is its own.
    """

    def __init__(self, name, make):
        self.name = name
        self.directory = tempfile.mkdtemp(prefix=name + ".", dir=Settings.directory)
        self.path = os.path.join(self.directory, "log")
        for _ in range(5):
            self.port = free_port()
            with open(self.path, "wb") as log:
                self.process = start(make(self.port, self.directory), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if self.is_ready():
                return
            stop(self.process)
        raise AssertionError("%s does not start: %s" % (name, self.log()))

    def is_ready(self):
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if accepts(self.port):
                # It is the other program's port, if its own log complains.
                return self.process.poll() is None and "in use" not in self.log()
            time.sleep(0.02)
        return False

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)


class Peer:
    """peer.js or peer.py: kind is "node" or "python". A server's .port is known at once."""

    def __init__(self, kind, settings, role, url, *scenario):
        settings = ["--%s=%s" % (name, value) for name, value in settings.items()]
        self.process = start([*Peer.command(kind), "--total=%d" % Settings.total, *settings, role, url, *scenario],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if role == "server":
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError("the peer does not start: %r" % stop(self.process))
            self.port = int(line)

    @staticmethod
    def command(kind):
        if kind == "node":
            command, test, missing = ["node"], ["-e", "require('ws')"], "node with ws"
        else:
            # websockets is a package of the system's own Python, if another one comes first.
            command, test, missing = ["/usr/bin/python3"], ["-c", "import websockets"], "python3 with websockets"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
        try:
            if subprocess.run(command + test, check=False, timeout=TIMEOUT_S, **quiet).returncode == 0:
                return command + [os.path.join(HERE, "peer.js" if kind == "node" else "peer.py")]
        except FileNotFoundError:
            pass
        raise unittest.SkipTest("no " + missing)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def result(self):
        """(status, messages)"""
        status, _, err = finish(self.process)
        return status, err


class Case(unittest.TestCase):
    def assert_clean(self, result, output=None):
        """result of wspipe() or of an Exchange; output: what must have come out."""
        if isinstance(result[1], list):
            self.assertEqual(result, (0, [], fingerprint(output if output is not None else b"")))
            return
        status, out, err = result
        self.assertEqual((status, err), (0, ""))
        if output is not None:
            self.assertTrue(out == output, "%d bytes where %d were expected" % (len(out), len(output)))

    def assert_refused(self, result, pattern):
        status, out, err = result
        self.assertEqual((status, out), (1, b""), err)
        self.assertRegex(err, r"\Awspipe: [^\n]+\n\Z")
        self.assertRegex(err, pattern)

    def assert_peer(self, peer):
        self.assertEqual(peer.result(), (0, ""))


def make_certificates():
    program("openssl")
    os.mkdir(scratch("pki"))
    subprocess.run(["sh", os.path.join(HERE, "..", "make_certificates.sh"), scratch("pki")], check=True)


def main():
    """Exit 0; or 77: nothing failed, but something was skipped, as it says."""
    Settings.wspipe = shlex.split(os.environ.get("WSPIPE_WRAPPER", "")) + [os.path.abspath(sys.argv.pop(1))]
    # Told to end, it still ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "--full" in sys.argv:
        sys.argv.remove("--full")
        Settings.total = FULL_BYTES
    with tempfile.TemporaryDirectory(prefix="wsfile-interop.") as Settings.directory:
        try:
            make_certificates()
        except unittest.SkipTest as error:
            print("SKIPPED: %s" % error)
            sys.exit(SKIPPED)
        result = unittest.main(exit=False, verbosity=1).result
    for reason in sorted({reason for _, reason in result.skipped}):
        print("SKIPPED: %s" % reason)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped else 0)
