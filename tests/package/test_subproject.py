# SPDX-License-Identifier: 0BSD
"""Another Meson project has wsfile as a subproject: test_subproject.py WSPIPE [unittest arguments]"""

import json
import os
import shutil
import sys
import tempfile
import unittest

from parcel import ENVIRONMENT, HERE, SOURCE, Echo, main, need, need_plain_build, readme_client, run

WSPIPE = os.path.abspath(sys.argv.pop(1))


class Subproject(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.meson = need("meson")
        directory = tempfile.TemporaryDirectory(prefix="wsfile-subproject.")
        cls.addClassCleanup(directory.cleanup)
        project = os.path.join(directory.name, "project")
        shutil.copytree(os.path.join(HERE, "subproject"), project)
        shutil.copy(os.path.join(HERE, "service.c"), project)
        with open(os.path.join(project, "client.c"), "w", encoding="utf-8") as file:
            file.write(readme_client())
        os.mkdir(os.path.join(project, "subprojects"))
        os.symlink(SOURCE, os.path.join(project, "subprojects", "wsfile"))
        cls.build = os.path.join(directory.name, "build")
        # Whatever is installed on this machine: that is not what is tested here.
        run(cls.meson, "setup", "--force-fallback-for=wsfile,wsfile-lws", cls.build, project)
        run(cls.meson, "compile", "-C", cls.build)

    def test_its_program_runs_with_the_library_of_the_subproject(self):
        for name in ("client", "client-static"):
            with self.subTest(program=name), Echo(WSPIPE) as echo:
                self.assertEqual(run(os.path.join(self.build, name), echo.url), ("hello\n", ""))

    def test_its_libwebsockets_program_needs_wsfile_lws_only(self):
        self.assertEqual(run(os.path.join(self.build, "service")), ("lines linked\n", ""))

    def test_the_library_comes_without_its_tests_and_tools_and_pages(self):
        targets = json.loads(run(self.meson, "introspect", "--targets", self.build)[0])
        self.assertEqual({target["name"] for target in targets},
                         {"client", "client-static", "service", "wsfile", "wsfile-internal"})
        installed = json.loads(run(self.meson, "introspect", "--installed", self.build)[0])
        self.assertFalse([path for path in installed.values() if "/man/" in path or "/bin/" in path], installed)

    def test_the_static_program_does_not_need_the_shared_library(self):
        readelf = need("readelf")
        needed = {name: "libwsfile.so" in run(readelf, "-d", os.path.join(self.build, name), env=ENVIRONMENT)[0]
                  for name in ("client", "client-static")}
        self.assertEqual(needed, {"client": True, "client-static": False})


if __name__ == "__main__":
    need_plain_build()
    main()
