# SPDX-License-Identifier: 0BSD
# bash completion for wspipe(1)

_wspipe_values() {
	local cur=$1 option=$2

	case $option in
	--ca | --cert | --key | --client-ca | --client-cert | --client-key | --key-password-file | --user-file | \
	    --bearer-file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	--exec) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
	--tls-min) mapfile -t COMPREPLY < <(compgen -W '1.2 1.3' -- "$cur") ;;
	--close-code)
		mapfile -t COMPREPLY < <(compgen -W '1000 1001 1003 1007 1008 1009 1010 1011' -- "$cur")
		;;
	--socket-mode) mapfile -t COMPREPLY < <(compgen -W '600 660 666' -- "$cur") ;;
	--proxy)
		compopt -o nospace 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -W 'none http:// socks5://' -- "$cur")
		;;
	-q | --connect-timeout | --handshake-timeout | --read-timeout | --close-timeout | --kill-after)
		mapfile -t COMPREPLY < <(compgen -W none -- "$cur")
		;;
	--color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur") ;;
	--help=) mapfile -t COMPREPLY < <(compgen -W 'all listening connection security data time output' -- "$cur") ;;
	--ping) mapfile -t COMPREPLY < <(compgen -W '0 5 30' -- "$cur") ;;
	--header | -H | --subprotocol | --origin | --origin-allow | --path | --max-connections | --max-message | --size | \
	    --close-reason | --user | --max-redirects | --pin | --server-name) ;;
	*) return 1 ;;
	esac
}

_wspipe() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} assigned=
	local options='-l --listen -k --keep --echo --exec --kill-after --max-connections --path --origin-allow --inetd
	    --cert --key --client-ca --socket-mode
	    -t --text --max-message --compress -q --close-code --close-reason
	    -H --header --subprotocol --origin --user --user-file --bearer-file --proxy --max-redirects
	    --ca --pin --server-name --insecure --client-cert --client-key --tls-min --key-password-file
	    --connect-timeout --handshake-timeout --read-timeout --close-timeout --ping
	    -v --events --json --progress --size --color -V --version -h --help'

	COMPREPLY=()
	# "--ca=file" is three words here.
	if [[ $cur == = ]]; then
		cur='' assigned=1
	elif [[ $prev == = && COMP_CWORD -gt 2 ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]} assigned=1
	fi
	# A value that stands there only behind "=".
	[[ $prev != --help || -z $assigned ]] || prev=--help=
	_wspipe_values "$cur" "$prev" && return
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	else
		compopt -o nospace 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -W 'ws:// wss:// ws+unix:// wss+unix://' -- "$cur")
	fi
}

complete -F _wspipe wspipe
