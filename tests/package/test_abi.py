# SPDX-License-Identifier: 0BSD
"""The library's binary interface is what libwsfile.abi says it was, or has grown.

test_abi.py --library FILE [--update]. The record is abidw's: names, sizes, offsets and types of all that wsfile.h
shows, as debugging information has them; gcc, clang and any optimisation give the same. Exit 77: no abidiff is here, or
the record is of another kind of machine.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import unittest

from parcel import HERE, SOURCE, TIMEOUT_S, need, need_plain_build, run, skip_all

RECORD = os.path.join(HERE, "libwsfile.abi")
# What abidiff's exit status says.
ERROR, USAGE, CHANGE = 1, 2, 4
ADVICE = """
Programs that were compiled with the library of the record may not work with this one. If they do nevertheless, as
where a member was added at the end of a struct that carries its size, record what it is now, and commit that:
    ninja -C build update-abi
Otherwise undo the change, or give the library another soname: soversion in src/meson.build, the version node in
src/wsfile.map, the packages libwsfile0 in debian/, and only then the record.
"""


def describe(library, where):
    run(need("abidw"), "--headers-dir", os.path.join(SOURCE, "include"), "--drop-private-types", "--suppressions",
        os.path.join(HERE, "wsfile.abignore"), "--exported-interfaces-only", "--no-parameter-names", "--no-corpus-path",
        "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed", "--no-write-default-sizes", "--type-id-style",
        "hash", "--out-file", where, library)
    with open(where, encoding="utf-8") as file:
        text = file.read()
    # An empty description would agree with anything that has grown.
    if "name='linger_ms'" not in text:
        skip_all("the library has no debugging information")
    return text


def machine_of(text):
    return re.search(r"<abi-corpus [^>]*architecture='([^']+)'", text).group(1)


def differences(*arguments):
    """(whether there are any, what abidiff says of them); its exit status is a set of bits."""
    done = subprocess.run([need("abidiff"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=TIMEOUT_S)
    if done.returncode & (ERROR | USAGE):
        raise AssertionError("abidiff: %s" % done.stdout)
    return done.returncode & CHANGE != 0, done.stdout


def compare(now):
    broken, text = differences("--no-added-syms", RECORD, now)
    if broken:
        print(text + ADVICE)
        return 1
    grown, text = differences(RECORD, now)
    if grown:
        print("%sThe interface has grown. \"ninja -C build update-abi\" records that." % text)
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--update", action="store_true", help="make this library's interface the record")
    arguments = parser.parse_args()
    need_plain_build()
    try:
        with tempfile.TemporaryDirectory(prefix="wsfile-abi.") as directory:
            now = os.path.join(directory, "now.abi")
            text = describe(arguments.library, RECORD if arguments.update else now)
            if arguments.update:
                return 0
            with open(RECORD, encoding="utf-8") as file:
                recorded = machine_of(file.read())
            if machine_of(text) != recorded:
                skip_all("the record is of %s, this is %s" % (recorded, machine_of(text)))
            return compare(now)
    except unittest.SkipTest as error:
        return skip_all(error)


if __name__ == "__main__":
    sys.exit(main())
