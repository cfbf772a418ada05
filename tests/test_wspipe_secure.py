# SPDX-License-Identifier: 0BSD
"""The command wspipe over TLS, as its users see it: test_wspipe_secure.py WSPIPE [unittest arguments]"""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest
import warnings

from wspipe_command import Case, Listener, finish, run, start
from wspipe_peer import BINARY, TIMEOUT_S, Server, connect

PLACE = None    # directory of the certificates, for the run of this script


def setUpModule():
    global PLACE
    PLACE = tempfile.mkdtemp(prefix="wspipe-secure-")
    unittest.addModuleCleanup(shutil.rmtree, PLACE)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "make_certificates.sh")
    subprocess.run(["sh", script, PLACE], check=True)


def at(name):
    return os.path.join(PLACE, name)


def pin(name):
    with open(at(name + ".pin"), encoding="ascii") as file:
        return file.read().strip()


def pair(name):
    return ["--cert", at(name + ".pem"), "--key", at(name + ".key")]


def trusting(url, *arguments, **settings):
    return run("--ca", at("ca.pem"), *arguments, url, **settings)


class Secure(Listener):
    """A wss listener that echoes to all that come."""

    def __init__(self, *arguments, name="server", **settings):
        super().__init__("-k", "--echo", *(pair(name) if name else []), *arguments, url="wss://127.0.0.1:0/",
                         **settings)


def server_context(name="server"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at(name + ".pem"), at(name + ".key"))
    return context


def client_context():
    context = ssl.create_default_context(cafile=at("ca.pem"))
    context.check_hostname = True
    return context


