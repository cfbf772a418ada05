# SPDX-License-Identifier: 0BSD
# Shared by check.sh, quickstart.sh and demo.sh, which run from the top of the source tree with $self set to their own
# name.

say() {
	printf '%s\n' "$self: $*" >&2
}

die() {
	say "$@"
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

has_module() {
	have pkg-config && pkg-config --exists "$1"
}

# need PACKAGE TEST...: the Debian package is missing when the test fails. What is needed is tested, not the package, so
# that a compiler or a node of another origin will do.
missing=
need() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

has_compiler() {
	have "${CC:-cc}"
}

has_libc_headers() {
	printf '#include <stdio.h>\n' | "${CC:-cc}" -E -x c - || [ -e /usr/include/stdio.h ]
}

has_header() {
	printf '#include <%s>\n' "$1" | "${CC:-cc}" -E -x c -
}

# 18 is the first with everything the test peers use.
has_node() {
	have node && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ]
}

has_python_websockets() {
	/usr/bin/python3 -c 'import websockets'
}

has_libfuzzer() {
	printf 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return data == 0 && size == 1; }\n' |
		clang -fsanitize=fuzzer,address -x c -o /dev/null -
}

# Debian keeps some daemons where only root looks for them.
have_daemon() {
	have "$1" || [ -x "/usr/sbin/$1" ]
}

# Any of those that tests/browser/devtools.py looks for.
has_chromium() {
	have chromium || have chromium-browser || have google-chrome || have chrome
}

need_for_building() {
	need gcc has_compiler
	need libc6-dev has_libc_headers
	need meson have meson
	need ninja-build have ninja
	need pkg-config have pkg-config
	need libwebsockets-dev has_module libwebsockets
	need libssl-dev has_module openssl
	need zlib1g-dev has_module zlib
}

need_for_tests() {
	need check has_module check
	need clang have clang
	need g++ have c++
	need libjansson-dev has_module jansson
	need mandoc have mandoc
	need nodejs has_node
	need node-ws test -e /usr/share/nodejs/ws/package.json
	need python3 test -x /usr/bin/python3
	need python3-websockets has_python_websockets
	need libbsd-dev has_module libbsd-overlay
	need musl-tools have musl-gcc
	need openssl have openssl
	need spin have spin
	need nginx-light have_daemon nginx
	need haproxy have_daemon haproxy
	need tinyproxy-bin have_daemon tinyproxy
	need microsocks have_daemon microsocks
	need dante-server have_daemon danted
	need valgrind have valgrind
	need flex have flex
	need libcsv-dev has_header csv.h
	need libexpat1-dev has_module expat
	need libinih-dev has_module inih
	need libjansson-dev has_module jansson
	need libjpeg-dev has_module libjpeg
	need libpcap-dev has_module libpcap
	need libpng-dev has_module libpng
	need libsqlite3-dev has_module sqlite3
	need libxml2-dev has_module libxml-2.0
	need libyaml-dev has_module yaml-0.1
	need tcpdump have_daemon tcpdump
	need tshark have tshark
	need chromium has_chromium
	need libnss3-tools have certutil
	need cmake have cmake
	need abigail-tools have abidiff
	need man-db have man
	need bash have bash
	need zsh have zsh
	need fish have fish
	need systemd have systemd-socket-activate
}

need_for_packaging() {
	need dpkg-dev have dpkg-buildpackage
	need debhelper have dh
	need fakeroot have fakeroot
	need lintian have lintian
	need git have git
	need check has_module check
	need mandoc have mandoc
	need openssl have openssl
	need python3 test -x /usr/bin/python3
	need xz-utils have xz
}

need_for_fuzzing() {
	need clang have clang
	need libclang-rt-14-dev has_libfuzzer
}

# Installs what need found missing, as root on a system with apt; otherwise says what to do, and ends.
#
# The tests run nginx and the proxies by themselves, in a directory of their own. As services of the system nobody asked
# for them: without recommended packages there are fewer, RUNLEVEL=1 (single user) keeps invoke-rc.d(8) from starting
# any, and SYSTEMD_OFFLINE=1 systemctl(1). That needs no policy-rc.d, and changes no configuration of the system.
install_missing() {
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
		die "missing packages; run: apt-get install$missing"
	fi
	say "installing$missing"
	log=$(mktemp)
	# shellcheck disable=SC2086 # a list of words
	if ! { apt-get -q update &&
	    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1 \
	    apt-get -q -y install --no-install-recommends $missing; } \
	    >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		rm -f "$log"
		die "apt-get could not install$missing"
	fi
	rm -f "$log"
	missing=
}

# configure DIRECTORY ARGUMENT...: sets the build directory up with these arguments, if it is not so already.
configure() {
	directory=$1
	shift
	if [ ! -e "$directory/build.ninja" ]; then
		meson setup "$directory" "$@" || return 1
	elif [ "$(cat "$directory/.configured" 2>/dev/null)" != "$*" ]; then
		meson configure "$directory" "$@" || return 1
	fi
	printf '%s\n' "$*" >"$directory/.configured"
}

step() {
	printf '\n== %s\n' "$*"
}

# quietly COMMAND...: its output shows only when it fails. $scratch is the script's directory for such things.
quietly() {
	"$@" >"$scratch/log" 2>&1 || {
		cat "$scratch/log" >&2
		die "failed: $*"
	}
}

# build_tools TARGET...: in ./build, set up as it is or else as a user has it.
build_tools() {
	step "Building in ./build"
	if [ ! -e build/build.ninja ]; then
		quietly configure build -Dtools=enabled
	fi
	quietly ninja -C build "$@"
	echo "build/tools/wspipe: $(build/tools/wspipe --version)"
}
