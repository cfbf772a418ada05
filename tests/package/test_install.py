# SPDX-License-Identifier: 0BSD
"""What "meson install" puts into a prefix is complete, and works as people use it: test_install.py [unittest arguments]

A build of its own, without the tests, with the compiler in CC. Exit 77: cmake, man or pkg-config is not here.
"""

import glob
import os
import re
import shlex
import shutil
import tempfile
import unittest

from parcel import ENVIRONMENT, HERE, SOURCE, Echo, exported_functions, main, need, need_plain_build, \
    project_version, read, readme_client, run

CC = shlex.split(os.environ.get("CC", "cc"))
PAGES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(SOURCE, "man", "*.[1-9]")))


def names_of(page):
    return re.findall(r"^\.Nm (\w+)", read("man", page).split(".Sh NAME\n")[1].split("\n.Nd ")[0], re.M)


def manual_files():
    """Each page, and a name for all that it describes."""
    sections = {page: page.rpartition(".")[2] for page in PAGES}
    return {"share/man/man%s/%s" % (section, page) for page, section in sections.items()} | \
        {"share/man/man%s/%s.%s" % (section, name, section) for page, section in sections.items()
         for name in names_of(page)}


class Prefix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        meson = need("meson")
        directory = tempfile.TemporaryDirectory(prefix="wsfile-install.")
        cls.addClassCleanup(directory.cleanup)
        cls.scratch, cls.prefix = directory.name, os.path.join(directory.name, "prefix")
        build = os.path.join(cls.scratch, "build")
        run(meson, "setup", "--prefix", cls.prefix, "--libdir", "lib", "-Dtests=disabled", "-Dtools=enabled",
            "-Dman=enabled", "-Doptimization=0", build, SOURCE)
        run(meson, "compile", "-C", build, "wspipe", "wsfile:static_library")
        run(meson, "install", "-C", build, "--no-rebuild")
        cls.wspipe = os.path.join(cls.prefix, "bin", "wspipe")
        cls.there = {**ENVIRONMENT, "LD_LIBRARY_PATH": os.path.join(cls.prefix, "lib"),
                     "PKG_CONFIG_PATH": os.path.join(cls.prefix, "lib", "pkgconfig")}
        with open(os.path.join(cls.scratch, "client.c"), "w", encoding="utf-8") as file:
            file.write(readme_client())

    def pkg_config(self, *arguments):
        return run(need("pkg-config"), *arguments, env=self.there)[0].split()

    def compile(self, source, *flags):
        program = os.path.join(self.scratch, self.id().rpartition(".")[2])
        run(*CC, "-Wall", "-Wextra", "-Werror", "-o", program, source, *flags)
        return program

    def assert_echoes(self, *program, **settings):
        with Echo(self.wspipe, env=self.there) as echo:
            self.assertEqual(run(*program, echo.url, **settings), ("hello\n", ""))

    # --- what is there ---

    def test_the_files_are_these_and_no_other(self):
        version = project_version()
        units = ["wspipe-echo.service", "wspipe-echo.socket", "wspipe-sort.socket", "wspipe-sort@.service"]
        expected = {
            "bin/wspipe", "include/wsfile.h", "include/wsfile_lws.h", "lib/libwsfile.a", "lib/libwsfile.so",
            "lib/libwsfile.so.0", "lib/libwsfile.so." + version, "lib/pkgconfig/wsfile.pc",
            "lib/pkgconfig/wsfile-lws.pc", "share/bash-completion/completions/wspipe",
            "share/zsh/site-functions/_wspipe", "share/fish/vendor_completions.d/wspipe.fish",
            "share/doc/wsfile/examples/haproxy.cfg", "share/doc/wsfile/examples/nginx.conf",
        } | {"share/doc/wspipe/examples/systemd/" + unit for unit in units} | manual_files()
        found = {os.path.relpath(os.path.join(path, name), self.prefix)
                 for path, _, names in os.walk(self.prefix) for name in names}
        self.assertEqual((sorted(expected - found), sorted(found - expected)), ([], []))

    def test_links_lead_to_files_beside_them(self):
        links = [os.path.join(path, name) for path, _, names in os.walk(self.prefix) for name in names
                 if os.path.islink(os.path.join(path, name))]
        self.assertGreater(len(links), 20)
        for link in links:
            self.assertNotIn("/", os.readlink(link))
            self.assertTrue(os.path.isfile(link), link)

    def test_nothing_that_is_installed_knows_of_the_build(self):
        for path, _, names in os.walk(self.prefix):
            for name in names:
                with open(os.path.join(path, name), "rb") as file:
                    text = file.read()
                # Debugging information does.
                if not re.search(r"\.(a|so[.0-9]*)\Z|\Awspipe\Z", name):
                    self.assertNotIn(os.path.join(self.scratch, "build").encode(), text, name)
                    self.assertNotIn(b"@bindir@", text, name)

    def test_the_units_start_the_command_that_is_installed(self):
        for unit in glob.glob(self.prefix + "/share/doc/wspipe/examples/systemd/*.service"):
            with open(unit, encoding="utf-8") as file:
                self.assertEqual(re.findall(r"^ExecStart=(\S+)", file.read(), re.M), [self.wspipe])

    def test_the_command_runs(self):
        self.assertEqual(run(self.wspipe, "--version", env=self.there), ("wspipe %s\n" % project_version(), ""))

    # --- the manual ---

    def test_man_finds_a_page_for_every_function_and_shows_it(self):
        man = need("man")
        functions = sorted(exported_functions())
        self.assertGreater(len(functions), 30)
        where = os.path.join(self.prefix, "share", "man")
        for section, names in [("3", functions)] + [(page[-1], [page[:-2]]) for page in PAGES]:
            for name in names:
                with self.subTest(page=name):
                    found = run(man, "-M", where, "-w", section, name)[0].strip()
                    self.assertTrue(os.path.samefile(os.path.dirname(found), where + "/man" + section), found)
                    self.assertEqual(os.path.basename(found) in PAGES or name in names_of(
                        os.path.basename(os.path.realpath(found))), True, found)
        text = re.sub(".\b", "", run(man, "-M", where, "ws_abort")[0])
        self.assertRegex(text, r"NAME\n +ws_pollfd,[^—]* ws_abort\b")

    # --- pkg-config, the compiler, CMake ---

    def test_pkg_config_has_what_a_shared_and_a_static_program_needs(self):
        self.assertEqual(self.pkg_config("--modversion", "wsfile"), [project_version()])
        self.assertEqual(self.pkg_config("--modversion", "wsfile-lws"), [project_version()])
        self.assertEqual([flag for flag in self.pkg_config("--libs", "wsfile") if flag.startswith("-l")], ["-lwsfile"])
        static = self.pkg_config("--static", "--libs", "wsfile")
        self.assertLessEqual({"-lwsfile", "-lssl", "-lcrypto", "-lwebsockets", "-pthread"}, set(static))
        self.assertIn("-lwebsockets", self.pkg_config("--libs", "wsfile-lws"))

    def test_the_client_of_the_readme_compiles_and_runs(self):
        program = self.compile(os.path.join(self.scratch, "client.c"), *self.pkg_config("--cflags", "--libs", "wsfile"))
        self.assert_echoes(program, env=self.there)

    def test_the_client_of_the_readme_runs_with_no_shared_library(self):
        # The C library and others warn that names are looked up with what is there at run time.
        program = self.compile(os.path.join(self.scratch, "client.c"), "-static",
                               *self.pkg_config("--static", "--cflags", "--libs", "wsfile"))
        dynamic = run(need("readelf"), "-d", program)[0]
        self.assertIn("There is no dynamic section", dynamic)
        self.assert_echoes(program)

    def test_a_libwebsockets_program_needs_wsfile_lws_only(self):
        program = self.compile(os.path.join(HERE, "service.c"), *self.pkg_config("--cflags", "--libs", "wsfile-lws"))
        self.assertEqual(run(program, env=self.there), ("lines linked\n", ""))

    def test_cmake_finds_it_through_pkg_config(self):
        cmake = need("cmake")
        project, build = os.path.join(self.scratch, "cmake"), os.path.join(self.scratch, "cmake-build")
        shutil.copytree(os.path.join(HERE, "cmake"), project)
        shutil.copy(os.path.join(self.scratch, "client.c"), project)
        run(cmake, "-G", "Ninja", "-S", project, "-B", build, "-DCMAKE_PREFIX_PATH=" + self.prefix)
        run(cmake, "--build", build)
        # CMake leaves in the program where the library is.
        self.assert_echoes(os.path.join(build, "client"))


if __name__ == "__main__":
    need_plain_build()
    main()