def of_tls_1_0(context):
    """Nothing else; and Python warns of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    return context


class Usage(Case):
    def test_a_usage_error_is_one_line_and_status_2(self):
        for arguments, name in [
                (["--cert", "a", "wss://a/"], "--cert needs -l"),
                (["--key", "a", "wss://a/"], "--key needs its --cert"),
                (["--client-ca", "a", "wss://a/"], "--client-ca needs -l"),
                (["-l", "--ca", "a", "wss://a/"], "--ca has no use with -l"),
                (["-l", "--insecure", "wss://a/"], "--insecure has no use with -l"),
                (["-l", "--client-cert", "a", "wss://a/"], "--client-cert has no use with -l"),
                (["-l", "--client-cert", "a", "--client-key", "b", "wss://a/"], "--client-"),
                (["-l", "--server-name", "a", "wss://a/"], "--server-name has no use with -l"),
                (["-l", "--key", "a", "--cert", "b", "wss://a/"], "--key needs its --cert before it"),
                (["-l", "--cert", "b", "--key", "a", "--key", "c", "wss://a/"], "--key: the --cert before it"),
                (["--client-key", "a", "wss://a/"], "--client-key needs --client-cert"),
                (["--key-password-file", "a", "wss://a/"], "--key-password-file needs --client-cert"),
                (["-l", "--key-password-file", "a", "wss://a/"], "--key-password-file needs --cert"),
                (["-l", "wss://127.0.0.1:0/"], "-l with a wss URL needs --cert"),
                (["-l", "--pin", pin("client"), "WSS://127.0.0.1:0/"], "-l with a wss URL needs --cert"),
                (["-l", "wss+unix:///nowhere/socket"], "-l with a wss URL needs --cert"),
                (["--key-password-file", "-", "--client-cert", "b", "wss://a/"], "--key-password-file: standard input"),
                (["--ca", "a", "--insecure", "wss://a/"], "--ca has no use with --insecure"),
                (["--insecure=yes", "wss://a/"], "--insecure"),
                (["--tls-min", "1.1", "wss://a/"], "--tls-min"),
                (["--tls-min", "", "wss://a/"], "--tls-min"),
                (["--pin"], "--pin"),
                # Nobody is to trust what a connection without TLS does not do.
                (["--pin", "a", "ws://a/"], "--pin needs a wss URL"),
                (["--ca", "a", "WS://a/"], "--ca needs a wss URL"),
                (["--tls-min", "1.3", "ws+unix:///a"], "--tls-min needs a wss URL"),
                (["-l", "--cert", "a", "ws://a/"], "--cert needs a wss URL"),
                # Not even where a redirect may lead to TLS: none has to come.
                (["--pin", "a", "--max-redirects", "3", "ws://a/"], "--pin needs a wss URL"),
                (["--max-redirects", "3", "--tls-min", "1.3", "ws://a/"], "--tls-min needs a wss URL"),
                (["--max-redirects", "3", "--pin", "a", "ws+unix:///a"], "--pin needs a wss URL"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_usage(run(*arguments), name)

    def test_what_a_misspelt_option_was_given_is_not_printed(self):
        for option, name in [("--usr", "unknown option --usr ("), ("--use", "option --use can be"),
                             ("--client", "option --client can be"), ("--pass", "unknown option --pass ("),
                             ("-user", "in -user ("), ("--echo", "--echo takes no value"),
                             ("--" + "x" * 300, "--xxx"), ("--", "--;")]:
            with self.subTest(option=option):
                result = run(option + "=wanda:sesame", "ws://127.0.0.1:1/")
                self.assert_usage(result, name)
                self.assertNotIn("sesame", result[2])


class Files(Case):
    def test_a_file_that_can_not_be_used_is_one_line_and_status_1(self):
        with open(at("wrong.password"), "w", encoding="ascii") as file:
            file.write("not it\n")
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        client, listener = ["wss://127.0.0.1:%d/" % server.getsockname()[1]], ["-l", "wss://127.0.0.1:0/"]
        for arguments, pattern in [
                (["--ca", at("none.pem"), *client], "none.pem.*No such file"),
                (["--ca", at("empty.pem"), *client], "empty.pem"),
                (["--ca", at("garbage.pem"), *client], "garbage.pem"),
                (["--ca", at("server.key"), *client], "server.key"),
                (["--client-cert", at("none.pem"), *client], "none.pem.*No such file"),
                (["--client-cert", at("client.pem"), *client], "client.pem"),
                (["--client-cert", at("client.pem"), "--client-key", at("server.key"), *client], "server.key"),
                (["--client-cert", at("client.pem"), "--client-key", PLACE, *client], "directory"),
                (["--client-cert", at("server.pem"), "--client-key", at("locked.key"), *client],
                 "locked.key.*password"),
                (["--client-cert", at("server.pem"), "--client-key", at("locked.key"), "--key-password-file",
                  at("none"), *client], "none.*No such file"),
                (["--client-cert", at("server.pem"), "--client-key", at("locked.key"), "--key-password-file",
                  at("wrong.password"), *client], "locked.key.*wrong"),
                (["--cert", at("none.pem"), *listener], "none.pem.*No such file"),
                (["--cert", at("empty.pem"), *listener], "empty.pem"),
                (["--cert", at("garbage.pem"), "--key", at("server.key"), *listener], "garbage.pem"),
                (["--cert", at("server.pem"), *listener], "server.pem"),
                (["--cert", at("server.pem"), "--key", at("none.key"), *listener], "none.key.*No such file"),
                (["--cert", at("server.pem"), "--key", at("other.key"), *listener], "other.key"),
                ([*pair("server"), "--cert", at("other.pem"), "--key", at("rsa.key"), *listener], "rsa.key"),
                ([*pair("server"), "--client-ca", at("none.pem"), *listener], "none.pem.*No such file"),
                ([*pair("server"), "--client-ca", at("empty.pem"), *listener], "empty.pem"),
        ]:
            with self.subTest(arguments=arguments):
                result = run(*arguments)
                self.assert_broken(result, pattern)
                self.assertNotIn("not it", result[2])

    def test_a_pin_that_is_none_is_refused_before_any_connection(self):
        for text in ("", "nonsense", "A" * 44, pin("server")[:-4], pin("server") + "=", "md5//" + pin("server")):
            with self.subTest(pin=text), socket.create_server(("127.0.0.1", 0)) as listener:
                self.assert_broken(run("--pin", text, "wss://127.0.0.1:%d/" % listener.getsockname()[1]), "pin")
                listener.setblocking(False)
                self.assertRaises(BlockingIOError, listener.accept)


class Trust(Case):
    def test_echo_of_several_megabytes(self):
        data = os.urandom(5000000)
        for name in ("server", "rsa"):
            with self.subTest(name=name), Secure(name=name) as listener:
                self.assertTrue(listener.url.startswith("wss://"))
                self.assert_clean(trusting(listener.url, data=data), data)
                self.assert_clean(trusting(listener.url.replace("127.0.0.1", "localhost"), data=data), data)
                self.assertEqual(listener.messages_when_stopped(), "")

    def test_half_close_and_one_connection_without_keep(self):
        with Listener(*pair("server"), url="wss://127.0.0.1:0/") as listener:
            client = start("--ca", at("ca.pem"), listener.url)
            listener.process.stdin.write(b"from the listener\n")
            listener.process.stdin.close()
            self.assertEqual(client.stdout.read(18), b"from the listener\n")
            client.stdin.close()
            client.stdin = listener.process.stdin = None
            self.assert_clean(finish(client), b"")
            self.assert_clean(finish(listener.process), b"")

    def test_authorities_in_a_directory(self):
        with Secure() as listener:
            self.assert_clean(run("--ca", at("cadir"), listener.url, data=b"x"), b"x")
            with tempfile.TemporaryDirectory() as empty:
                self.assert_broken(run("--ca", empty, listener.url), "certificate")

    def test_certificate_and_key_in_one_file_and_a_key_with_a_password(self):
        with open(at("password"), "wb") as file:
            file.write(b"secret\r\nanother line\n")
        with Secure("--cert", at("both.pem"), name=None) as listener:
            self.assert_clean(trusting(listener.url, data=b"x"), b"x")
        with Secure("--cert", at("server.pem"), "--key", at("locked.key"), "--key-password-file", at("password"),
                    name=None) as listener:
            self.assert_clean(trusting(listener.url, data=b"x"), b"x")

    def test_what_is_not_to_be_trusted_is_refused(self):
        for name, pattern in [
                ("expired", "expired"), ("future", "not yet valid"), ("wrong", "127.0.0.1.*mismatch"),
                ("self", "self.signed"), ("unknown", "certificate"),
        ]:
            with self.subTest(name=name), Secure(name=name) as listener:
                result = trusting(listener.url, data=b"a secret")
                self.assert_broken(result, pattern)
                self.assertIn("CN", result[2])
                self.assertEqual(result[1], b"")
                # The same one is good enough for those who say so.
                self.assert_clean(run("--insecure", listener.url, data=b"x"), b"x")

    def test_an_authority_of_ours_is_not_the_systems(self):
        with Secure() as listener:
            self.assert_broken(run(listener.url), "certificate")
            self.assert_broken(run("--ca", at("ca2.pem"), listener.url), "certificate")

    def test_a_missing_intermediate(self):
        with Secure("--cert", at("short.pem"), "--key", at("server.key"), name=None) as listener:
            self.assert_broken(trusting(listener.url), "issuer")

    def test_pins(self):
        with Secure() as listener:
            self.assert_clean(trusting(listener.url, "--pin", pin("server"), data=b"x"), b"x")
            self.assert_clean(trusting(listener.url, "--pin", pin("other"), "--pin", "sha256//" + pin("server"),
                                       data=b"x"), b"x")
            self.assert_broken(trusting(listener.url, "--pin", pin("other")), "pin")
            # Without authorities the pins still count.
            self.assert_clean(run("--insecure", "--pin", pin("server"), listener.url, data=b"x"), b"x")
            self.assert_broken(run("--insecure", "--pin", pin("other"), listener.url), "pin")

    def test_names_by_sni(self):
        with Secure(*pair("other"), *pair("wild")) as listener:
            for name, arguments in [("server", []), ("other", ["--server-name", "other.example"])]:
                self.assert_clean(trusting(listener.url, *arguments, "--pin", pin(name), data=b"x"), b"x")
            self.assert_clean(trusting(listener.url, "--server-name", "a.wild.example", data=b"x"), b"x")
            self.assert_broken(trusting(listener.url, "--server-name", "a.b.wild.example"), "a.b.wild.example")

    def test_client_certificates(self):
        with Secure("--client-ca", at("ca.pem")) as listener:
            ours = ["--client-cert", at("client.pem"), "--client-key", at("client.key")]
            self.assert_clean(trusting(listener.url, *ours, data=b"x"), b"x")
            self.assert_broken(trusting(listener.url), "certificate")
            self.assert_broken(trusting(listener.url, "--client-cert", at("stranger.pem"), "--client-key",
                                        at("stranger.key")), "certificate")
            self.assert_clean(trusting(listener.url, *ours, data=b"x"), b"x")
        with Secure("--client-ca", at("cadir"), "--pin", pin("server")) as listener:
            self.assert_broken(trusting(listener.url, *ours))

    def test_a_pin_alone_lets_in_the_client_with_that_key(self):
        def showing(name):
            return ["--client-cert", at(name + ".pem"), "--client-key", at(name + ".key")]

        with Secure("--pin", pin("client")) as listener:
            self.assert_clean(trusting(listener.url, *showing("client"), data=b"x"), b"x")
            self.assert_broken(trusting(listener.url, data=b"x"), "certificate")
            self.assert_broken(trusting(listener.url, *showing("other"), data=b"x"))
            self.assert_clean(trusting(listener.url, *showing("client"), data=b"x"), b"x")
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_oldest_version(self):
        old = client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with Secure() as listener:
            for context, version in [(old, "TLSv1.2"), (client_context(), "TLSv1.3")]:
                with connect(listener.url, tls=context).sock as sock:
                    self.assertEqual(sock.version(), version)
        with Secure("--tls-min", "1.3") as listener:
            self.assertRaises((ssl.SSLError, OSError), connect, listener.url, tls=old)
            self.assert_clean(trusting(listener.url, "--tls-min", "1.3", data=b"x"), b"x")

    def test_local_socket(self):
        with tempfile.TemporaryDirectory() as directory, \
                Listener("-k", "--echo", *pair("server"), url="wss+unix://%s/s" % directory) as listener:
            self.assert_clean(trusting(listener.url, data=b"x"), b"x")
            self.assert_broken(run(listener.url), "certificate")


class Commands(Case):
    def test_environment_of_a_command(self):
        script = 'echo "$HTTPS $WS_TLS_VERSION"; echo "$WS_TLS_CIPHER"; echo "${WS_TLS_PEER-nobody}"'
        listen = ["-k", *pair("server"), "--exec", script]
        with Listener(*listen, url="wss://127.0.0.1:0/") as listener:
            status, out, err = trusting(listener.url)
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out.decode(), r"\Aon TLSv1\.3\nTLS_\w+\nnobody\n\Z")
        with Listener(*listen, "--client-ca", at("ca.pem"), url="wss://127.0.0.1:0/") as listener:
            status, out, err = trusting(listener.url, "--client-cert", at("client.pem"), "--client-key",
                                        at("client.key"))
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out.decode(), r"\nCN ?= ?[^\n]+\n\Z")


class Reload(Case):
    def test_a_rotated_certificate_is_served_and_no_connection_disturbed(self):
        with tempfile.TemporaryDirectory() as directory:
            cert, key = os.path.join(directory, "cert"), os.path.join(directory, "key")
            shutil.copy(at("server.pem"), cert)
            shutil.copy(at("server.key"), key)
            with Secure("--cert", cert, "--key", key, name=None) as listener:
                client = start("--ca", at("ca.pem"), "--pin", pin("server"), listener.url, bufsize=0)
                client.stdin.write(b"before")
                self.assertEqual(client.stdout.read(6), b"before")

                shutil.copy(at("rsa.pem"), cert)
                shutil.copy(at("rsa.key"), key)
                listener.process.send_signal(signal.SIGHUP)
                self.assertEqual(listener.process.stderr.readline(), b"wspipe: certificates read again\n")
                self.assert_broken(trusting(listener.url, "--pin", pin("server")), "pin")
                self.assert_clean(trusting(listener.url, data=b"x"), b"x")

                shutil.copy(at("other.key"), key)
                listener.process.send_signal(signal.SIGHUP)
                self.assertRegex(listener.process.stderr.readline().decode(), r"\Awspipe: [^\n]*%s[^\n]*\n\Z" % key)
                self.assert_clean(trusting(listener.url, data=b"x"), b"x")

                client.stdin.write(b"behind")
                self.assertEqual(client.stdout.read(6), b"behind")
                self.assert_clean(finish(client), b"")
                self.assertIsNone(listener.process.poll())
                self.assertEqual(listener.messages_when_stopped(), "")

    def test_the_signal_ends_a_listener_without_certificates(self):
        with Listener("-k", "--echo") as listener:
            listener.process.send_signal(signal.SIGHUP)
            self.assertEqual(listener.process.wait(TIMEOUT_S), -signal.SIGHUP)

    def test_a_single_connection_ends_its_listener(self):
        with Listener("-q", "none", *pair("server"), url="wss://127.0.0.1:0/", stdin=subprocess.DEVNULL) as listener:
            listener.process.send_signal(signal.SIGHUP)
            self.assertEqual(listener.process.stderr.readline(), b"wspipe: certificates read again\n")
            self.assert_clean(trusting(listener.url, data=b"x"), b"")
            self.assert_clean(finish(listener.process), b"x")


class BadServers(Case):
    def test_answers_that_are_no_tls(self):
        for answer, pattern in [
                (b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS"),
                (b"SSH-2.0-OpenSSH_9.2p1\r\n", "TLS"),
                (b"\x00" * 64, "TLS"),
                (b"\x16\x03\x03\xff\xff" + b"x" * 70000, "TLS"),
                (b"\x15\x03\x03\x00\x02\x02\x28", "TLS"),
                (b"\x16\x03\x03\x00", "."),
                (b"", "."),
        ]:
            with self.subTest(answer=answer[:30]):
                def serve(connection, answer=answer):
                    connection.sock.recv(65536)
                    connection.sock.sendall(answer)

                with Server(serve) as server:
                    self.assert_broken(trusting(server.url.replace("ws:", "wss:")), pattern)

    def test_plain_server(self):
        with Listener("-k", "--echo") as listener:
            self.assert_broken(trusting(listener.url.replace("ws:", "wss:")))
            self.assert_clean(run(listener.url, data=b"x"), b"x")

    def test_silent_server(self):
        with Server(lambda connection: connection.drain()) as server:
            self.assert_broken(run("--handshake-timeout", "0.2", server.url.replace("ws:", "wss:")), "time")

    def test_server_of_tls_1_0(self):
        context = of_tls_1_0(server_context())
        failures = []

        def serve(connection):
            try:
                context.wrap_socket(connection.sock, server_side=True)
            except OSError as error:
                failures.append(error)

        with Server(serve) as server:
            self.assert_broken(trusting(server.url.replace("ws:", "wss:")), "1.2")
        self.assertEqual(len(failures), 1)

    def test_server_of_tls_1_2_is_too_old_on_request(self):
        context = server_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def serve(connection):
            tls = context.wrap_socket(connection.sock, server_side=True)
            tls.read(1)

        with self.assertRaises(OSError), Server(serve) as server:
            self.assert_broken(trusting(server.url.replace("ws:", "wss:"), "--tls-min", "1.3"), "1.3")

    def serve_then(self, harm):
        def serve(connection):
            connection.accept()
            connection.send_frame(BINARY, b"data first")
            harm(connection)

        with Server(serve, tls=server_context()) as server:
            process = start("--ca", at("ca.pem"), server.url)
            process.wait(TIMEOUT_S)
            result = finish(process)
        self.assertEqual(result[1], b"data first")
        return result

    def test_record_that_is_too_long(self):
        result = self.serve_then(lambda c: (os.write(c.sock.fileno(), b"\x17\x03\x03\xff\xff" + b"x" * 20000),
                                            c.drain()))
        self.assert_broken(result, "TLS")

    def test_record_that_is_forged(self):
        result = self.serve_then(lambda c: (os.write(c.sock.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32), c.drain()))
        self.assert_broken(result, "TLS")

    def test_cut_without_a_close(self):
        self.assert_broken(self.serve_then(lambda c: None))

    def test_end_of_tls_is_no_close(self):
        def end(connection):
            try:
                connection.sock.unwrap()
            except OSError:
                pass  # whether wspipe says good-bye to such a peer is its own business

        self.assert_broken(self.serve_then(end))

    def test_a_redirect_never_leads_out_of_tls(self):
        def serve(connection):
            connection.read_request()
            connection.sock.sendall(("HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
                                     % plain.url).encode())

        with Listener("-k", "--echo") as plain, Server(serve, tls=server_context()) as server:
            self.assert_broken(trusting(server.url, "--max-redirects", "5"), "wss to ws")

    def test_clean_close_without_close_notify_is_no_error(self):
        def serve(connection):
            connection.accept()
            data, code, _ = connection.read_until_close()
            connection.send_frame(BINARY, data)
            connection.send_close(code)

        with Server(serve, tls=server_context()) as server:
            self.assert_clean(trusting(server.url, data=b"there and back"), b"there and back")

    def test_renegotiation(self):
        """A server that asks for it, which only OpenSSL's own tool does."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-tls1_2", "-naccept", "1",
                                   "-cert", at("server.pem"), "-key", at("server.key"), "-cert_chain",
                                   at("server.pem")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, bufsize=0)
        try:
            while b"ACCEPT" not in server.stdout.readline():
                pass
            client = start("--ca", at("ca.pem"), "wss://127.0.0.1:%d/" % port)
            while b"Sec-WebSocket-Key" not in server.stdout.readline():
                pass
            # In place of an answer to the upgrade.
            server.stdin.write(b"R\n")
            client.wait(TIMEOUT_S)
            self.assert_broken(finish(client))
        finally:
            server.kill()
            server.communicate()


