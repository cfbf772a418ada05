#!/bin/sh
# SPDX-License-Identifier: 0BSD
# A page for your browser, and the streams it talks to: sh tools/demo.sh [--port N] [--wspipe FILE]
set -u
self=demo.sh
port=0
wspipe=

usage() {
	cat <<'END'
usage: sh tools/demo.sh [--port N] [--wspipe FILE]
  --port N       of the page, on 127.0.0.1; by default the system chooses one
  --wspipe FILE  use this command; by default it is built, in ./build
  --help         this text
Serves the page in tests/browser/page, and a wspipe for each of its cards, on this machine only, until Ctrl-C.
It prints the address to open, and then what the listeners see. It needs python3.
END
}

while [ $# -gt 0 ]; do
	case $1 in
	--port | --wspipe)
		[ $# -gt 1 ] || { usage >&2 && exit 2; }
		case $1 in
		--port) port=$2 ;;
		--wspipe) wspipe=$2 ;;
		esac
		shift
		;;
	--help | -h) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
case $port in
'' | *[!0-9]*) usage >&2 && exit 2 ;;
esac
case $wspipe in
'' | /*) ;;
*) wspipe=$PWD/$wspipe ;;
esac

cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tools/common.sh
. tools/common.sh
[ -n "$wspipe" ] || need_for_building
need python3 have python3
install_missing

scratch=$(mktemp -d) || exit 1
server=
listeners=
readers=
nap=

# shellcheck disable=SC2317 # called by trap
end() {
	for process in "$@"; do
		kill "$process" 2>/dev/null
	done
	for process in "$@"; do
		wait "$process" 2>/dev/null
	done
}

# The listeners first: they close their connections, and end their commands. What they say then is still printed. A
# second Ctrl-C leaves at once.
# shellcheck disable=SC2086,SC2317 # lists of processes; called by trap
clean_up() {
	trap 'exit 1' HUP INT TERM
	end $nap $listeners
	for process in $readers; do
		wait "$process"
	done
	end $server
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 0' HUP INT TERM

if [ -z "$wspipe" ]; then
	build_tools tools/wspipe
	wspipe=$PWD/build/tools/wspipe
fi
[ -x "$wspipe" ] || die "no command $wspipe"

# The commands of the listeners find these in their environment.
DEMO_LOG=$scratch/log DEMO_UPLOADS=$scratch/uploads
export DEMO_LOG DEMO_UPLOADS
mkdir "$DEMO_UPLOADS" || exit 1
: >"$DEMO_LOG"

# The page says in the query how much will come: the end of input alone does not make an upload whole, as a tab that is
# closed may end its stream in good order.
cat >"$scratch/receive" <<'END'
part=$(mktemp "$DEMO_UPLOADS/part.XXXXXX") || exit 1
trap 'rm -f "$part"' EXIT
trap 'exit 1' TERM
cat >"$part" || exit 1
size=$(($(wc -c <"$part")))
if [ "size=$size" != "${QUERY_STRING:-}" ]; then
	echo "upload: $size bytes came, which is not all: thrown away" >>"$DEMO_LOG"
	exit 1
fi
sum=$(sha256sum <"$part") || exit 1
name=upload.${part##*.}
mv "$part" "$DEMO_UPLOADS/$name" || exit 1
echo "upload: $size bytes in $name, SHA-256 ${sum%% *}" >>"$DEMO_LOG"
END

# tail does not look at its input, which ends when the page is through; cat does.
# shellcheck disable=SC2016 # for the shells of the listeners
tail_command='tail -n 20 -f "$DEMO_LOG" & cat >/dev/null; kill $!'
# shellcheck disable=SC2016
talk_command='read -r line; [ "$line" = bye ] || exit 3'

mkfifo "$scratch/page" || exit 1
python3 tests/browser/page_server.py "$scratch/streams.json" "$port" 0 >"$scratch/page" &
server=$!
exec 3<"$scratch/page"
{ read -r page <&3 && read -r stranger <&3; } || die "the page can't be served"
exec 3<&-
origin=${page%/}

# json TEXT: as a string.
json() {
	printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

# listen NAME SHOWN ARGUMENT...: for the card NAME, which shows the arguments so.
separator='{'
listen() {
	name=$1 shown=$2
	shift 2
	mkfifo "$scratch/$name" || exit 1
	"$wspipe" -l -k -v --kill-after 2 --origin-allow "$origin" \
		--origin-allow "http://localhost:${origin##*:}" "$@" ws://127.0.0.1:0/ </dev/null 2>"$scratch/$name" &
	listeners="$listeners $!"
	exec 3<"$scratch/$name"
	read -r line <&3 || die "the listener for $name did not start"
	case $line in
	"listening on "*) ;;
	*) die "$line" ;;
	esac
	sed "s/^wspipe: event:/$name:/" <&3 &
	readers="$readers $!"
	exec 3<&-
	printf '%s"%s": {"url": "%s", "command": %s}' "$separator" "$name" "${line#listening on }" \
		"$(json "wspipe -l -k --origin-allow $origin $shown ws://127.0.0.1:0/")" >>"$scratch/streams"
	separator=', '
}

listen upload "--exec 'cat >part && …'" --exec "sh '$scratch/receive'"
listen tail "--exec 'tail -f log & cat >/dev/null; kill \$!'" --exec "$tail_command"
listen echo --echo --echo
listen talk "--close-code 4001 --close-reason 'as you wished' --exec '$talk_command'" \
	--close-code 4001 --close-reason 'as you wished' --exec "$talk_command"
printf '}\n' >>"$scratch/streams"
mv "$scratch/streams" "$scratch/streams.json" || exit 1

step "Open this in your browser"
cat <<END
    $page

Follow the log and send a file: what came of it appears there, as does what you write to it from another terminal:
    echo hello >>$DEMO_LOG
Until this ends, uploads are in
    $DEMO_UPLOADS
The same page from another origin, to which all of it is refused:
    $stranger
Ctrl-C ends everything. What the listeners see:
END

while :; do
	echo "$(date +%T) the demonstration is running" >>"$DEMO_LOG"
	sleep 2 &
	nap=$!
	wait "$nap"
	for process in $server $listeners; do
		kill -0 "$process" 2>/dev/null || die "a part of it has ended"
	done
done
