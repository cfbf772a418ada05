#!/bin/sh
# SPDX-License-Identifier: 0BSD
# Hours of mixed traffic between two processes that are stopped and go on at random moments; what they hold has to stay
# the same: sh tools/soak.sh [--minutes N] [--wss] [--build DIRECTORY]
set -u
self=soak.sh
minutes=60
build=build
wss=
seed=$(date +%s)

usage() {
	cat <<'END'
usage: sh tools/soak.sh [--minutes N] [--wss] [--seed N] [--build DIRECTORY]
  --minutes N        how long, at least 2 (60)
  --wss              over TLS
  --seed N           of the plan of operations; the time by default
  --build DIRECTORY  where wsfile is built with its tests; made if it is not there (build)
Once a minute, when all sessions have ended, it prints of the client's and the server's process: descriptors, threads,
KiB in use of the heap, KiB resident; and how many sessions ended cleanly, how many with an error, and MiB checked.
Exit status: 0; 1 if descriptors or threads of the last line differ from those of the first, or memory has grown by more
than the tolerance that is printed, or a session went otherwise than the close table says; 2 usage.
END
}

while [ $# -gt 0 ]; do
	case $1 in
	--minutes) minutes=${2:-} && shift ;;
	--seed) seed=${2:-} && shift ;;
	--build) build=${2:-} && shift ;;
	--wss) wss=--wss ;;
	--help | -h) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
case $minutes in '' | *[!0-9]* | 0 | 1) usage >&2 && exit 2 ;; esac

cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tools/common.sh
. tools/common.sh
if [ ! -x "$build/tests/wsstress" ]; then
	[ -d "$build" ] || meson setup "$build" >/dev/null || die "can't set up $build"
	ninja -C "$build" tests/wsstress >/dev/null || die "can't build wsstress"
fi

WSF_TEST_SOURCE=$PWD/tests
no_proxy='*'
# What is free in a thread's own cache would count as in use, and each thread's arena keeps some pages.
GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=2
export WSF_TEST_SOURCE no_proxy GLIBC_TUNABLES

scratch=$(mktemp -d) || exit 1
stress=
server=
# shellcheck disable=SC2317 # called by trap
clean_up() {
	for process in $stress $server; do
		kill -CONT "$process" 2>/dev/null
		kill "$process" 2>/dev/null
	done
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

mkfifo "$scratch/out" || exit 1
# shellcheck disable=SC2086 # $wss is an option or nothing
"$build/tests/wsstress" --sample --faulty --seconds $((minutes * 60 + 5)) --seed "$seed" --streams 6 --threads 2 \
	--helpers 2 --pause 250 --large 200000 $wss >"$scratch/out" &
stress=$!
exec 3<"$scratch/out"
: >"$scratch/lines"
cat <&3 >>"$scratch/lines" &
# The table as it comes.
tail -f -n +1 --pid="$stress" "$scratch/lines" &
table=$!

i=0
while [ -z "$server" ] && [ $i -lt 1200 ] && kill -0 "$stress" 2>/dev/null; do
	server=$(sed -n 's/^processes: .*server \([0-9]*\)$/\1/p' "$scratch/lines")
	i=$((i + 1))
	sleep 0.1
done
[ -n "$server" ] || die "wsstress does not start"

# stop PROCESS SECONDS
stop() {
	kill -STOP "$1" 2>/dev/null || return
	sleep "$2"
	kill -CONT "$1" 2>/dev/null
}

# Ping intervals are 2 s: the last stop is longer than two of them, so that silence ends streams.
while kill -0 "$stress" 2>/dev/null; do
	sleep 11
	stop "$server" 1
	sleep 11
	stop "$stress" 1
	sleep 11
	stop "$server" 6
	sleep 7
	stop "$stress" 6
done
wait "$stress"
status=$?
stress=
server=
wait "$table" 2>/dev/null
exit $status
