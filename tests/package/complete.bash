# SPDX-License-Identifier: 0BSD
# bash --norc complete.bash FILE WORD...: what bash offers for the last WORD by the completion in FILE, one a line.
# shellcheck source=/dev/null # the file under test
source "$1" || exit 1
shift
read -ra how < <(complete -p wspipe)
while [[ ${how[0]} != -F ]]; do
	[[ ${#how[@]} -gt 1 ]] || exit 1
	how=("${how[@]:1}")
done
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"${how[1]}" wspipe "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
