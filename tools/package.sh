#!/bin/sh
# SPDX-License-Identifier: 0BSD
# Builds the Debian source and binary packages from a clean copy of the sources, and has lintian look at them.
set -u
self=package.sh

usage() {
	cat <<'END'
usage: sh tools/package.sh [options]
  --out DIRECTORY  put the packages there; by default a new directory in $TMPDIR or /tmp
  --no-tests       do not run the suite "unit" on what was built
  --help           this text
As root on Debian, missing packages are installed; as another user they are named.
END
}

out=
options=
while [ $# -gt 0 ]; do
	case $1 in
	--out)
		[ $# -gt 1 ] || { echo "$self: --out needs a value; try --help" >&2; exit 1; }
		case $2 in
		/*) out=$2 ;;
		*) out=$PWD/$2 ;;
		esac
		shift
		;;
	--no-tests) options=nocheck ;;
	--help)
		usage
		exit 0
		;;
	*)
		echo "$self: unknown option $1; try --help" >&2
		exit 1
		;;
	esac
	shift
done

cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tools/common.sh
. tools/common.sh
need_for_building
need_for_packaging
install_missing

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

version=$(sed -n "s/^  version : '\(.*\)',$/\1/p" meson.build)
case $(sed -n '1s/^wsfile (\(.*\)-[^-]*) .*/\1/p' debian/changelog) in
"$version") ;;
*) die "debian/changelog does not begin with version $version, which meson.build has" ;;
esac

# What git knows, as it is now, or all of an unpacked archive but what was built in it.
list_files() {
	# And not that of whoever unpacked an archive in a tree of his own.
	if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ]; then
		git ls-files -z
	else
		find . \( -path './build*' -o -path './.git' \) -prune -o \( -type f -o -type l \) -printf '%P\0'
	fi
}

tree=$scratch/wsfile-$version
mkdir "$tree" || exit 1
list_files | tar --null --no-recursion -T - -cf "$scratch/sources.tar" && tar -xf "$scratch/sources.tar" -C "$tree" ||
	die "could not copy the sources"
rm "$scratch/sources.tar"
tar --exclude "wsfile-$version/debian" --sort=name --owner=0 --group=0 --numeric-owner \
	-C "$scratch" -cJf "$scratch/wsfile_$version.orig.tar.xz" "wsfile-$version" || die "could not pack the sources"

# The machine's flags are not a package's.
unset CC CFLAGS CPPFLAGS LDFLAGS DESTDIR
say "building, $(nproc) at a time"
(cd "$tree" && DEB_BUILD_OPTIONS="${options:+$options }parallel=$(nproc)" dpkg-buildpackage -us -uc) \
	>"$scratch/build.log" 2>&1
built=$?
[ -n "$out" ] || out=$(mktemp -d "${TMPDIR:-/tmp}/wsfile-packages.XXXXXX") || exit 1
mkdir -p "$out" && mv "$scratch/build.log" "$out" || exit 1
if [ $built -ne 0 ]; then
	tail -n 100 "$out/build.log" >&2
	die "dpkg-buildpackage failed; all of what it said is in $out/build.log"
fi
grep -E '^(Ok|Skipped|Fail):' "$out/build.log"
rm -rf "$tree"
mv "$scratch"/* "$out" || exit 1
say "the packages are in $out"

root=
[ "$(id -u)" -ne 0 ] || root=--allow-root
lintian $root --info --display-info --pedantic --display-experimental --fail-on error,warning "$out"/*.changes ||
	die "lintian has something against them"
ls "$out"
