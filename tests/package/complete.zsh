# SPDX-License-Identifier: 0BSD
# zsh -f complete.zsh DIRECTORY LINE...: what zsh, with the completion functions of DIRECTORY, offers at the end of each
# LINE, one a line, after ":" and the LINE. It completes in the line editor only, so there is an interactive zsh in a
# pseudo terminal for each, which sources this file, too.
if [[ -o interactive ]]; then
	PROMPT=
	fpath=($directory $fpath)
	# To find all functions takes its time: the first shell dumps which there are.
	autoload -Uz compinit && compinit -u -C -d $dump
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
dump=$(mktemp) && rm $dump || exit 1
trap 'rm -f $dump $dump.zwc' EXIT
directory=$1
shift
for text; do
	print -r -- ":$text"
	zpty shell zsh -f -i
	zpty -w shell "directory=${(q)directory}; dump=${(q)dump}; source ${(q)0:a}"
	while zpty -r shell line; do
		[[ $line == *ready-to-complete* ]] && break
	done
	zpty -w -n shell "$text"$'\t'
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
	(( marks == 2 )) || exit 1
done
