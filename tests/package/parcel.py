# SPDX-License-Identifier: 0BSD
"""What the scripts of this directory share: running programs with a bound on time, and saying what was skipped."""

import os
import re
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
# Only to end a hang.
TIMEOUT_S = 300
SKIPPED = 77
# Proxies, translations and flags of the machine are none of the tests' business.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
               and name not in ("CFLAGS", "CPPFLAGS", "LDFLAGS", "DESTDIR", "MANPATH", "PKG_CONFIG_PATH")}
ENVIRONMENT.update(LC_ALL="C.UTF-8", no_proxy="*")


def need(name, where=""):
    """The program's path; the test is skipped without it."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if found is None:
        raise unittest.SkipTest("%s is missing%s" % (name, where))
    return found


def run(*command, status=0, **settings):
    """(standard output, standard error); status: what the exit status has to be, None = any."""
    settings = {"env": ENVIRONMENT, "timeout": TIMEOUT_S, "stdin": subprocess.DEVNULL, **settings}
    if "input" in settings:
        del settings["stdin"]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, **settings)
    if status is not None and done.returncode != status:
        raise AssertionError("%s: status %d\n%s%s" % (" ".join(map(str, command)), done.returncode, done.stdout,
                                                      done.stderr))
    return done.stdout, done.stderr


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


def exported_functions():
    """Those of the version map, which another test compares with the header and the library."""
    lines = read("src", "wsfile.map").split("local:")[0].splitlines()
    return {line.strip(" \t;") for line in lines if line.startswith("\t")}


def readme_client():
    """The first program of README.md."""
    return re.search(r"^```c\n(.*?)^```$", read("README.md"), re.M | re.S).group(1)


def project_version():
    return re.search(r"^  version : '(.*)',$", read("meson.build"), re.M).group(1)


class Echo:
    """A server by this wspipe that sends back what comes; .url is where."""

    def __init__(self, wspipe, **settings):
        self.process = subprocess.Popen([wspipe, "-l", "-k", "--echo", "ws://127.0.0.1:0/"], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        **{"env": ENVIRONMENT, **settings})
        line = self.process.stderr.readline()
        if not line.startswith("listening on "):
            self.__exit__()
            raise AssertionError("wspipe said %r" % line)
        self.url = line.split()[2]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def skip_all(reason):
    print("SKIPPED: %s" % reason)
    sys.exit(SKIPPED)


def need_plain_build():
    """For tests that have nothing to do with a sanitizer, or can't do with one."""
    if os.environ.get("WSF_SANITIZE", "none") != "none":
        skip_all("this build is for a sanitizer")


def main():
    """Exit 0; or 77: nothing failed, but something was skipped, as it says."""
    result = unittest.main(exit=False, verbosity=1).result
    for reason in sorted({reason for _, reason in result.skipped}):
        print("SKIPPED: %s" % reason)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped else 0)
