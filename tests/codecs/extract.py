#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""Prints one example of a manual page, so that what is tested is what the page shows: extract.py PAGE NAME

NAME is the word behind "usage:" in the example.
"""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from test_manual import literal_blocks  # pylint: disable=wrong-import-position


def main():
    page, name = sys.argv[1:]
    with open(page, encoding="ascii") as file:
        found = [block for block in literal_blocks(file.read()) if re.search(r"usage: %s\b" % name, block)]
    if len(found) != 1:
        sys.exit("%s has %d examples called %s" % (page, len(found), name))
    sys.stdout.write(found[0])


if __name__ == "__main__":
    main()
