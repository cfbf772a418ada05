# SPDX-License-Identifier: 0BSD
"""debian/ agrees with the rest: test_debian.py [unittest arguments]. "sh tools/package.sh" builds the packages."""

import os
import re
import unittest

from parcel import SOURCE, exported_functions, main, project_version, read


class Debian(unittest.TestCase):
    def test_the_symbols_file_has_what_the_version_map_exports(self):
        header, *lines = read("debian", "libwsfile0.symbols").splitlines()
        node = re.match(r"(\w+) {", read("src", "wsfile.map")).group(1)
        soversion = re.search(r"soversion : '(\d+)'", read("src", "meson.build")).group(1)
        self.assertEqual(header, "libwsfile.so.%s libwsfile%s #MINVER#" % (soversion, soversion))
        symbols = {line.split()[0] for line in lines if line.startswith(" ")}
        self.assertEqual(symbols, {"%s@%s" % (name, node) for name in exported_functions() | {node}})
        for line in lines:
            if line.startswith(" "):
                self.assertRegex(line.split()[1], r"\A\d+\.\d+\.\d+\Z")

    def test_versions_are_one(self):
        changelog = re.match(r"wsfile \((.*)-\d+\) ", read("debian", "changelog")).group(1)
        library = re.search(r"both_libraries\('wsfile', version : '([^']+)'", read("src", "meson.build")).group(1)
        news = re.search(r"^(\d\S*)$", read("NEWS"), re.M).group(1)
        self.assertEqual({changelog, library, news}, {project_version()})

    def test_the_licence_is_that_of_the_project(self):
        paragraphs = read("debian", "copyright").split("License: 0BSD\n")[-1]
        text = re.sub(r"^ \.?", "", paragraphs, flags=re.M)
        self.assertIn(text.strip(), read("COPYING"))

    def test_every_package_has_its_files(self):
        packages = re.findall(r"^Package: (\S+)$", read("debian", "control"), re.M)
        self.assertEqual(packages, ["libwsfile0", "libwsfile-dev", "wspipe"])
        for package in packages:
            self.assertTrue(os.path.exists(os.path.join(SOURCE, "debian", package + ".install")), package)


if __name__ == "__main__":
    main()
