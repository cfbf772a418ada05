#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""The manual is the contract: lint the pages, compare them with the header, compile and run every example.

An example is a .Bd -literal block (in README.md a ```c block) that contains "int main(". Exit status: 0 = all passed,
1 = something failed, 77 = all that could be checked passed, but mandoc, openssl(1) or a library is missing.
"""
import argparse
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request

import manual_codecs
import manual_first
import manual_words

PAGES = ["ws_codecs.7", "ws_fdopen.3", "ws_fopen.3", "ws_listen.3", "ws_lws.3", "ws_observe.3", "ws_options.3",
         "ws_pollfd.3", "ws_process.7", "ws_proxy.7", "ws_security.7", "ws_shutdown.3", "ws_socket.3", "ws_status.3",
         "ws_tls.7", "wsfile.7", "wspipe.1"]
SECTIONS = ["NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO", "STANDARDS", "CAVEATS"]
# What each example is called here: the word behind "usage:" in its text.
CLIENTS = {"ask", "filter", "submit", "talk", "report", "offer", "watch"}
SERVERS = {"capitals", "crowd", "door", "herd", "shift"}
LWS_EXAMPLES = {"site"}
ADOPTERS = {"louder", "front"}
TLS_EXAMPLES = {"vault", "peek", "push"}
README_EXAMPLES = {"hello", "echo"}
FIRST = {"mean", "getjson"}
RUNNERS = {"connected"}
CODECS = {"records", "mirror", "adder"}
EXAMPLES = FIRST | CODECS | CLIENTS | RUNNERS | SERVERS | LWS_EXAMPLES | ADOPTERS | TLS_EXAMPLES | README_EXAMPLES
GIVE_UP_SECONDS = 60
# Of crowd: as many as it takes at once, and how much each sends.
CROWD_CLIENTS, CROWD_BYTES = 100, 1 << 20

# Headers of libraries that examples may use, and their pkg-config modules. Where one is missing they are left out.
OPTIONAL = {"jansson.h": "jansson"}

failures = []
missing = set()


def check(good, text):
    if not good:
        failures.append(text)
        print("FAIL:", text, flush=True)
    return good


# --- the text of the pages ---

def undo_mdoc(line):
    """One line of a literal block as it is shown. Only the escapes used in our pages are known."""
    known = {"\\e": "\\", "\\(aq": "'", "\\-": "-", "\\&": "", "\\(dq": '"'}
    def shown(match):
        if match.group(0) not in known:
            raise ValueError("unknown escape %r in %r" % (match.group(0), line))
        return known[match.group(0)]
    return re.sub(r"\\(?:\(..|.)", shown, line)


def literal_blocks(page):
    block = None
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith(".Bd -literal"):
            block = []
        elif line == ".Ed" and block is not None:
            yield "\n".join(block) + "\n"
            block = None
        elif block is not None:
            if line.startswith((".", "'")):
                raise ValueError("line %d of a literal block is a request: %r" % (number, line))
            block.append(undo_mdoc(line))
    if block is not None:
        raise ValueError("a literal block has no end")


def readme_blocks(text):
    return re.findall(r"^```c\n(.*?)^```$", text, re.M | re.S)


def names_of(page):
    """The functions in a page's NAME section."""
    section = re.search(r"^\.Sh NAME\n(.*?)^\.Sh ", page, re.M | re.S).group(1)
    return re.findall(r"^\.Nm (\w+)", section, re.M)


def functions_of(header):
    return re.findall(r"^WS_EXPORT [^;(]*?(\w+)\(", header, re.M)


# --- lint ---

def lint(man):
    """Returns whether it could be done."""
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        print("SKIP: mandoc is missing: the pages were not linted", flush=True)
        return False
    for page in sorted(os.path.join(man, page) for page in PAGES if os.path.exists(os.path.join(man, page))):
        done = subprocess.run([mandoc, "-T", "lint", "-W", "warning", page],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        check(done.returncode == 0 and done.stdout == "", "mandoc -T lint %s:\n%s" % (page, done.stdout))
    return True


def structure_of_pages(pages):
    for name, page in pages.items():
        have = re.findall(r"^\.Sh (.*)$", page, re.M)
        for section in SECTIONS + ([] if name.endswith(".7") else ["SYNOPSIS"]):
            check(section in have, "%s has no section %s" % (name, section))
        if name.endswith(".3") and name != "ws_options.3":
            for section in ("RETURN VALUES", "ERRORS"):
                check(section in have, "%s has no section %s" % (name, section))


def references_lead_somewhere(header, pages):
    """Each .Xr to a page of ours, and each in SEE ALSO once, by section and name."""
    ours = {}
    for name, page in pages.items():
        for word in names_of(page):
            ours[word] = name.rpartition(".")[2]
    for name, page in pages.items():
        for word, section in re.findall(r"^\.(?:.*[ ,])?Xr (ws\w*) (\d)", page, re.M):
            check(ours.get(word) == section, "%s refers to %s(%s), which is not there" % (name, word, section))
        see_also = re.search(r"^\.Sh SEE ALSO\n(.*?)(?:^\.Sh |\Z)", page, re.M | re.S).group(1)
        listed = [(section, word) for word, section in re.findall(r"^\.Xr (\S+) (\d)", see_also, re.M)]
        check(listed == sorted(set(listed)), "%s: SEE ALSO is not in order: %s" % (name, listed))
    check("ws_tls(7)" in header and ours.get("ws_tls") == "7", "the header and the pages disagree on ws_tls(7)")


# --- the pages against the header ---

def functions_are_documented(header, pages):
    documented = {}
    for name, page in pages.items():
        for function in names_of(page):
            documented.setdefault(function, []).append(name)
    declared = functions_of(header)
    check(len(declared) >= 12, "only %d functions found in wsfile.h" % len(declared))
    for function in declared:
        where = documented.get(function, [])
        check(len(where) == 1, "%s stands in NAME of %s" % (function, where or "no page"))
        if where:
            check(re.search(r"^\.Fn %s " % function, pages[where[0]], re.M), "%s has no prototype in %s"
                  % (function, where[0]))
    for function, where in documented.items():
        check(function in declared or not where[0].endswith(".3") or function == "ws_options",
              "%s is documented, not declared" % function)


def prototypes_agree(header, pages):
    """Return type and parameters in SYNOPSIS, as the header has them."""
    def squeeze(text):
        return re.sub(r"\s+", " ", re.sub(r"\s*([*(),])\s*", r"\1", text)).strip()
    declared = {}
    for text in re.findall(r"^WS_EXPORT ([^;]*);", header, re.M):
        name = re.search(r"(\w+)\(", text).group(1)
        declared[name] = squeeze(text)
    for name, page in pages.items():
        synopsis = re.search(r"^\.Sh SYNOPSIS\n(.*?)^\.Sh ", page, re.M | re.S)
        if synopsis is None:
            continue
        for kind, function, rest in re.findall(r"^\.Ft (.*)\n\.Fn (\w+) (.*)$", synopsis.group(1), re.M):
            parameters = [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', rest)]
            shown = squeeze("%s %s(%s)" % (kind.strip('"'), function, ", ".join(parameters)))
            check(shown == declared.get(function), "%s: the page has %r, the header %r"
                  % (name, shown, declared.get(function)))


def struct_fields(header, struct):
    body = re.search(r"^struct %s \{\n(.*?)^\};" % struct, header, re.M | re.S).group(1)
    return [match.group(1) for match in re.finditer(r"^\t[^/*\t][^;/]*?(\w+)(?:\[\d+\])?;", body, re.M)]


def option_comments(header):
    """The comment of each field of struct ws_options, as one line."""
    body = re.search(r"^struct ws_options \{\n(.*?)^\};", header, re.M | re.S).group(1)
    found = {}
    for name, comment in re.findall(r"^\t[^/*\t][^;/]*?(\w+);\s*/\*(.*?)\*/", body, re.M | re.S):
        found[name] = re.sub(r"\s+\*?\s*", " ", comment).strip()
    return found


def option_defaults(header):
    """The values of WS_OPTIONS_INIT, in the order of the fields."""
    text = re.search(r"#define WS_OPTIONS_INIT \{(.*?)\}", header, re.S).group(1)
    return [value.strip() for value in text.replace("\\\n", " ").split(",")]


def options_are_documented(header, page):
    fields, values, comments = struct_fields(header, "ws_options"), option_defaults(header), option_comments(header)
    check(len(fields) >= 15, "only %d fields found in struct ws_options" % len(fields))
    if not check(len(fields) == len(values), "ws_options has %d fields, WS_OPTIONS_INIT %d values"
                 % (len(fields), len(values))):
        return
    items = {}
    for text in re.split(r"^\.It Va ", page, flags=re.M)[1:]:
        head, _, body = text.partition("\n")
        items[re.search(r"(\w+)$", head).group(1)] = body
    for field, value in zip(fields, values):
        if not check(field in items, "ws_options.3 has no item for %s" % field):
            continue
        match = re.search(r"^Default:\n?\s*(?:\.\w+ )?([^\s,(]+(?:\([^)]*\))?)", items[field], re.M)
        if not check(match, "ws_options.3 gives no default for %s" % field):
            continue
        documented = match.group(1).rstrip(".").replace("\\-", "-")
        check(documented == value.replace(" ", "") or documented == value,
              "%s: ws_options.3 says the default is %s, WS_OPTIONS_INIT says %s" % (field, documented, value))
        if field != "size":
            # "… . VALUE" at the end, or "VALUE = meaning" where the value needs a word.
            check(re.search(r"(?:^|[. ])%s(?:$| = )" % re.escape(value), comments.get(field, "")),
                  "%s: its comment %r does not name the default %s" % (field, comments.get(field), value))
    for item in items:
        check(item in fields, "ws_options.3 describes %s, which is no field" % item)


# What ws_security.7 has to have beside those of these names, and what is fixed in the sources.
SECURITY_LIMITS = re.compile(r".*_ms|.*_buffer_bytes|max_(?!frame_bytes).*|backlog")
SECURITY_CHOICES = {"allowed_origins", "authorize", "verify", "min_tls", "compression", "on_text", "socket_mode"}
SECURITY_FIXED = [
    ("listener.c", "PENDING_MAX", "handshakes"), ("http.h", "WSF_HTTP_MAX_FIELDS", "fields"),
    ("frame.h", "WSF_CONTROL_PAYLOAD_MAX", "ping"), ("observe.h", "WSF_EVENTS_MAX", "events"),
    ("tls_context.c", "CHAIN_MAX", "intermediate"), ("tls_bio.c", "OWED_MAX_BYTES", "owes"),
    ("stream_receive.c", "HELD_MAX_BYTES", "compressed"), ("dial.c", "LOCATION_MAX", "Location"),
    ("tls_files.c", "FILE_MAX_BYTES", "file"), ("tls_bio.c", "MESSAGES_MAX", "key updates"),
]


def defined_number(text, name):
    """The value of a #define that is a product or a shift of numbers."""
    text = re.search(r"^#define %s (.*?)(?:\s*/\*.*)?$" % name, text, re.M).group(1).replace("(size_t)", "")
    if not re.fullmatch(r"[0-9()*< ]+", text):
        raise ValueError("%s is %r" % (name, text))
    return eval(text)  # pylint: disable=eval-used


def security_is_as_documented(header, source_of, page):
    """The defaults and the fixed limits that the page tells are those of the header and of the sources."""
    defaults = dict(zip(struct_fields(header, "ws_options"), option_defaults(header)))
    told = re.findall(r"^\.It Va (\w+) Ta (\S+) Ta \S", page, re.M)
    wanted = {name for name in defaults if SECURITY_LIMITS.fullmatch(name)} | SECURITY_CHOICES
    check({name for name, _ in told} == wanted and len(told) == len(wanted),
          "ws_security.7 tells of %s" % sorted(wanted ^ {name for name, _ in told}))
    for name, value in told:
        check(value.replace("\\-", "-") == defaults.get(name),
              "ws_security.7 says %s is %s, WS_OPTIONS_INIT %s" % (name, value, defaults.get(name)))
    fixed = re.findall(r"^\.It (\d+) Ta (.*)$", page, re.M)
    check(len(fixed) == len(SECURITY_FIXED), "ws_security.7 has %d fixed limits" % len(fixed))
    for file, name, word in SECURITY_FIXED:
        value = defined_number(source_of(file), name)
        check(any(int(number) == value and word in text for number, text in fixed),
              "ws_security.7 does not tell of %s, which is %d" % (name, value))
    check("ws_security(7)" in header, "the header does not name ws_security(7)")


def status_is_documented(header, page):
    fields = struct_fields(header, "ws_status")
    check(len(fields) >= 10, "only %d fields found in struct ws_status" % len(fields))
    heads = " ".join(re.findall(r"^\.It Va (.*)$", page, re.M))
    for field in fields:
        check(re.search(r"\b%s\b" % field, heads), "ws_status.3 has no item for %s" % field)


def events_are_documented(header, page):
    fields = struct_fields(header, "ws_event")
    types = re.findall(r"^\t(WS_EVENT_\w+) = \d+,", header, re.M)
    check(len(fields) >= 10 and len(types) >= 8, "only %d fields and %d types of events found"
          % (len(fields), len(types)))
    heads = " ".join(re.findall(r"^\.It [VD][av] (.*)$", page, re.M))
    for word in fields + types:
        check(re.search(r"\b%s\b" % word, heads), "ws_observe.3 has no item for %s" % word)


# --- the examples ---

def collect_examples(pages, readme):
    examples = {}
    blocks = [(name, block) for name, page in pages.items() for block in literal_blocks(page)]
    blocks += [("README.md", block) for block in readme_blocks(readme)]
    for where, block in blocks:
        if not re.search(r"\bint\s+main\(", block):
            check("#include" not in block, "%s: an example without main can't be run:\n%s" % (where, block))
            continue
        word = re.search(r"usage: (\w+)", block)
        if not check(word, "%s: an example has no usage text:\n%s" % (where, block)):
            continue
        check(word.group(1) not in examples, "two examples are called %s" % word.group(1))
        examples[word.group(1)] = (where, block)
    check(set(examples) == EXAMPLES, "examples found: %s; run by this test: %s" % (sorted(examples), sorted(EXAMPLES)))
    return examples


def libwebsockets_flags():
    """What a program needs that runs libwebsockets itself."""
    command = [os.environ.get("PKG_CONFIG", "pkg-config"), "--cflags", "--libs", "libwebsockets"]
    if shutil.which(command[0]) is None:
        return ["-lwebsockets"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def flags_of(module):
    """None = it is not here."""
    command = [os.environ.get("PKG_CONFIG", "pkg-config"), "--cflags", "--libs", module]
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else None


def build_examples(examples, args, directory):
    """Compile them all; returns name → program."""
    programs = {}
    for name, (where, text) in sorted(examples.items()):
        source, program = os.path.join(directory, name + ".c"), os.path.join(directory, name)
        with open(source, "w", encoding="ascii") as file:
            file.write(text)
        flags = libwebsockets_flags() if "wsfile_lws.h" in text else []
        for header, module in OPTIONAL.items():
            if "<%s>" % header in text:
                flags = flags_of(module)
        if flags is None:
            missing.add(name)
            print("SKIP: the example %s needs a library that is missing" % name, flush=True)
            continue
        if build(where + ", example " + name, source, program, args, flags):
            programs[name] = program
    return programs


def build(what, source, program, args, flags=()):
    """Returns whether it compiles as its users would have it."""
    library = os.path.dirname(os.path.abspath(args.library))
    sanitize = [] if args.sanitize in ("", "none") else ["-fsanitize=" + args.sanitize, "-g"]
    command = args.cc + ["-std=c11", "-Wall", "-Wextra", "-Werror"] + sanitize + [
        "-I" + args.include, "-o", program, source, args.library, "-Wl,-rpath," + library, "-lpthread", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return check(done.returncode == 0, "%s does not compile:\n%s" % (what, done.stdout))


class Server:
    """An example server on a port of the system's choice; its URL is what it prints."""

    def __init__(self, program, scheme="ws", arguments=()):
        self.process = subprocess.Popen([program, scheme + "://127.0.0.1:0/", *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.line_of(self.process.stdout)
        match = re.fullmatch(r"listening on (%s://127\.0\.0\.1:[1-9][0-9]*/)\n" % scheme, line)
        check(match, "%s printed %r" % (os.path.basename(program), line))
        self.url = match.group(1) if match else None

    def line_of(self, pipe):
        """The next line, or what there is of it when the time is over."""
        watch = threading.Timer(GIVE_UP_SECONDS, self.process.kill)
        watch.start()
        line = pipe.readline()
        watch.cancel()
        return line

    def stop(self):
        """Returns what else it wrote to standard error."""
        self.process.terminate()
        return self.process.communicate(timeout=GIVE_UP_SECONDS)[1]


def run_client(program, arguments, data=""):
    return subprocess.run([program] + arguments, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=GIVE_UP_SECONDS, check=False)


def expect(programs, name, arguments, data, output):
    """Run an example client and compare all it says."""
    done = run_client(programs[name], arguments, data)
    check(done.stdout == output and done.stderr == "" and done.returncode == 0,
          "%s: status %d, standard error %r, standard output %.300r, not %.300r"
          % (name, done.returncode, done.stderr, done.stdout, output))


def clients_talk_to(programs, url):
    """All example clients against the server that sends lines back in capitals."""
    expect(programs, "ask", [url, "one", "two", "half a line?"], "", "ONE\nTWO\nHALF A LINE?\n")
    expect(programs, "ask", [url], "", "")
    # Short enough to be under way as a whole, for a client that sends all before it reads.
    text = "".join("line %d\n" % i for i in range(5000))
    expect(programs, "filter", [url], text, text.upper())
    expect(programs, "filter", [url], "", "")
    expect(programs, "filter", [url], "no newline", "NO NEWLINE")
    # More than all buffers between the two ends hold.
    text = "".join("line %d %s\n" % (i, "x" * 2000) for i in range(8000))
    expect(programs, "talk", [url], text, text.upper())
    expect(programs, "report", [url], "", "Connection: Upgrade\n9 bytes there, 9 back\n"
           "sent 1000 (normal closure), received 1000 (normal closure): clean\n")
    expect(programs, "offer", [url], "", "subprotocol: none\n")
    expect(programs, "submit", [url], "b\na\n", "B\nA\n")
    watch_tells_what_happens(programs, url)


def watch_tells_what_happens(programs, url):
    done = run_client(programs["watch"], [url])
    check(done.returncode == 0 and done.stderr == "" and re.fullmatch(
        r'watch: open\nwatch: pong "are you there\?" after \d+ us\nwatch: the peer closed with 1000 \n'
        r"watch: closed, clean\n", done.stdout), "watch: %r" % done)


def clients_are_served_at_once(programs, url):
    """One that says nothing for a while does not hold up another."""
    with subprocess.Popen([programs["talk"], url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talk:
        watch = threading.Timer(GIVE_UP_SECONDS, talk.kill)
        watch.start()
        talk.stdin.write("first\n")
        talk.stdin.flush()
        check(talk.stdout.readline() == "FIRST\n", "talk did not get its first line back")
        expect(programs, "ask", [url, "second"], "", "SECOND\n")
        rest, _ = talk.communicate("third")
        check(rest == "THIRD", "talk did not get its last line back")
        watch.cancel()
    check(talk.returncode == 0, "talk ended with %d" % talk.returncode)


def failed_input_is_no_eof(programs, server):
    """A client that could not read all of its own input does not let the server take it for all."""
    aborted = os.strerror(errno.ECONNABORTED)
    for name in ("filter", "submit", "talk"):
        directory = os.open("/", os.O_RDONLY)  # reading it fails
        done = subprocess.run([programs[name], server.url], stdin=directory, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=GIVE_UP_SECONDS, check=False)
        os.close(directory)
        check(done.stdout == "", "%s with failing input received %r" % (name, done.stdout))
        line = server.line_of(server.process.stderr)
        check(line == "connection: %s\n" % aborted, "%s with failing input: the server says %r" % (name, line))
        if name == "filter":
            check(done.returncode == 1 and done.stderr == "sending: %s\n" % os.strerror(errno.EISDIR),
                  "filter with failing input: status %d, standard error %r" % (done.returncode, done.stderr))


def ask_door(url, token):
    """A raw client with or without the token: the connection, and the answer's header block and what is behind it."""
    host, port = re.search(r"//(.*):(\d+)/", url).groups()
    connection = socket.create_connection((host, int(port)), timeout=GIVE_UP_SECONDS)
    request = ("GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
               "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
               % (host, "Authorization: Bearer %s\r\n" % token if token else ""))
    connection.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if piece == b"":
            break
        answer += piece
    return connection, answer


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if piece == b"":
            break
        data += piece
    return data


def is_told_to_end(server, connection, name):
    """The line that comes back shows that the program has the stream; then it says goodbye."""
    connection.sendall(b"\x82\x83\0\0\0\0hi\n")  # masked with zeros
    check(receive(connection, 5) == b"\x82\x03hi\n", "%s does not send the line back" % name)
    server.process.terminate()
    close = receive(connection, 4)
    check(close == b"\x88\x02\x03\xe9", "%s, told to end, sends %r, not a Close of 1001" % (name, close))


def answer_its_close(connection, name):
    connection.sendall(b"\x88\x82\0\0\0\0\x03\xe9")
    check(receive(connection, 1) == b"", "%s sends more behind its Close" % name)
    connection.close()


def ends_well(server, name):
    rest = server.process.communicate(timeout=GIVE_UP_SECONDS)
    check(server.process.returncode == 0 and rest == ("", ""), "%s ends with %d and says %r"
          % (name, server.process.returncode, rest))


def the_door_needs_a_token_and_ends_gracefully(programs):
    server = Server(programs["door"], arguments=["sesame"])
    for token in (None, "wrong"):
        connection, answer = ask_door(server.url, token)
        check(answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n") and b"\r\nWWW-Authenticate: Bearer\r\n" in answer,
              "door, token %r: %r" % (token, answer))
        connection.close()
    connection, answer = ask_door(server.url, "sesame")
    check(answer.startswith(b"HTTP/1.1 101 "), "door, the right token: %r" % answer)
    is_told_to_end(server, connection, "door")
    check(server.process.poll() is None, "door does not wait for the Close")
    answer_its_close(connection, "door")
    ends_well(server, "door")


def a_shift_ends(programs):
    server = Server(programs["shift"])
    if server.url is not None:
        expect(programs, "filter", [server.url], "b\na\n", "b\na\n")
        connection, answer = ask_door(server.url, None)
        check(answer.startswith(b"HTTP/1.1 101 "), "shift: %r" % answer)
        is_told_to_end(server, connection, "shift")
        answer_its_close(connection, "shift")
    ends_well(server, "shift")


def a_herd_shares_a_port(programs):
    """The kernel shares out connections: with enough of them, more than one process answers."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place.bind(("127.0.0.1", 0))  # it does not listen, and keeps the number
        url = "ws://127.0.0.1:%d/" % place.getsockname()[1]
        herd = subprocess.Popen([programs["herd"], url, "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True)
        try:
            answers = set()
            for _ in range(500):
                done = run_client(programs["filter"], [url], "moo\n")
                match = re.fullmatch(r"([0-9]+) moo\n", done.stdout)
                check(match or "refused" in done.stderr, "herd: %r" % done)
                answers.add(match.group(1) if match else None)
                if len(answers - {None}) > 1:
                    break
            check(len(answers - {None}) > 1 and herd.poll() is None, "herd: all answers are of %s" % answers)
        finally:
            os.killpg(herd.pid, signal.SIGTERM)
        said = herd.communicate(timeout=GIVE_UP_SECONDS)
    check(said == ("", ""), "herd says %r" % (said,))


def clients_report_errors(programs, url):
    """A client's errors are one line on standard error and status 1, or 2 for its usage."""
    for name in sorted(CLIENTS):
        done = run_client(programs[name], [])
        check(done.returncode == 2 and done.stderr.startswith("usage: " + name),
              "%s without arguments: %r" % (name, done))
        for bad in ("http://127.0.0.1/", "ws://127.0.0.1:65536/", "ws+unix:///nowhere/socket", url,
                    url.replace("//", "//wanda:sesame@")):
            done = run_client(programs[name], [bad])
            check(done.returncode == 1 and re.fullmatch(r".+\n", done.stderr) and bad not in done.stderr and
                  "sesame" not in done.stderr,
                  "%s %s: status %d, standard error %r" % (name, bad, done.returncode, done.stderr))


def make_certificates(source, directory):
    """Returns whether it could be done."""
    if shutil.which("openssl") is None:
        print("SKIP: the command openssl is missing: the examples of ws_tls.7 were not run", flush=True)
        return False
    script = os.path.join(source, "tests", "make_certificates.sh")
    done = subprocess.run(["sh", script, directory], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return check(done.returncode == 0, "make_certificates.sh: %s" % done.stdout)


def shell_block(page, word):
    """The indented block of a page that contains word, as a shell takes it."""
    found = [undo_mdoc(block) for block in re.findall(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed", page, re.M | re.S)
             if word in block]
    check(len(found) == 1, "%d blocks with %s" % (len(found), word))
    return found[0]


def run_shell(command, directory):
    done = subprocess.run(["sh", "-c", command], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=GIVE_UP_SECONDS, check=False)
    check(done.returncode == 0, "status %d, %s: %s" % (done.returncode, command, done.stderr))
    return done.stdout


def refused(programs, arguments, pattern):
    """peek fails with one line."""
    done = run_client(programs["peek"], arguments)
    check(done.returncode == 1 and done.stdout == "" and
          re.fullmatch(pattern + "\n", done.stderr),
          "peek %s: status %d, standard error %r, not %r" % (arguments[1:], done.returncode, done.stderr, pattern))


def peeks(programs, arguments, subject):
    """Two connections, of which the second goes on from the first's session."""
    done = run_client(programs["peek"], arguments)
    line = r"TLSv1\.3, TLS_[A-Z0-9_]+, CN ?= ?%s, %s\n"
    check(done.returncode == 0 and done.stderr == "" and
          re.fullmatch(line % (subject, "new") + line % (subject, "resumed"), done.stdout),
          "peek %s: status %d, standard error %r, standard output %r"
          % (arguments[1:], done.returncode, done.stderr, done.stdout))


def tls_is_as_the_page_says(programs, page, directory):
    """The examples and the commands of ws_tls.7: trust, pins, what refuses, reload."""
    def file(name):
        return os.path.join(directory, name)
    command = shell_block(page, "-pubkey")
    def pin_of(name):
        return run_shell(command.replace("cert.pem", name), directory).strip()
    good, other = pin_of("server.pem"), pin_of("other.pem")
    check(re.fullmatch(r"[A-Za-z0-9+/]{43}=", good) and good != other, "the page's command prints %r" % good)
    shutil.copy(file("server.pem"), file("served.pem"))
    shutil.copy(file("server.key"), file("served.key"))
    server = Server(programs["vault"], "wss", [file("served.pem"), file("served.key")])
    if server.url is not None:
        peeks(programs, [server.url, file("ca.pem")], "server")
        peeks(programs, [server.url, file("ca.pem"), good], "server")
        expect(programs, "push", [server.url, file("ca.pem")], "", "hello\n")
        refused(programs, [server.url, file("ca.pem"), other],
                r'the certificate for "127\.0\.0\.1" is refused: its key is not pinned '
                r'\(sha256//%s, subject "CN=server"\)' % re.escape(good))
        refused(programs, [server.url, file("ca2.pem")],
                r'the certificate for "127\.0\.0\.1" is refused: (self-signed certificate in certificate chain|'
                r"unable to get local issuer certificate) \(subject .*\)")
        refused(programs, [server.url, file("missing.pem")], r".*missing\.pem.*" + os.strerror(errno.ENOENT))
        refused(programs, [server.url, file("empty.pem")],
                r'ca_file ".*empty\.pem" has no certificate in it \(PEM is expected\)')
        served_anew(programs, server, file)
        refused(programs, [server.url, file("ca.pem")],
                r'the certificate for "127\.0\.0\.1" is refused: IP address mismatch \(subject .*other.*\)')
    server.stop()
    self_signed(programs, page, directory)
    demands_certificates(programs, file)


def served_anew(programs, server, file):
    """SIGHUP: a bad file changes nothing, a good one is served from then on."""
    shutil.copy(file("garbage.pem"), file("served.pem"))
    server.process.send_signal(signal.SIGHUP)
    line = server.line_of(server.process.stderr)
    check(re.fullmatch(r"reload: .*served\.pem.*\n", line), "vault with a bad file: %r" % line)
    peeks(programs, [server.url, file("ca.pem")], "server")
    shutil.copy(file("other.pem"), file("served.pem"))
    shutil.copy(file("other.key"), file("served.key"))
    server.process.send_signal(signal.SIGHUP)
    line = server.line_of(server.process.stderr)
    check(line == "reloaded\n", "vault with a good file: %r" % line)


def self_signed(programs, page, directory):
    """The certificate that the page tells to make is good for what it says."""
    run_shell(shell_block(page, "openssl req"), directory)
    certificate = os.path.join(directory, "cert.pem")
    server = Server(programs["vault"], "wss", [certificate, os.path.join(directory, "key.pem")])
    if server.url is not None:
        peeks(programs, [server.url, certificate], "localhost")
        peeks(programs, [server.url.replace("127.0.0.1", "localhost"), certificate], "localhost")
    server.stop()


def demands_certificates(programs, file):
    """vault with a CA-FILE lets no stranger in."""
    server = Server(programs["vault"], "wss", [file("server.pem"), file("server.key"), file("ca.pem")])
    if server.url is not None:
        refused(programs, [server.url, file("ca.pem")], r"the other end wants a certificate of ours: .*")
    said = server.stop()
    check(said == "", "vault wrote to standard error: %r" % said)


def commands_are_connected(programs, server):
    """A command has the connection as its input and output, and its status and the connection's end are told."""
    url = server.url
    expect(programs, "connected", [url, "sh", "-c", 'echo one; read line; test "$line" = ONE'], "", "")
    for arguments, status in (([], 2), ([url], 2), ([url, "false"], 1), ([url, "/nowhere/command"], 1),
                              (["http://127.0.0.1/", "true"], 1)):
        done = run_client(programs["connected"], arguments)
        check(done.returncode == status and done.stdout == "" and (status == 1 and arguments[-1] == "false"
              or re.fullmatch(r".+\n", done.stderr)),
              "connected %s: status %d, standard error %r" % (arguments, done.returncode, done.stderr))
    line = server.line_of(server.process.stderr)
    check(line == "connection: %s\n" % os.strerror(errno.ECONNABORTED),
          "connected without a command: the server says %r" % line)


def site_serves_both(programs):
    """The example of ws_lws.3: files and streams from one context."""
    with tempfile.TemporaryDirectory(prefix="wsfile-manual-") as directory:
        with open(os.path.join(directory, "index.html"), "w", encoding="ascii") as file:
            file.write("<p>files\n")
        with subprocess.Popen([programs["site"], "0", directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as site:
            watch = threading.Timer(GIVE_UP_SECONDS, site.kill)
            watch.start()
            match = re.fullmatch(r"listening on port ([1-9][0-9]*)\n", site.stdout.readline())
            if check(match, "site did not print its port"):
                address = "127.0.0.1:%s/" % match.group(1)
                for path in ("", "index.html"):
                    with urllib.request.urlopen("http://" + address + path, timeout=GIVE_UP_SECONDS) as answer:
                        check(answer.read() == b"<p>files\n", "site serves another /%s" % path)
                # A client that closes before it reads would get no answer, as the page says.
                lines = ["line %d" % i for i in range(500)]
                expect(programs, "ask", ["ws://" + address, *lines], "", "".join(line + "\n" for line in lines))
                expect(programs, "hello", ["ws://" + address], "", "hello\n")
            site.terminate()
            said = site.communicate(timeout=GIVE_UP_SECONDS)[1]
            watch.cancel()
        check(said == "" and site.returncode == 0, "site: status %d, standard error %r" % (site.returncode, said))


def run_examples(programs):
    if not check(set(programs) >= EXAMPLES - missing, "the examples were not run"):
        return
    server = Server(programs["capitals"])
    if server.url is not None:
        clients_talk_to(programs, server.url)
        commands_are_connected(programs, server)
        clients_are_served_at_once(programs, server.url)
        failed_input_is_no_eof(programs, server)
    said = server.stop()
    check(said == "", "capitals wrote to standard error: %r" % said)
    if server.url is not None:
        clients_report_errors(programs, server.url)  # nobody listens there any more
    adopters_serve(programs)
    the_door_needs_a_token_and_ends_gracefully(programs)
    a_shift_ends(programs)
    a_herd_shares_a_port(programs)
    server = Server(programs["echo"])
    if server.url is not None:
        expect(programs, "hello", [server.url], "", "hello\n")
        expect(programs, "filter", [server.url], "b\na\n", "b\na\n")
    said = server.stop()
    check(said == "", "echo wrote to standard error: %r" % said)
    site_serves_both(programs)
    manual_first.run(sys.modules[__name__], programs)
    manual_codecs.run(sys.modules[__name__], programs)


def inetd_serves(programs, arguments, client, client_arguments, data, output):
    """One connection as inetd hands it over: the socket is standard input, output and error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(GIVE_UP_SECONDS)
        url = "ws://127.0.0.1:%d/%s" % (listener.getsockname()[1], client_arguments[0])
        children = []

        def accept():
            connection, _ = listener.accept()
            with connection:
                children.append(subprocess.Popen([programs["louder"], *arguments], stdin=connection, stdout=connection,
                                                 stderr=connection))
        thread = threading.Thread(target=accept)
        thread.start()
        done = run_client(programs[client], [url] + client_arguments[1:], data)
        thread.join()
        status = children[0].wait(timeout=GIVE_UP_SECONDS)
    check(done.stdout == output, "louder %s: %r, standard error %r" % (arguments, done.stdout, done.stderr))
    check(status == done.returncode == (0 if output is not None and output != "" else 1),
          "louder %s: status %d, of the client %d" % (arguments, status, done.returncode))


def adopters_serve(programs):
    """The examples of ws_fdopen.3."""
    inetd_serves(programs, [], "ask", ["", "one", "two"], "", "ONE\nTWO\n")
    inetd_serves(programs, ["/served"], "filter", ["served"], "a\nb", "A\nB")
    inetd_serves(programs, ["/served"], "filter", ["other"], "a\nb", "")
    server = Server(programs["front"])
    if server.url is None:
        return
    for _ in range(2):
        expect(programs, "filter", [server.url + "feed"], "ignored", "hello, stream\n")
        with socket.create_connection(("127.0.0.1", int(server.url.split(":")[2].rstrip("/")))) as page:
            page.settimeout(GIVE_UP_SECONDS)
            page.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b"".join(iter(lambda: page.recv(4096), b""))
        check(answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nhello, page\n"),
              "front sends the page %r" % answer)
    said = server.stop()
    check(said == "", "front wrote to standard error: %r" % said)


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def crowd_is_served_from_one_thread(programs, helper, slow):
    """Every byte of all of them; what it took is shown and not judged."""
    if "crowd" not in programs or helper is None:
        return
    server = Server(programs["crowd"])
    if server.url is not None:
        expect(programs, "filter", [server.url], "b\na\n", "b\na\n")
        watch_tells_what_happens(programs, server.url)
        idle = cpu_seconds(server.process.pid)
        done = run_client(helper, [server.url, str(CROWD_CLIENTS), str(CROWD_BYTES)])
        check(done.returncode == 0 and done.stderr == "", "crowd: %d: %.1000s" % (done.returncode, done.stderr))
        print("crowd: %d streams, %d bytes each: %.2f s of CPU time" %
              (CROWD_CLIENTS, CROWD_BYTES, cpu_seconds(server.process.pid) - idle), flush=True)
        # All places are free again, those of clients that were cut off too.
        done = run_client(helper, [server.url, str(CROWD_CLIENTS), "1000"])
        check(done.returncode == 0 and done.stderr == "", "crowd again: %.1000s" % done.stderr)
    said = server.stop()
    if slow:
        # A client that a sanitizer keeps from answering the Close in close_timeout_ms: all bytes have come, see above.
        said = said.replace("client: Connection timed out\n", "")
    check(said == "", "crowd wrote to standard error: %.1000r" % said)


def run_tls_examples(programs, page, source):
    """Returns whether it could be done."""
    if not set(programs) >= EXAMPLES - missing:
        return True  # a failure already
    with tempfile.TemporaryDirectory(prefix="wsfile-manual-") as directory:
        if not make_certificates(source, directory):
            return False
        tls_is_as_the_page_says(programs, page, directory)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", required=True, help="the project's top directory")
    parser.add_argument("--library", help="the shared library; without it the examples are only extracted")
    parser.add_argument("--sanitize", default="none", help="how the library was built")
    parser.add_argument("cc", nargs="*", default=["cc"], help="the C compiler and its first arguments, behind --")
    args = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # no example goes through one
    args.include = os.path.join(args.source, "include")
    def text_of(*parts):
        with open(os.path.join(args.source, *parts), encoding="utf-8") as file:
            return file.read()
    header, readme = text_of("include", "wsfile.h") + text_of("include", "wsfile_lws.h"), text_of("README.md")
    man = os.path.join(args.source, "man")
    pages = {page: text_of("man", page) for page in PAGES
             if check(os.path.exists(os.path.join(man, page)), "man/%s is missing" % page)}
    linted = lint(man)
    structure_of_pages(pages)
    references_lead_somewhere(header, pages)
    functions_are_documented(header, pages)
    prototypes_agree(header, pages)
    options_are_documented(header, pages["ws_options.3"])
    status_is_documented(header, pages["ws_status.3"])
    events_are_documented(header, pages["ws_observe.3"])
    security_is_as_documented(header, lambda name: text_of("src", name), pages["ws_security.7"])
    manual_words.run(sys.modules[__name__], args.source, header, pages, readme)
    examples = collect_examples(pages, readme)
    complete = linted
    if args.library is not None:
        with tempfile.TemporaryDirectory(prefix="wsfile-manual-") as directory:
            programs = build_examples(examples, args, directory)
            run_examples(programs)
            helper = os.path.join(directory, "crowd_clients")
            source = os.path.join(args.source, "tests", "crowd_clients.c")
            crowd_is_served_from_one_thread(programs, helper if build(source, source, helper, args) else None,
                                            args.sanitize not in ("", "none"))
            complete &= run_tls_examples(programs, pages["ws_tls.7"], args.source) and not missing
    print("%d examples, %d failures" % (len(examples), len(failures)))
    return 1 if failures else 0 if complete else 77


if __name__ == "__main__":
    sys.exit(main())
