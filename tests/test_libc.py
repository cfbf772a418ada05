#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""The stdio layer with each C library: libc_*.c over a stream in memory, as one table.

For glibc's fopencookie and libbsd's funopen the programs are built with the rest; for musl this builds it, with
musl-gcc, as neither OpenSSL nor libwebsockets is to be had for it.
Exit status: 0 = all passed, 1 = something failed, 77 = all that could be run passed, but a library is not here.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

LIBRARIES = ("glibc", "libbsd", "musl")
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Werror".split()
# What musl has had no names for since 1.2.4: off_t always has 64 bits there.
LARGE_FILE_NAMES = re.compile(r"\b(off64_t|(fopen|freopen|fseeko|ftello|lseek|mmap|open|f?stat|pread|pwrite)64)\b")


def build_for_musl(source, files, program):
    """Returns what the compiler says against it, "" = nothing."""
    done = subprocess.run(
        ["musl-gcc", "-static", "-std=c11", "-O2", "-g", "-D_GNU_SOURCE", "-DWSF_FOPENCOOKIE"] + WARNINGS +
        ["-I" + os.path.join(source, part) for part in ("include", "src", "tests")] + ["-o", program] + files,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300)
    return done.stdout if done.returncode != 0 else ""


def run(library, program, failures):
    """Returns what came of each case."""
    # One case leaves a stream open on purpose, and libbsd has an object of its own behind it.
    environment = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    done = subprocess.run([program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=300)
    results = {}
    for line in done.stdout.splitlines():
        name, tab, result = line.partition("\t")
        if line.startswith("FAIL: "):
            failures.append("%s: %s" % (library, line[len("FAIL: "):]))
        elif tab:
            results[name] = result
    if done.returncode != 0 or len(results) < 60:
        failures.append("%s: status %d, %d cases\n%s" % (library, done.returncode, len(results), done.stdout))
    return results


def large_file_names(source):
    for part in ("include", "src"):
        for name in sorted(os.listdir(os.path.join(source, part))):
            if name.endswith((".c", ".h")):
                with open(os.path.join(source, part, name), encoding="utf-8") as file:
                    code = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
                for match in LARGE_FILE_NAMES.finditer(code):
                    yield "%s/%s uses %s, which musl lacks" % (part, name, match.group(1))


def print_table(results):
    for name in {name: None for library in LIBRARIES for name in results.get(library, {})}:
        texts = [results[library].get(name, "-") for library in LIBRARIES if library in results]
        if len(set(texts)) == 1:
            print("%s: %s" % (name, texts[0]))
            continue
        print("%s:" % name)
        for library in LIBRARIES:
            if library in results:
                print("    %-7s %s" % (library, results[library].get(name, "-")))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", required=True, help="the project's top directory")
    parser.add_argument("--fopencookie", default="", help="the program over this system's fopencookie, if it has one")
    parser.add_argument("--funopen", default="", help="and over libbsd's funopen")
    parser.add_argument("files", nargs="+", help="what the program is made of, behind --")
    args = parser.parse_args()
    failures, skips, results = list(large_file_names(args.source)), [], {}
    for library, program in (("glibc", args.fopencookie), ("libbsd", args.funopen)):
        if program:
            results[library] = run(library, program, failures)
        else:
            skips.append("%s is not here" % library)
    if shutil.which("musl-gcc") is None:
        skips.append("musl-gcc is missing: the stdio layer was not tried with musl")
    else:
        with tempfile.TemporaryDirectory(prefix="wsfile-libc-") as directory:
            program = os.path.join(directory, "libc")
            complaint = build_for_musl(args.source, args.files, program)
            if complaint:
                failures.append("it can't be built with musl-gcc:\n" + complaint)
            else:
                results["musl"] = run("musl", program, failures)
    print_table(results)
    for kind, texts in (("SKIP", skips), ("FAIL", failures)):
        for text in texts:
            print("%s: %s" % (kind, text))
    return 1 if failures else 77 if skips else 0


if __name__ == "__main__":
    sys.exit(main())
