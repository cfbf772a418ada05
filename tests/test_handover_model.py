#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""Verifies handover.pml with spin, exhaustively, and that spin finds each of some faults put into it.

Exit status: 0 = passed, 1 = failed, 77 = spin is missing.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

# What is checked: name, the generator's and the verifier's arguments.
SAFE = ("safe", [], ["-m100000", "-w22"])
LEAVES = ("leaves", ["-DLEAVES=true", "-DDATAS=1", "-DPINGS=0"], ["-m100000", "-w22"])
ENDS = ("ends", ["-DDATAS=1"], ["-a", "-f", "-m200000", "-w22", "-N", "ends"])

# Faults: what is replaced by what; the check that finds it.
FAULTS = [
    ("the hand-over wakes nobody", "look_due = false;\n\t\t\t\t\tnotify();", "look_due = false;", SAFE),
    ("the helper receives whoever owns that", ":: owner == READER -> result = 2\n", ":: false -> result = 2\n", SAFE),
    ("the reader receives without having asked", ":: ask -> owner = ASKED", ":: ask -> owner = READER", SAFE),
    ("receiving is taken back from a reading reader", "&& reading -> watched = false",
     "&& reading -> owner = HELPER; cmd_read = true", SAFE),
    ("taken back, but the socket is not watched", "&& !reading -> owner = HELPER; cmd_read = true",
     "&& !reading -> owner = HELPER", SAFE),
    ("the reader leaves without telling", ":: watch -> cmd_timer = true", ":: watch -> skip", SAFE),
    ("a pause is not ended", ":: resume && owner != READER -> cmd_read = true", ":: resume -> skip", SAFE),
    ("the count is looked at too late", "\t\twait_event();", "\t\tchanged = false; wait_event();", SAFE),
    ("a hand-over to a reader that has left", "&& !reading -> owner = HELPER\n", "&& !reading -> owner = READER\n",
     LEAVES),
    ("given back, but the socket is not watched", "back = true; cmd_read = true", "back = true", LEAVES),
    ("a look that never comes to an end", "&& read_since -> read_since = false;", "&& read_since ->", ENDS),
]


def build(directory, model, check, optimize):
    name, defines, _ = check
    with open(os.path.join(directory, name + ".pml"), "w", encoding="utf-8") as file:
        file.write(model)
    subprocess.run(["spin", *defines, "-a", name + ".pml"], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    # Without a claim to follow, spin looks for the ends of the threads that are none.
    claim = [] if name == "ends" else ["-DNOCLAIM"]
    subprocess.run([os.environ.get("CC", "cc"), optimize, "-w", "-DNFAIR=3", *claim, "-o", "pan", "pan.c"],
                   cwd=directory, check=True)


def verify(model, check, optimize="-O2"):
    """Returns how many errors there are, how many states, and whether all were seen."""
    with tempfile.TemporaryDirectory(prefix="wsfile-model-") as directory:
        build(directory, model, check, optimize)
        done = subprocess.run(["./pan", *check[2]], cwd=directory, stdout=subprocess.PIPE, text=True, check=False)
    errors = re.search(r"errors: (\d+)", done.stdout)
    states = re.search(r"(\d+) states, stored", done.stdout)
    if errors is None or states is None:
        sys.exit("spin's verifier said:\n" + done.stdout)
    whole = "Search not completed" not in done.stdout and "max search depth too small" not in done.stdout
    return int(errors.group(1)), int(states.group(1)), whole


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    args = parser.parse_args()
    if shutil.which("spin") is None:
        print("SKIP: spin is missing")
        return 77
    with open(args.model, encoding="utf-8") as file:
        model = file.read()
    failed = False
    for check in (SAFE, LEAVES, ENDS):
        errors, states, whole = verify(model, check)
        print("%s: %d errors in %d states%s" % (check[0], errors, states, "" if whole else ", not all of them"))
        failed |= errors != 0 or not whole
    for name, old, new, check in FAULTS:
        if model.count(old) != 1:
            print("FAIL: %r is %d times in the model" % (old, model.count(old)))
            failed = True
            continue
        # It ends soon: building is most of the time.
        errors, states, _ = verify(model.replace(old, new), check, "-O0")
        print("%s: %s" % (name, "found in %d states" % states if errors else "FAIL, not found"))
        failed |= errors == 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
