#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""What the library's paths of reading and writing cost: instructions and system calls, counted by callgrind.

tests/count_paths runs under valgrind; the figures are compared with those recorded in a file. They are those of the
thread that reads or writes, for each unit (1 MiB, or 1000 messages), the median of some rounds: a pause of 50 ms, after
which the helper thread receives, spoils one.

  library   instructions inside libwsfile itself
  libc      inside the C library, stdio included; a long copy counts about one for each byte. Not recorded for wss,
            where most of it is what OpenSSL calls
  calls     system calls, without those that only ask for the time: outside valgrind they are none
  OpenSSL   is shown only: it depends on its version and on the processor

Exit status: 0 = as recorded, or updated; 1 = not so; 77 = nothing could be compared: no valgrind, or another compiler,
machine or kind of build than the record's.
"""
import argparse
import collections
import glob
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

TOLERANCE = 0.10
# A figure fails that is outside each time: a busy machine may disturb one run, not the same in three.
REPEATS = 2
# One more or less is no change of a path.
TOLERANCE_CALLS = 1.0
COLUMNS = ("library", "libc", "calls")
# In the shared object's name.
OPENSSL = re.compile(r"lib(crypto|ssl)\.")
LIBC = re.compile(r"(libc|libpthread|ld-linux.*|libc-.*|libpthread-.*)\.so")
# They are not of the path: the time, which costs no call outside valgrind; another thread that has the lock for a moment.
NO_CALLS = re.compile(r"(__)?(clock_gettime|gettimeofday|time|time_syscall|lll_lock_wa.*|mem[a-z]+_.*)(@.*)?$")

Cost = collections.namedtuple("Cost", "library libc openssl calls functions called")


# --- callgrind's output ---

def read_costs(path, library):
    """Self costs of one dump. Costs in the line behind "calls=" are those of the called function, and stand there again.

    A function is named "name'caller'caller's caller…".
    """
    names, where = {}, {"ob": "", "fn": ""}
    costs, called, inclusive = collections.Counter(), collections.Counter(), False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = re.match(r"(c?)(ob|fn)=(\(\d+\))(?: (.*))?$", line)
            if match:
                callee, kind, number, name = match.groups()
                if name is not None:
                    names[kind, number] = name
                if not callee:
                    where[kind] = names[kind, number]
            elif line.startswith("calls="):
                inclusive = True
            elif line[0] in "0123456789+-*":
                if not inclusive:
                    numbers = [int(word) for word in line.split()[1:3]]
                    function, _, callers = where["fn"].partition("'")
                    costs[os.path.basename(where["ob"]), function] += numbers[0]
                    # callgrind counts system calls even where it does not collect.
                    if len(numbers) > 1 and "counted_" in callers and not NO_CALLS.match(function):
                        called[function] += numbers[1]
                inclusive = False

    def inside(pattern):
        return sum(cost for (name, _), cost in costs.items() if pattern.match(name))
    own = re.compile(re.escape(os.path.basename(library)))
    return Cost(inside(own), inside(LIBC), inside(OPENSSL), sum(called.values()), costs, called)


def run_counted(program, library, directory):
    """Returns the rounds of each path, in order: {path: (unit, units, [cost, ...])}."""
    output = os.path.join(directory, "counts")
    command = ["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", "--collect-systime=nsec",
               "--separate-callers=50", "--toggle-collect=counted_*", "--dump-before=round_ends",
               "--callgrind-out-file=" + output, program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit("%s: exit status %d under valgrind" % (program, done.returncode))
    paths = {}
    for number, line in enumerate(done.stdout.splitlines(), 1):
        name, unit, units = line.split()
        dumps = glob.glob("%s.%d-*1" % (output, number))
        if len(dumps) != 1:
            sys.exit("no dump of round %d, %s" % (number, name))
        paths.setdefault(name, (unit, int(units), []))[2].append(read_costs(dumps[0], library))
    return paths


def figures_of(paths):
    """{path: (unit, {column: figure})}"""
    result = {}
    for name, (unit, units, rounds) in paths.items():
        result[name] = (unit, {column: statistics.median(getattr(cost, column) for cost in rounds) / units
                               for column in COLUMNS + ("openssl",)})
        if result[name][1]["library"] == 0:
            sys.exit("%s: nothing was counted inside the library" % name)
    return result


# --- the record ---

def conditions(args):
    return {"compiler": args.compiler, "machine": args.machine, "build": args.buildtype,
            "libc": "-".join(platform.libc_ver()) or "unknown"}


def read_record(path):
    held, figures = {}, {}
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if line.startswith("# holds for "):
                held[words[3].rstrip(":")] = " ".join(words[4:])
            elif words and not line.startswith("#"):
                values = dict(zip(COLUMNS, words[2:]))
                figures[words[0]] = (words[1], {column: float(values[column]) for column in recorded_columns(words[0])})
    return held, figures


def recorded_columns(name):
    return [column for column in COLUMNS if column != "libc" or not name.startswith("wss.")]


def row(name, unit, figures, columns):
    words = [("%.1f" if column == "calls" else "%.0f") % figures[column] if column in figures else "-"
             for column in columns]
    return "%-28s %-5s" % (name, unit) + "".join(" %11s" % word for word in words)


def write_record(path, held, figures):
    lines = ["# Instructions and system calls of the paths of reading and writing, for each unit: 1 MiB, or 1000 messages.",
             "# Made by tools/instructions.py --update, which says what the columns are; checked by the test \"counts\".",
             "# A path is scheme.role.what; client and server are the end that is counted."]
    lines += ["# holds for %s: %s" % item for item in held.items()]
    lines.append("# %-26s %-5s" % ("path", "unit") + "".join(" %11s" % column for column in COLUMNS))
    for name, (unit, values) in figures.items():
        lines.append(row(name, unit, {column: values[column] for column in recorded_columns(name)}, COLUMNS))
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


def differences(recorded, figures, columns):
    """Yields what and a text for each figure outside the tolerance."""
    for name in sorted(set(recorded) ^ set(figures)):
        yield name, "%s: %s" % (name, "is not recorded" if name in figures else "was not counted")
    for name, (_, now) in figures.items():
        before = recorded.get(name, (None, {}))[1]
        for column in (column for column in columns if column in before):
            allowed = max(before[column] * TOLERANCE, TOLERANCE_CALLS if column == "calls" else 0)
            if abs(now[column] - before[column]) > allowed:
                yield (name, column), "%s: %s %.1f, recorded %.1f (%+.1f %%)" % (
                    name, column, now[column], before[column], (now[column] / max(before[column], 1) - 1) * 100)


# --- what is printed ---

def print_table(figures):
    print("%-28s %-5s" % ("path", "unit") + "".join(" %11s" % column for column in COLUMNS + ("OpenSSL",)))
    for name, (unit, values) in figures.items():
        print(row(name, unit, values, COLUMNS + ("openssl",)))


def print_functions(paths, wanted):
    for name, (unit, units, rounds) in paths.items():
        if not re.search(wanted, name):
            continue
        cost = rounds[len(rounds) // 2]
        print("\n%s, instructions for each %s:" % (name, unit))
        for (place, function), count in cost.functions.most_common(15):
            print("%11d  %s (%s)" % (count / units, function, place))
        print("  and system calls:")
        for function, count in cost.called.most_common():
            print("%11.1f  %s" % (count / units, function))


def count(args):
    with tempfile.TemporaryDirectory(prefix="wsfile-counts-") as directory:
        paths = run_counted(args.program, os.path.realpath(args.library), directory)
    figures = figures_of(paths)
    print_table(figures)
    if args.functions:
        print_functions(paths, args.functions)
    return figures


def not_here(text):
    print("not comparable here: " + text)
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser(description="Count the instructions of the paths of reading and writing.")
    parser.add_argument("--program", required=True, help="the built tests/count_paths")
    parser.add_argument("--library", required=True, help="the shared library that it uses")
    parser.add_argument("--record", required=True, help="tests/instructions.txt")
    parser.add_argument("--compiler", required=True, help="name and major version")
    parser.add_argument("--machine", required=True)
    parser.add_argument("--buildtype", required=True)
    parser.add_argument("--update", action="store_true", help="write the record in place of comparing")
    parser.add_argument("--functions", metavar="REGEX", help="show where the instructions of these paths are")
    args = parser.parse_args()

    held, recorded, here = {}, {}, conditions(args)
    if shutil.which("valgrind") is None:
        not_here("valgrind is missing")
    if not args.update:
        held, recorded = read_record(args.record)
        for what in ("compiler", "machine", "build"):
            if held.get(what) != here[what]:
                not_here("the record holds for %s %s, this is %s" % (what, held.get(what), here[what]))
    figures = count(args)
    if args.update:
        write_record(args.record, here, figures)
        print("%s is written" % args.record)
        return 0
    columns = COLUMNS
    if held.get("libc") != here["libc"]:
        print("libc is not compared: the record's is %s, this is %s" % (held.get("libc"), here["libc"]))
        columns = [column for column in COLUMNS if column != "libc"]
    bad = dict(differences(recorded, figures, columns))
    for _ in range(REPEATS):
        if not bad:
            break
        print("outside the tolerance: %s; once more" % ", ".join(sorted(set(map(str, bad)))))
        figures = count(args)
        again = dict(differences(recorded, figures, columns))
        bad = {what: text for what, text in again.items() if what in bad}
    for text in bad.values():
        print("FAIL: " + text)
    if bad:
        print("If that is meant: meson compile -C BUILD update-counts, and tell why in the commit.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
