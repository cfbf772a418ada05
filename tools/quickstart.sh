#!/bin/sh
# SPDX-License-Identifier: 0BSD
# Builds wsfile, and streams a real file through it, there and back: sh tools/quickstart.sh [FILE]
set -u
self=quickstart.sh
case ${1:-} in
'' | /*) source=${1:-} ;;
-*)
	echo "usage: sh tools/quickstart.sh [FILE]"
	[ "$1" = --help ]
	exit
	;;
*) source=$PWD/$1 ;;
esac
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tools/common.sh
. tools/common.sh

[ -z "$source" ] || [ -r "$source" ] || die "can't read $source"
need_for_building
install_missing

scratch=$(mktemp -d) || exit 1
listener=
# shellcheck disable=SC2317 # called by trap
clean_up() {
	[ -z "$listener" ] || kill "$listener" 2>/dev/null
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

build_tools tools/wspipe tools/wsquickstart tools/wsbench

if [ -z "$source" ]; then
	step "Making a file of 128 MiB from this machine's own files"
	source=$scratch/source
	tar -cf - /usr/lib /usr/share /usr/bin 2>/dev/null | head -c 134217728 >"$source"
	# A very small system: more of the same.
	while [ "$(wc -c <"$source")" -lt 104857600 ]; do
		cp "$source" "$scratch/part" || die "no space left in $scratch"
		cat "$scratch/part" >>"$source" || die "no space left in $scratch"
	done
fi
echo "$source: $(wc -c <"$source") bytes"

step "Streaming it there and back through FILE *s, over ws:// to another process"
mkfifo "$scratch/report" || exit 1
build/tools/wsquickstart listen >"$scratch/report" &
listener=$!
exec 3<"$scratch/report"
read -r url <&3 || die "the listener did not start"
echo "listener: $url"
build/tools/wsquickstart send "$url" "$source" "$scratch/returned" || die "the transfer failed"
cat <&3
wait "$listener"
status=$?
listener=
[ $status -eq 0 ] || die "the listener failed"

sent=$(sha256sum <"$source")
returned=$(sha256sum <"$scratch/returned")
echo "SHA-256 sent:     ${sent%% *}"
echo "SHA-256 returned: ${returned%% *}"
[ "$sent" = "$returned" ] || die "the files differ"
echo "The same, byte for byte."

step "The rate, next to a plain TCP FILE * on this machine"
build/tools/wsbench --bulk --rounds 3 --mib 64 || die "wsbench failed"

step "What to type next"
cat <<'END'
An echo server, which prints its URL, and a client in another terminal:
    build/tools/wspipe -l -k --echo ws://127.0.0.1:8080/
    echo hello | build/tools/wspipe ws://127.0.0.1:8080/
Send a directory to another machine:
    build/tools/wspipe -l -q none ws://0.0.0.0:8080/ </dev/null | tar xf -
    tar cf - . | build/tools/wspipe ws://HOST:8080/
The same from a browser:
    sh tools/demo.sh
The manual, and every test:
    man -l man/wsfile.7
    sh tools/check.sh
END
