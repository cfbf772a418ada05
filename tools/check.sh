#!/bin/sh
# SPDX-License-Identifier: 0BSD
# Builds and runs the whole test suite. The last line printed is "N passed, N failed, N skipped".
set -u
self=check.sh
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tools/common.sh
. tools/common.sh

usage() {
	cat <<'END'
usage: sh tools/check.sh [options]
  --full         as it is, then --funopen, --fuzz and --package: what a change has to pass
  --funopen      with funopen(3) over libbsd in place of fopencookie(3), in build-funopen, without the suites "model",
                 "counts", "front", "browser" and "package", which have nothing to do with stdio
  --fuzz         libFuzzer on each of the targets in tests/fuzz, with clang in build-fuzz, for 30 seconds each, or what
                 the environment variable WSF_FUZZ_SECONDS says
  --asan         under AddressSanitizer and UndefinedBehaviorSanitizer, in build-asan
  --tsan         under ThreadSanitizer, in build-tsan
  --valgrind     under valgrind, in build, without the suites "interop", "front", "browser", "model",
                 "counts" and "package"
  --package      tools/package.sh: the Debian packages, and lintian; counted as one test
  --suite NAME   this suite only
  --repeat N     the suite N times
  --help         this text
As root on Debian, missing packages are installed; as another user they are named.
END
}

kind=plain
suite=
repeat=1
while [ $# -gt 0 ]; do
	case $1 in
	--full | --funopen | --fuzz | --asan | --tsan | --valgrind | --package)
		[ "$kind" = plain ] ||
			die "one of --full, --funopen, --fuzz, --asan, --tsan, --valgrind and --package at a time"
		kind=${1#--}
		;;
	--suite | --repeat)
		[ $# -gt 1 ] || die "$1 needs a value; try --help"
		case $1 in
		--suite) suite=$2 ;;
		--repeat) repeat=$2 ;;
		esac
		shift
		;;
	--help)
		usage
		exit 0
		;;
	*) die "unknown option $1; try --help" ;;
	esac
	shift
done
case $repeat in
'' | *[!0-9]* | 0) die "--repeat: bad value '$repeat'" ;;
esac
case $kind in
full) kinds="plain funopen fuzz package" ;;
*) kinds=$kind ;;
esac

need_for_building
need_for_tests
case $kind in
full | fuzz) need_for_fuzzing ;;
esac
case $kind in
full | package) need_for_packaging ;;
esac
install_missing

# build_kind KIND: configures and compiles in $build.
build_kind() {
	build=build-$1
	set -- "$1" -Dtools=enabled -Dtests=enabled
	[ "${CI:-}" != true ] || set -- "$@" -Dwerror=true
	case $1 in
	plain | valgrind) build=build ;;
	funopen) set -- "$@" -Dstdio=funopen ;;
	fuzz)
		set -- "$1" -Dtools=disabled -Dtests=enabled -Dman=disabled -Dfuzzing=enabled
		export CC=clang
		;;
	asan)
		set -- "$@" -Db_sanitize=address,undefined -Db_lundef=false
		export ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=1:halt_on_error=1:abort_on_error=1
		export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:abort_on_error=1
		;;
	tsan)
		set -- "$@" -Db_sanitize=thread -Db_lundef=false
		# Processes that fork are part of what is tested. To it the parent's threads are leaks of the child's; the
		# tests count threads by themselves.
		TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0:report_thread_leaks=0
		TSAN_OPTIONS=$TSAN_OPTIONS:suppressions=$PWD/tests/tsan.suppressions
		export TSAN_OPTIONS CK_TIMEOUT_MULTIPLIER=5
		;;
	esac
	kind_built=$1
	shift
	configure "$build" "$@" || die "could not configure $build"
	case $kind_built in
	fuzz) meson compile -C "$build" fuzz-targets ;;
	*) meson compile -C "$build" ;;
	esac || die "the build failed"
}

# A kernel with much address randomisation is more than the ThreadSanitizer of these compilers can map.
run_meson_test() {
	if [ "$kind" = tsan ] && have setarch; then
		setarch "$(uname -m)" -R meson test "$@"
	else
		meson test "$@"
	fi
}

# count RESULT|RESULT...: tests of the last run that ended so. Quotes in the tests' own output are escaped there.
count() {
	cat "$build"/meson-logs/testlog*.json 2>/dev/null | grep -cE "\"result\": \"($1)\""
}

# run_kind KIND: its tests, as often as asked for; adds up what came of them.
run_kind() {
	set -- "$1" -C "$build" --print-errorlogs
	[ -z "$suite" ] || set -- "$@" --suite "$suite"
	case $1 in
	funopen) set -- "$@" --no-suite model --no-suite counts --no-suite front --no-suite browser \
		--no-suite package ;;
	fuzz) set -- "$@" --no-rebuild --suite fuzz ;;
	asan) set -- "$@" --timeout-multiplier 3 ;;
	tsan) set -- "$@" --timeout-multiplier 5 ;;
	valgrind)
		# The peers of "interop" are Node and Python themselves, those of "front" the proxies, that of "browser" is
		# Chromium: valgrind would spend its time on them. Coroutines, as in "model", confuse it, "counts" runs it by
		# itself, and "package" has builds of its own.
		set -- "$@" --no-suite interop --no-suite front --no-suite browser --no-suite model --no-suite counts \
			--no-suite package --timeout-multiplier 20 --wrapper "sh $PWD/tools/valgrind.sh"
		;;
	esac
	of=$1
	shift
	times=0
	while [ $times -lt "$repeat" ]; do
		times=$((times + 1))
		rm -f "$build"/meson-logs/testlog*
		run_meson_test "$@"
		status=$?
		p=$(count 'OK|EXPECTEDFAIL')
		s=$(count SKIP)
		f=$(count 'FAIL|TIMEOUT|UNEXPECTEDPASS|ERROR|INTERRUPT')
		if [ $status -ne 0 ] || [ "$f" -ne 0 ] || [ "$p" -eq 0 ]; then
			broken=1
			[ "$repeat" -eq 1 ] || cp "$build"/meson-logs/testlog*.txt "$build/failed-run-$times.txt"
		fi
		passed=$((passed + p)) skipped=$((skipped + s)) failed=$((failed + f))
		[ "$repeat$kind" = "1$of" ] || say "$of, run $times of $repeat: $p passed, $f failed, $s skipped"
	done
}

# Puts the packages into build-package.
run_package() {
	rm -rf build-package
	if sh tools/package.sh --out build-package; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1)) broken=1
	fi
}

passed=0 failed=0 skipped=0 broken=0
for one in $kinds; do
	if [ "$one" = package ]; then
		run_package
		continue
	fi
	build_kind "$one"
	run_kind "$one"
done
echo "$passed passed, $failed failed, $skipped skipped"
exit $broken
