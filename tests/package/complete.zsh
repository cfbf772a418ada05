# SPDX-License-Identifier: 0BSD
# zsh -f complete.zsh DIRECTORY LINE: what zsh, with the completion functions of DIRECTORY, offers at the end of LINE,
# one a line. It completes in the line editor only, so there is an interactive zsh in a pseudo terminal, which sources
# this file, too.
if [[ -o interactive ]]; then
	PROMPT=
	fpath=($directory $fpath)
	autoload -Uz compinit && compinit -u -D
	bindkey '^I' complete-word
	zstyle ':completion:*' insert-tab false
	# A mark before the matches and one behind them, and then the end.
	mark() { print -r -- '####' }
	finish() { mark; exit }
	compprefuncs=(mark)
	comppostfuncs=(finish)
	# Whatever adds matches comes through here. With -A, -D and -O it only tells which ones there would be.
	compadd() {
		[[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]] && { builtin compadd "$@"; return }
		local -a found
		builtin compadd -A found "$@"
		(( $#found )) && print -rl -- $found
		builtin compadd "$@"
	}
	print ready-'to-complete'
	return
fi

zmodload zsh/zpty || exit 77
zpty shell zsh -f -i
zpty -w shell "directory=${(q)1}; source ${(q)0:a}"
while zpty -r shell line; do
	[[ $line == *ready-to-complete* ]] && break
done
zpty -w -n shell "$2"$'\t'
integer marks=0
while zpty -r shell line; do
	line=${${line%$'\n'}%$'\r'}
	if [[ $line == *'####' ]]; then
		(( ++marks == 2 )) && break
	elif (( marks == 1 )); then
		print -r -- "$line"
	fi
done
zpty -d shell
(( marks == 2 ))