class BadClients(Case):
    """What a client does wrong costs that client the connection, and no other."""

    def expect_unharmed(self, listener):
        self.assert_clean(trusting(listener.url, data=b"still here"), b"still here")

    def address(self, listener):
        host, port = listener.url.split("/")[2].split(":")
        return host, int(port)

    def test_garbage_and_cuts_in_the_handshake(self):
        with Secure() as listener:
            for data in (b"", b"\x00" * 100, os.urandom(1000), b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                         b"\x16\x03\x01\x00\x50\x01"):
                with self.subTest(data=data[:20]), socket.create_connection(self.address(listener), TIMEOUT_S) as sock:
                    try:
                        sock.sendall(data)
                        sock.shutdown(socket.SHUT_WR)
                        while sock.recv(65536):
                            pass
                    except OSError:
                        pass  # the listener was faster
                self.expect_unharmed(listener)
            self.assertEqual(listener.messages_when_stopped(), "")

    def test_plain_http(self):
        with Secure() as listener:
            with socket.create_connection(self.address(listener), TIMEOUT_S) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = b""
                try:
                    while data := sock.recv(65536):
                        answer += data
                except ConnectionError:
                    pass
            self.assertRegex(answer, rb"\AHTTP/1\.1 400 ")
            self.assert_broken(run(listener.url.replace("wss:", "ws:")), "400")
            self.expect_unharmed(listener)

    def test_tls_1_0(self):
        context = of_tls_1_0(client_context())
        with Secure() as listener:
            self.assertRaises(OSError, connect, listener.url, tls=context)
            self.expect_unharmed(listener)

    def test_renegotiation(self):
        with Secure() as listener:
            client = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % self.address(listener), "-tls1_2",
                                       "-CAfile", at("ca.pem")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, bufsize=0)
            try:
                while b"Verify return code" not in client.stdout.readline():
                    pass
                client.stdin.write(b"R\n")
                self.assertNotEqual(client.wait(TIMEOUT_S), 0)
            finally:
                client.kill()
                client.communicate()
            self.expect_unharmed(listener)

    def test_a_record_that_is_too_long_is_one_line(self):
        with Secure() as listener:
            raw = connect(listener.url, tls=client_context())
            os.write(raw.sock.fileno(), b"\x17\x03\x03\xff\xff" + b"x" * 20000)
            self.assertRegex(listener.process.stderr.readline().decode(), r"\Awspipe: 127\.0\.0\.1:\d+: [^\n]+\n\Z")
            raw.sock.close()
            self.expect_unharmed(listener)
            self.assertEqual(listener.messages_when_stopped(), "")


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup(1) the listeners would be given it ignored
    unittest.main(verbosity=1)
