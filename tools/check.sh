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
  --asan         under AddressSanitizer and UndefinedBehaviorSanitizer, in build-asan
  --tsan         under ThreadSanitizer, in build-tsan
  --valgrind     under valgrind, in build, without the suites "interop", "model" and "counts"
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
	--asan | --tsan | --valgrind)
		[ "$kind" = plain ] || die "one of --asan, --tsan and --valgrind at a time"
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

need_for_building
need_for_tests
install_missing

build=build
set -- -Dtools=enabled -Dtests=enabled
[ "${CI:-}" != true ] || set -- "$@" -Dwerror=true
case $kind in
asan)
	build="build-asan"
	set -- "$@" -Db_sanitize=address,undefined -Db_lundef=false
	export ASAN_OPTIONS=detect_stack_use_after_return=1:detect_leaks=1:halt_on_error=1:abort_on_error=1
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:abort_on_error=1
	;;
tsan)
	build="build-tsan"
	set -- "$@" -Db_sanitize=thread -Db_lundef=false
	export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 CK_TIMEOUT_MULTIPLIER=5
	;;
esac
configure $build "$@" || die "could not configure $build"
meson compile -C $build || die "the build failed"

set -- -C $build --print-errorlogs
[ -z "$suite" ] || set -- "$@" --suite "$suite"
case $kind in
asan) set -- "$@" --timeout-multiplier 3 ;;
tsan) set -- "$@" --timeout-multiplier 5 ;;
valgrind)
	# The peers of "interop" are Node and Python themselves: valgrind would spend its time on them. Coroutines, as in
	# "model", confuse it, and "counts" runs it by itself.
	set -- "$@" --no-suite interop --no-suite model --no-suite counts --timeout-multiplier 20 \
		--wrapper "sh $PWD/tools/valgrind.sh"
	;;
esac

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
	cat $build/meson-logs/testlog*.json 2>/dev/null | grep -cE "\"result\": \"($1)\""
}

passed=0 failed=0 skipped=0 run=0 broken=0
while [ $run -lt "$repeat" ]; do
	run=$((run + 1))
	rm -f $build/meson-logs/testlog*
	run_meson_test "$@"
	status=$?
	p=$(count 'OK|EXPECTEDFAIL')
	s=$(count SKIP)
	f=$(count 'FAIL|TIMEOUT|UNEXPECTEDPASS|ERROR|INTERRUPT')
	if [ $status -ne 0 ] || [ "$f" -ne 0 ] || [ "$p" -eq 0 ]; then
		broken=1
		[ "$repeat" -eq 1 ] || cp $build/meson-logs/testlog*.txt $build/failed-run-$run.txt
	fi
	passed=$((passed + p)) skipped=$((skipped + s)) failed=$((failed + f))
	[ "$repeat" -eq 1 ] || say "run $run of $repeat: $p passed, $f failed, $s skipped"
done
echo "$passed passed, $failed failed, $skipped skipped"
exit $broken
