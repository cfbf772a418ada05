# SPDX-License-Identifier: 0BSD
"""The programs of ws_codecs.7 as a user runs them; the functions in them have tests of their own in codecs/."""
import errno
import os
import re


def records_are_answered(manual, programs, lines, bytes_back):
    """records with a server that answers each line, and with one that sends each byte back."""
    manual.expect(programs, "records", [lines], "one\n\ntwo three\n", "ONE\n\nTWO THREE\n")
    manual.expect(programs, "records", ["-0", bytes_back], "a\nb\0\0c\0", "a\nb\0\0c\0")
    # The last one has no end: it is not sent, and what was before it is not taken for all.
    done = manual.run_client(programs["records"], [bytes_back], "whole\npart")
    manual.check(done.returncode == 1 and done.stdout == "whole\n" and
                 done.stderr == "records: %s\n" % os.strerror(errno.EPROTO), "records, a part: %r" % done)
    done = manual.run_client(programs["records"], [lines], "x" * 70000 + "\n")
    manual.check(done.returncode == 1 and done.stdout == "" and
                 done.stderr == "records: %s\n" % os.strerror(errno.EMSGSIZE), "records, too long: %r" % done)
    done = manual.run_client(programs["records"], [])
    manual.check(done.returncode == 2 and re.fullmatch(r"usage: .*\n", done.stderr), "records: %r" % done)


def mirror_turns_records_around(manual, programs):
    """filter sends all, closes, and reads the answers: half-close."""
    server = manual.Server(programs["mirror"])
    if server.url is None:
        return
    manual.expect(programs, "filter", [server.url], "\0\0\0\3abc\0\0\0\0\0\0\0\2\nz", "\0\0\0\3cba\0\0\0\0\0\0\0\2z\n")
    manual.expect(programs, "filter", [server.url], "", "")
    for question, answer, error in (("\0\0\0\1x\0\0\0\2a", "\0\0\0\1x", errno.EPROTO), ("\0\x7f\0\0", "", errno.EMSGSIZE)):
        done = manual.run_client(programs["filter"], [server.url], question)
        # The refusal may come before all is sent.
        manual.check(done.returncode == 1 and done.stdout == answer and
                     done.stderr in ("receiving: %s\n" % os.strerror(errno.ECONNABORTED),
                                     "sending: %s\n" % os.strerror(errno.EPIPE)),
                     "mirror, %r: %r" % (question, done))
        line = server.line_of(server.process.stderr)
        manual.check(line == "mirror: %s\n" % os.strerror(error), "mirror, %r: it says %r" % (question, line))
    said = server.stop()
    manual.check(said == "", "mirror wrote to standard error: %r" % said)


def adder_adds(manual, programs):
    """What is wrong inside of a line is answered, what is wrong with a line ends the stream."""
    server = manual.Server(programs["adder"])
    if server.url is None:
        return
    manual.expect(programs, "filter", [server.url], '{"id": 7, "numbers": [1, 2, 3]}\n[]\n{"numbers": [0.5]}\n',
                  '{"id":7,"sum":6.0}\n{"id":null,"error":"no numbers"}\n{"id":null,"sum":0.5}\n')
    done = manual.run_client(programs["filter"], [server.url], '{oops\n{"id": 1, "numbers": []}\n')
    manual.check(done.returncode == 0 and re.fullmatch(r'\{"error":".+"\}\n\{"id":1,"sum":0\.0\}\n', done.stdout),
                 "adder, a line that is no JSON: %r" % done)
    for question, error in (('{"id": 1', errno.EPROTO), ("1" * 70000 + "\n", errno.EMSGSIZE)):
        done = manual.run_client(programs["filter"], [server.url], question)
        manual.check(done.returncode == 1 and done.stdout == "", "adder, %.20r: %r" % (question, done))
        line = server.line_of(server.process.stderr)
        manual.check(line == "adder: %s\n" % os.strerror(error), "adder, %.20r: it says %r" % (question, line))
    said = server.stop()
    manual.check(said == "", "adder wrote to standard error: %r" % said)


def run(manual, programs):
    """manual is what test_manual.py has: check, expect, run_client, Server."""
    lines, bytes_back = manual.Server(programs["capitals"]), manual.Server(programs["crowd"])
    if None not in (lines.url, bytes_back.url):
        records_are_answered(manual, programs, lines.url, bytes_back.url)
    for server in (lines, bytes_back):
        server.stop()
    mirror_turns_records_around(manual, programs)
    if "adder" in programs:
        adder_adds(manual, programs)
