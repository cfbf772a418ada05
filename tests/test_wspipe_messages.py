# SPDX-License-Identifier: 0BSD
"""What wspipe says of its options: test_wspipe_messages.py WSPIPE [unittest arguments]"""

import os
import re
import unittest

from wspipe_command import Case, run

GROUPS = "listening connection security data time output".split()
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "man", "wspipe.1")


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", text))


def help_of(*arguments):
    status, out, err = run(*arguments)
    assert (status, err) == (0, ""), err
    return out.decode()


def options_of(text):
    """Those that have a line of their own."""
    return {name for line in text.splitlines() if line.startswith("  ") for name in options_in(line[:31])}


class Help(Case):
    def test_first_screen_fits_a_terminal_and_leaves_a_line_for_the_prompt(self):
        for argument in ("--help", "-h"):
            lines = help_of(argument).splitlines()
            self.assertLessEqual(len(lines), 23)
            self.assertLess(max(map(len, lines)), 80)

    def test_all_options_stand_in_the_groups_and_in_all_of_them_and_in_the_manual(self):
        everything = help_of("--help=all")
        self.assertLess(max(map(len, everything.splitlines())), 80)
        groups = [options_of(help_of("--help=" + name)) for name in GROUPS]
        self.assertEqual(sum(map(len, groups)), len(set.union(*groups)), "an option is in two groups")
        self.assertEqual(set.union(*groups), options_of(everything))
        self.assertLessEqual(options_of(help_of("--help")), options_of(everything))
        with open(PAGE, encoding="utf-8") as file:
            page = {"--" + name for name in re.findall(r"^\.It Fl .*?(?<=[ ])-([a-z-]+)", file.read(), re.M)}
        self.assertEqual(page, options_of(everything))

    def test_every_option_of_the_help_is_understood(self):
        for name in options_of(help_of("--help=all")) - {"--help", "--version"}:
            self.assertNotIn("unknown", run(name)[2])

    def test_a_group_may_be_a_word_of_its_own(self):
        self.assertEqual(help_of("--help", "security"), help_of("--help=security"))
        self.assertEqual(help_of("--help", "ws://127.0.0.1/"), help_of("--help"))

    def test_a_group_that_is_none(self):
        self.assert_usage(run("--help=secruity"), "did you mean security?")
        self.assert_usage(run("--help=x"), "--help has no group 'x'")

    def test_output_that_is_full(self):
        for argument in ("--help", "--version"):
            with open("/dev/full", "wb") as full:
                self.assert_broken(run(argument, stdout=full), "standard output: No space left on device")


class Suggestions(Case):
    def test_what_was_meant(self):
        for arguments, text in [
                (["--kep"], "unknown option --kep (did you mean --keep?)"),
                (["--keeep"], "(did you mean --keep?)"),
                (["--Keep"], "(did you mean --keep?)"),
                (["--ehco"], "(did you mean --echo?)"),
                (["--handshake_timeout=3"], "(did you mean --handshake-timeout?)"),
                (["--maxconnections", "3"], "(did you mean --max-connections?)"),
                (["--protocol", "x"], "(did you mean --subprotocol?)"),
                (["--redirects", "x"], "(did you mean --max-redirects?)"),
                (["--timeout", "3"], "--connect-timeout, --handshake-timeout, --read-timeout, --close-timeout?)"),
                (["--pro"], "option --pro can be --proxy, --progress"),
                (["-keep"], "unknown option -e in -keep (did you mean --keep?)"),
                (["-listen"], "(did you mean --listen?)"),
                (["-version"], "(did you mean --version?)"),
                (["-header", "A: b"], "unknown option -header (did you mean --header?)"),
                (["-l", "-cert=a.pem"], "unknown option -c in -cert (did you mean --cert?)"),
                (["-q", "nome", "ws://a/"], "-q: bad value 'nome' (did you mean none?)"),
                (["--ping", "5s", "ws://a/"], "a time is seconds such as 2.5, or 'none'"),
                (["--max-message", "5X", "ws://a/"], "a size is a number of bytes, or with K, M or G"),
                (["--tls-min", "1.4", "wss://a/"], "versions are 1.2 and 1.3"),
                (["--close-code", "1005", "ws://a/"], "codes are 1000, "),
                (["-l", "--path", "here", "ws://a/"], "a path begins with a slash"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_usage(run(*arguments), text)

    def test_what_nobody_can_have_meant(self):
        for word in ("--xyzzy", "-Z", "-Zzzzz", "--k=x", "--no-check", "--", "--" + "y" * 2000):
            with self.subTest(word=word):
                result = run(word if word != "--" else "--=", "ws://a/")
                self.assert_usage(result, "unknown option")
                self.assertNotIn("mean", result[2])

    def test_the_wrong_letter_is_named_whatever_stands_before_it(self):
        self.assert_usage(run("--listen", "-Zk", "ws://a/"), "unknown option -Z;")
        self.assert_usage(run("--text", "-kZ", "ws://a/"), "unknown option -Z;")


if __name__ == "__main__":
    unittest.main(verbosity=1)
