# SPDX-License-Identifier: 0BSD
"""The completions of bash, zsh and fish offer what wspipe takes: test_completions.py WSPIPE [unittest arguments]

Which options there are, and which of them take a value, wspipe itself is asked. Exit 77: a shell is not here.
"""

import os
import re
import string
import sys
import tempfile
import unittest

from parcel import HERE, SOURCE, main, need, read, run

WSPIPE = sys.argv.pop(1)
COMPLETIONS = os.path.join(SOURCE, "tools", "completions")
URLS = {"ws://", "wss://", "ws+unix://", "wss+unix://"}


def what_is(option):
    """None: no option of wspipe's; else whether it takes a value."""
    _, err = run(WSPIPE, option, status=None)
    return None if "unknown option" in err else "%s needs a value" % option in err


def options_of_wspipe():
    """By name, whether it takes a value. Long ones are named by --help=all or the manual page, or can't be known."""
    texts = run(WSPIPE, "--help=all")[0] + re.sub(r"\bFl (\w , )?-", "--", read("man", "wspipe.1"))
    names = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", texts)) | {"-" + letter for letter in string.ascii_letters}
    options = {name: what_is(name) for name in names}
    return {name: takes for name, takes in options.items() if takes is not None}


OPTIONS = options_of_wspipe()


def parts_of(text):
    """By line, the words offered for it: in text the words follow ":" and the line, and explanations a tab."""
    parts = [part.split("\n") for part in re.split("^:", text, flags=re.M)[1:]]
    return {line: [word.partition("\t")[0] for word in words if word] for line, *words in parts}


class Completions:
    """What any shell has to do. offers(lines): by line, what it offers at the end of that command line."""

    def offers(self, lines):
        raise NotImplementedError

    def test_every_option_is_offered_and_no_other(self):
        self.assertGreater(len(OPTIONS), 40)
        # Where a value is optional, both forms may be offered.
        offered = {word.rstrip("=") for word in self.offers(["wspipe -"])["wspipe -"]}
        self.assertEqual((sorted(set(OPTIONS) - offered), sorted(offered - set(OPTIONS))), ([], []),
                         "missing, and too much")

    def test_a_part_of_an_option_is_completed(self):
        self.assert_offers({"wspipe -l --ec": {"--echo"},
                            "wspipe --client-": {"--client-ca", "--client-cert", "--client-key"}})

    def test_an_option_without_a_value_is_followed_by_a_url(self):
        # Behind these nothing is of any use.
        flags = {name for name, takes in OPTIONS.items() if not takes} - {"-h", "--help", "-V", "--version"}
        names = self.of_these(flags, ["-l", "--echo", "--progress"])
        self.assert_offers({"wspipe %s " % name: URLS for name in names})

    def test_an_option_with_a_value_is_followed_by_no_url(self):
        valued = {name for name, takes in OPTIONS.items() if takes}
        names = self.of_these(valued, ["-q", "-H", "--path", "--exec", "--pin"])
        for line, offered in self.offers(["wspipe %s ws" % name for name in names]).items():
            with self.subTest(line=line):
                self.assertFalse(set(offered) & (URLS | set(OPTIONS)), offered)

    def of_these(self, every, _few):
        return sorted(every)

    def test_values_are_offered(self):
        self.assert_offers({
            "wspipe --tls-min ": {"1.2", "1.3"}, "wspipe --tls-min=": {"1.2", "1.3"}, "wspipe -q ": {"none"},
            "wspipe --read-timeout n": {"none"}, "wspipe --close-code 101": {"1010", "1011"},
            "wspipe --help=d": {"data"}, "wspipe --color a": {"auto", "always"},
            "wspipe w": URLS, "wspipe -l -k --echo w": URLS})

    def test_files_are_offered_where_a_file_is_wanted(self):
        with tempfile.TemporaryDirectory(prefix="wsfile-completion.") as directory:
            for name in ("a cert.pem", "key.pem"):
                with open(os.path.join(directory, name), "w", encoding="ascii"):
                    pass
            names = [option for option in OPTIONS if re.search("(^--|-)(ca|cert|key|file)$", option)]
            self.assertGreater(len(names), 8)
            path = os.path.join(directory, "key.pem")
            lines = self.of_these(names, ["--ca", "--cert", "--user-file"])
            self.assert_offers({"wspipe %s %s/k" % (name, directory): {path} for name in lines}, os.path.basename)

    def assert_offers(self, expected, part=str):
        for line, offered in self.offers(list(expected)).items():
            with self.subTest(line=line):
                # "--tls-min=1.2" is how some have it.
                self.assertEqual({part(word.rpartition("=")[2]) for word in offered}, set(map(part, expected[line])))


class Bash(Completions, unittest.TestCase):
    def setUp(self):
        self.bash = need("bash")

    def offers(self, lines):
        found = {}
        for line in lines:
            # Words as readline makes them: = is one of its own.
            words = [part for word in line.split(" ") for part in re.findall("=|[^=]+", word) or [""]]
            out, err = run(self.bash, "--norc", os.path.join(HERE, "complete.bash"),
                           os.path.join(COMPLETIONS, "wspipe.bash"), *words)
            self.assertEqual(err, "")
            found[line] = [word for word in out.split("\n") if word]
        return found


class Fish(Completions, unittest.TestCase):
    def setUp(self):
        self.fish = need("fish")

    def offers(self, lines):
        with tempfile.TemporaryDirectory(prefix="wsfile-fish.") as home:
            out, err = run(self.fish, "--no-config", "-c",
                           "source $argv[1]; for line in $argv[2..]; echo :$line; complete -C $line; end",
                           os.path.join(COMPLETIONS, "wspipe.fish"), *lines,
                           env={"HOME": home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
        self.assertEqual(err, "")
        return parts_of(out)


class Zsh(Completions, unittest.TestCase):
    def setUp(self):
        self.zsh = need("zsh")

    def offers(self, lines):
        return parts_of(run(self.zsh, "-f", os.path.join(HERE, "complete.zsh"), COMPLETIONS, *lines)[0])

    # Each line takes a shell of its own.
    def of_these(self, every, few):
        self.assertLessEqual(set(few), set(every))
        return few

    def test_what_takes_a_value_is_declared_so(self):
        declared = set(re.findall(r"(--[a-z-]+)=(?!-)", read("tools", "completions", "_wspipe")))
        self.assertEqual(declared, {name for name, takes in OPTIONS.items() if takes and name.startswith("--")})


if __name__ == "__main__":
    main()
