#!/bin/sh
# SPDX-License-Identifier: 0BSD
# meson test's wrapper for check.sh --valgrind. Scripts run as they are: Python under valgrind would say nothing about
# this project. The script that tests the command puts valgrind before it, by WSPIPE_WRAPPER.
set -u
# Of Check's own time limits, as meson's --timeout-multiplier.
export CK_TIMEOUT_MULTIPLIER=20
# For the test that would execute itself again to set it.
export LD_BIND_NOW=1
common='valgrind -q --leak-check=full --error-exitcode=99'
# A listener that a signal ends has a helper thread, whose stack and storage are "possibly lost".
export WSPIPE_WRAPPER="$common --show-leak-kinds=definite --errors-for-leak-kinds=definite"
case $1 in
*.py | *.js | *.sh | *python* | *node* | */sh) exec "$@" ;;
esac
# shellcheck disable=SC2086 # a list of words
exec $common --errors-for-leak-kinds=definite,possible --trace-children=yes \
    '--trace-children-skip=*python*,*node*,*/sh,*/env' "$@"
