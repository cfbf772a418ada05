#!/usr/bin/env python3
# SPDX-License-Identifier: 0BSD
"""Runs a libFuzzer target for a while, from the inputs in the source tree, which it never writes to.

run.py TARGET ROOM SOURCE [KEEP]. SOURCE has corpus/ROOM, found/ROOM and ROOM.dict. What is found on the way is thrown
away, but with KEEP it is kept in that directory; the input that does harm lies in the current directory. From the
environment: WSF_FUZZ_SECONDS, how long (30); or WSF_FUZZ_CPU_SECONDS, how much of a processor's time in user mode.
Exit status: 0 = nothing found, 1 = something.
"""
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# None needs a second by itself, but the machine may be busy.
INPUT_TIMEOUT_S, RSS_LIMIT_MB, MAX_LEN = 60, 1024, 4096
INTERRUPTED = 72                # libFuzzer's status behind SIGINT
# Many small pieces are allocated: what is freed need not be kept back for long.
SANITIZER = "quarantine_size_mb=4:max_malloc_fill_size=64"


def seeds_of(room, source):
    return [path for part in ("corpus", "found") for path in sorted(glob.glob(os.path.join(source, part, room, "*")))]


def command_of(target, room, source, corpus):
    command = [target, corpus, "-timeout=%d" % INPUT_TIMEOUT_S, "-rss_limit_mb=%d" % RSS_LIMIT_MB,
               "-max_len=%d" % MAX_LEN, "-detect_leaks=1", "-print_final_stats=1",
               "-artifact_prefix=%s-" % room]
    dictionary = os.path.join(source, room + ".dict")
    return command + (["-dict=" + dictionary] if os.path.exists(dictionary) else [])


def user_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        return int(file.read().rsplit(")", 1)[1].split()[11]) / os.sysconf("SC_CLK_TCK")


def run_by_cpu(command, environment, seconds):
    """libFuzzer knows only time as it passes, which says little of a machine that is shared."""
    with subprocess.Popen(command, env=environment) as process:
        while process.poll() is None:
            if user_seconds(process.pid) >= seconds:
                process.send_signal(signal.SIGINT)
                process.wait()
            time.sleep(1)
    return 0 if process.returncode == INTERRUPTED else process.returncode


def main():
    target, room, source = sys.argv[1:4]
    keep = sys.argv[4] if len(sys.argv) > 4 else None
    seeds = seeds_of(room, source)
    if not seeds:
        print("no inputs for %s" % room)
        return 1
    environment = dict(os.environ, ASAN_OPTIONS=":".join(filter(None, [SANITIZER, os.environ.get("ASAN_OPTIONS")])))
    scratch = keep or tempfile.mkdtemp(prefix="wsfile-fuzz-")
    try:
        os.makedirs(scratch, exist_ok=True)
        for number, path in enumerate(seeds):
            shutil.copyfile(path, os.path.join(scratch, "seed-%d" % number))
        command = command_of(target, room, source, scratch)
        cpu_seconds = os.environ.get("WSF_FUZZ_CPU_SECONDS")
        if cpu_seconds:
            status = run_by_cpu(command, environment, int(cpu_seconds))
        else:
            command.append("-max_total_time=" + os.environ.get("WSF_FUZZ_SECONDS", "30"))
            status = subprocess.run(command, env=environment, check=False).returncode
    finally:
        if not keep:
            shutil.rmtree(scratch, ignore_errors=True)
    if status != 0:
        print("%s: something was found; the input is in %s" % (room, os.path.join(os.getcwd(), room + "-*")))
    return 1 if status != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
