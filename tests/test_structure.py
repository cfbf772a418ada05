#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""The rules of the source tree: which room may use what, what is exported, how files look.

A room is a noun with src/<room>.c and, if another uses it, src/<room>.h; src/<room>_<part>.[ch] belong to it.
Exit status: 0 = all passed, 1 = something failed, 77 = all that could be checked passed, but a tool is missing.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Which of our headers each room may include, besides its own. A room uses only rooms above it. "wsfile" is the public
# header.
ROOMS = {
    "lock":     "",
    "wait":     "lock",
    "cancel":   "",
    "wipe":     "",
    "process":  "lock wait",
    "ring":     "",
    "uri":      "wipe",
    "url":      "uri wipe",
    "mask":     "",
    "utf8":     "",
    "frame":    "mask",
    "http":     "wipe",
    "crypto":   "process",
    "deflate":  "http",
    "endpoint": "ring url mask utf8 frame http crypto deflate",
    "errmap":   "utf8 frame wsfile",
    "options":  "utf8 uri http wipe errmap wsfile",
    "proxy":    "uri url wipe",
    "pollfd":   "process",
    "observe":  "process wait lock cancel wsfile",
    "socket":   "process wait lock",
    "tls":      "errmap wait lock wipe process socket wsfile",
    "transport": "wait lock socket tls",
    "stream":   "process ring mask endpoint errmap options wait lock wipe pollfd observe wsfile",
    "cookie":   "process cancel wait lock options stream wsfile",
    "control":  "cancel wait utf8 errmap stream cookie wsfile",
    "heap":     "",
    "service":  "process cancel stream wait lock socket tls transport heap",
    "connect":  "process errmap wait lock",
    "bind":     "process url errmap wait connect wsfile",
    "tunnel":   "url http crypto wipe errmap proxy wait lock",
    "opener":   "errmap wsfile",
    "dial":     "process url http crypto deflate wipe errmap options proxy wait observe tls stream service connect tunnel",
    "client":   "cancel url errmap options stream cookie service opener dial wsfile",
    "listener": "cancel process url errmap options wait lock pollfd stream cookie service tls opener wsfile",
    "server":   "cancel process url errmap options wait lock stream cookie service bind deflate tls opener listener wsfile",
    "adopt":    "cancel process url deflate errmap options wait tls observe stream cookie service opener dial wsfile",
    "descriptor": "process url errmap options wait lock cancel stream service opener dial wsfile",
    "attach":   "process cancel wait lock ring frame errmap options stream opener listener wsfile",
}

# Which third-party headers a room may include; all others none.
THIRD_PARTY = {
    "crypto":  r"openssl/.*",
    "deflate": r"zlib\.h",
    "tls":     r"openssl/.*",
    "service": r"libwebsockets\.h",
    "attach":  r"libwebsockets\.h",
}

# What any room may include beside them. Nothing here is a library of its own.
STANDARD = """
    assert ctype errno inttypes limits stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib string strings time
    arpa/inet netdb netinet/in netinet/tcp sys/ioctl sys/mman sys/param sys/random sys/socket sys/stat sys/time sys/types sys/uio
    sys/un fcntl poll pthread signal unistd
""".split()

# And a system's own, where a room is about that. Vector instructions have headers, too.
SYSTEM = {
    "wait": "linux/futex sys/syscall",
    "mask": "emmintrin immintrin arm_neon",
    "utf8": "emmintrin immintrin arm_neon",
    "cookie": "stdio_ext",
    "control": "stdio_ext",
    "service": "sys/epoll sys/event",
    "pollfd": "sys/eventfd",
    "opener": "sys/resource",
    "listener": "sys/resource",
    "descriptor": "sys/epoll",
}

PURE = "wipe heap ring uri url mask utf8 frame http endpoint options errmap proxy".split()

BANNED = "sprintf vsprintf strcpy strcat atoi strtok gets rand alloca".split()
# The library never prints and never ends the program.
BANNED_IN_LIBRARY = """
    printf vprintf puts putchar perror fprintf vfprintf exit _exit _Exit quick_exit abort signal system
""".split()

MAX_LINES, MAX_FUNCTION_LINES, MAX_COLUMNS, TAB = 500, 50, 120, 8

failures, reports, skips = [], [], []


def check(good, text):
    if not good:
        failures.append(text)
    return good


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def code_of(text):
    """Without comments and what stands in strings, on the same lines."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0)) if match.group(0)[0] == "/" else match.group(0)[0] * 2
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def room_of(name):
    return re.match(r"[a-z0-9]+", name).group(0)


def sources(directory, ending=(".c", ".h")):
    return sorted(os.path.join(path, name) for path, _, names in os.walk(directory) for name in names
                  if name.endswith(ending))


# --- rooms ---

def table_is_ordered():
    """The table above allows no room to use one below it."""
    above = {"wsfile"}
    for room, uses in ROOMS.items():
        for used in uses.split():
            check(used in above, "ROOMS: %s may not use %s, which is not above it" % (room, used))
        above.add(room)
    for room in PURE:
        check(room in ROOMS and room not in THIRD_PARTY, "ROOMS: pure room %s is missing or has a library" % room)


def includes_follow_the_table(src):
    files = sources(src)
    check(len(files) >= len(ROOMS), "only %d files in src/" % len(files))
    for path in files:
        name = os.path.basename(path)
        room = room_of(name)
        if not check(room in ROOMS, "src/%s belongs to no room of the table" % name):
            continue
        text = read(path)
        for header in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.M):
            used = room_of(header) if header != "wsfile.h" else "wsfile"
            check(used == room or used in ROOMS[room].split(), "src/%s may not include %s" % (name, header))
        for header in re.findall(r"^\s*#\s*include\s*<([^>]+)>", text, re.M):
            stem = re.sub(r"\.h$", "", header)
            allowed = stem in STANDARD or stem in SYSTEM.get(room, "").split() \
                or re.fullmatch(THIRD_PARTY.get(room, r"(?!)"), header)
            check(allowed, "src/%s may not include <%s>" % (name, header))
        check(not re.search(r'^\s*#\s*include\s*[^"<\s]', text, re.M), "src/%s: an include can't be read" % name)
    for room in ROOMS:
        check(os.path.exists(os.path.join(src, room + ".c")), "room %s has no src/%s.c" % (room, room))


def libraries_stay_in_their_rooms(top):
    """The two rules again, by themselves and over the public header, too: the table could be edited."""
    for path in sources(os.path.join(top, "src")) + sources(os.path.join(top, "include")):
        text, name = read(path), os.path.relpath(path, top)
        if "libwebsockets.h" in text:
            check(name in ("src/service_lws.c", "include/wsfile_lws.h"),
                  "%s names libwebsockets.h; only src/service_lws.c and wsfile_lws.h may" % name)
        if re.search(r'#\s*include\s*"(wsfile|attach)_lws\.h"', text):
            check(re.fullmatch(r"src/attach(_lws|_link|_request)?\.[ch]", name),
                  "%s knows libwebsockets; of the room attach, only its half towards that may" % name)
        if re.search(r"#\s*include\s*<openssl/", text):
            check(re.fullmatch(r"src/(crypto|tls(_\w+)?)\.[ch]", name),
                  "%s includes an OpenSSL header; only the rooms crypto and tls may" % name)


# --- what files look like ---

def function_lengths(text):
    """Yields line number and length of each body: between a { and the next } in the first column."""
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield start, number - start - 1
            start = None


def files_look_right(top):
    paths = [path for part in ("src", "include", "tests", "tools") for path in sources(os.path.join(top, part))]
    for path in paths:
        text, name = read(path), os.path.relpath(path, top)
        check(text.startswith("/* SPDX-License-Identifier: 0BSD */\n"), "%s does not open with the SPDX line" % name)
        check(text.endswith("\n") and not text.endswith("\n\n"), "%s does not end with one newline" % name)
        for number, line in enumerate(text.splitlines(), 1):
            columns = len(line.expandtabs(TAB))
            check(columns <= MAX_COLUMNS, "%s:%d has %d columns" % (name, number, columns))
            check(line == line.rstrip(), "%s:%d ends with blanks" % (name, number))
        # A header speaks for the file of its name; the pages of the command do for tools/.
        check(re.match(r".*\n/\*", text) or path.endswith(".c") and os.path.exists(path[:-1] + "h") or
              name.startswith("tools"), "%s does not say at its head what it is" % name)
        lines = text.count("\n")
        if lines > MAX_LINES and name.startswith("src"):
            reports.append("%s has %d lines, over %d" % (name, lines, MAX_LINES))
        for first, lines in function_lengths(text):
            if lines > MAX_FUNCTION_LINES and name.startswith("src"):
                reports.append("%s:%d: a function of %d lines, over %d" % (name, first, lines, MAX_FUNCTION_LINES))


def banned_functions_are_absent(top):
    for part in ("src", "include", "tests", "tools"):
        banned = BANNED + (BANNED_IN_LIBRARY if part in ("src", "include") else [])
        pattern = re.compile(r"\b(%s)\s*\(" % "|".join(banned))
        for path in sources(os.path.join(top, part)):
            for number, line in enumerate(code_of(read(path)).splitlines(), 1):
                for match in pattern.finditer(line):
                    check(False, "%s:%d calls %s" % (os.path.relpath(path, top), number, match.group(1)))


# --- what is exported ---

def declared_functions(header):
    return set(re.findall(r"^WS_EXPORT [^;(]*?(\w+)\(", header, re.M))


def mapped_symbols(text):
    return set(re.findall(r"^\t(\w+);", text.split("local:")[0], re.M))


def exported_symbols(library):
    done = subprocess.run(["nm", "-D", "--defined-only", library], stdout=subprocess.PIPE, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[-1].split("@")[0] for row in rows if row[-2] not in "Aa"}


def exports_agree(top, library):
    declared = declared_functions("".join(read(path) for path in sources(os.path.join(top, "include"))))
    mapped = mapped_symbols(read(os.path.join(top, "src", "wsfile.map")))
    check(len(declared) >= 12, "only %d functions found in wsfile.h" % len(declared))
    check(declared == mapped, "wsfile.h and wsfile.map differ: %s" % sorted(declared ^ mapped))
    check(all(name.startswith("ws_") for name in declared), "a public function does not start with ws_")
    if library is None:
        skips.append("no library given: its symbols were not compared")
    elif shutil.which("nm") is None:
        skips.append("nm is missing: the library's symbols were not compared")
    else:
        exported = exported_symbols(library)
        check(exported == declared, "the library's symbols and wsfile.h differ: %s" % sorted(exported ^ declared))


# --- the public headers alone ---

HEADER_WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror".split()
# Each is included before anything else, and twice. C++ has no designated initialisers before 2020: WS_OPTIONS_INIT
# needs none.
HEADERS = {
    "wsfile.h": "struct ws_options options = WS_OPTIONS_INIT;\nstruct ws_status status = WS_STATUS_INIT;\n"
                "const char *called(void);\nconst char *called(void)\n{\n\treturn ws_version();\n}\n",
    "wsfile_lws.h": "struct ws_listener *called(void);\nstruct ws_listener *called(void)\n{\n"
                    "\treturn ws_listen_lws(\"name\", NULL);\n}\n",
}
CALLED = {"wsfile.h": "ws_version", "wsfile_lws.h": "ws_listen_lws"}
LANGUAGES = (
    (".c", ("gcc", "clang"), ("c99", "c11", "c17")),
    (".cc", ("g++", "clang++"), ("c++11", "c++14", "c++17", "c++20")),
)


def header_compiles(top, command, header, ending, standard, directory):
    source, out = os.path.join(directory, "header" + ending), os.path.join(directory, "header.o")
    with open(source, "w", encoding="ascii") as file:
        file.write("#include <%s>\n#include <%s>\n" % (header, header) + HEADERS[header])
    done = subprocess.run(command + ["-std=" + standard] + HEADER_WARNINGS +
                          ["-I" + os.path.join(top, "include"), "-c", "-o", out, source],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    what = "%s as %s by %s" % (header, standard, command[0])
    if check(done.returncode == 0, "%s does not compile alone:\n%s" % (what, done.stdout)) and shutil.which("nm"):
        done = subprocess.run(["nm", out], stdout=subprocess.PIPE, text=True, check=True)
        check(re.search(r"\bU _?%s$" % CALLED[header], done.stdout, re.M), "%s calls by another name" % what)


def public_headers_stand_alone(top, cc, lws_include):
    with tempfile.TemporaryDirectory(prefix="wsfile-header-") as directory:
        for ending, compilers, standards in LANGUAGES:
            for compiler in compilers:
                if shutil.which(compiler) is None:
                    skips.append("%s is missing: the headers were not compiled with it" % compiler)
                    continue
                for standard in standards:
                    # libwebsockets' own headers take their time.
                    for header in HEADERS if standard in (standards[0], standards[-1]) else ("wsfile.h",):
                        command = [compiler] + (["-isystem", lws_include] if lws_include else [])
                        header_compiles(top, command, header, ending, standard, directory)
        header_compiles(top, cc, "wsfile.h", ".c", "c11", directory)
    check("include <sys/" not in read(os.path.join(top, "include", "wsfile.h")).replace("include <sys/types.h>", ""),
          "wsfile.h includes more of the system than sys/types.h")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", required=True, help="the project's top directory")
    parser.add_argument("--library", help="the shared library")
    parser.add_argument("--lws-include", default="", help="where libwebsockets.h is, if not in the system's place")
    parser.add_argument("cc", nargs="*", default=["cc"], help="the C compiler and its first arguments, behind --")
    args = parser.parse_args()
    src = os.path.join(args.source, "src")
    table_is_ordered()
    includes_follow_the_table(src)
    libraries_stay_in_their_rooms(args.source)
    files_look_right(args.source)
    banned_functions_are_absent(args.source)
    exports_agree(args.source, args.library)
    public_headers_stand_alone(args.source, args.cc, args.lws_include)
    for kind, texts in (("note", reports), ("SKIP", skips), ("FAIL", failures)):
        for text in texts:
            print("%s: %s" % (kind, text))
    return 1 if failures else 77 if skips else 0


if __name__ == "__main__":
    sys.exit(main())
