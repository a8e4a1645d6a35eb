# SPDX-License-Identifier: BSD-2-Clause
# Completion of vmlan's command line for bash. Behind "run" and "explain" comes another command: it is completed as that.

_vmlan_options()
{
	vmlan "$1" --help 2>/dev/null | sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p'
}

_vmlan_networks()
{
	vmlan ls 2>/dev/null | sed -n '2,$s/ *nat .*//p'
}

_vmlan_running()
{
	vmlan ls 2>/dev/null | sed -n '2,$s/ *\(guest\|user\) .*//p'
}

_vmlan_bridges()
{
	ip -br link show type bridge 2>/dev/null | sed 's/ .*//'
}

_vmlan()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} i
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "run user explain up adopt down ls show status doctor leases hostfwd reserve info nic help version" -- "$cur")
		return
	fi
	# Where the guest's or the namespace's command begins, if that is before the cursor.
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			_command_offset $((i + 1)) 2>/dev/null
			return
		fi
		if [[ $verb =~ ^(run|explain)$ && ${COMP_WORDS[i]} != -* && ! ${COMP_WORDS[i-1]} =~ ^--(mtu|pcap|busy-poll-us)$ ]]; then
			_command_offset "$i" 2>/dev/null
			return
		fi
	done
	case $prev in
	--pcap)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--tftp)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--mode)
		mapfile -t COMPREPLY < <(compgen -W "nat" -- "$cur")
		return
		;;
	--net | --host | --dns | --dhcpstart | --dhcpend | --hostname | --dnssearch | --domainname | --mtu | --queues | \
		--busy-poll-us | --name | --hostfwd | --reserve | --bridge | --ipv6-net | --bootfile)
		return
		;;
	esac
	case $verb in
	help)
		mapfile -t COMPREPLY < <(compgen -W "run user explain up adopt down ls show status doctor leases hostfwd reserve info nic help version" -- "$cur")
		;;
	info)
		if ((COMP_CWORD == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "network usernet" -- "$cur")
		elif ((COMP_CWORD == 3)); then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_running)" -- "$cur")
		fi
		;;
	nic)
		if ((COMP_CWORD == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "add remove" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_running) user,model=virtio-net-pci" -- "$cur")
		fi
		;;
	hostfwd | reserve)
		if ((COMP_CWORD == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "add remove list" -- "$cur")
		elif ((COMP_CWORD == 3)); then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_networks; [[ $verb == hostfwd ]] && _vmlan_running)" -- "$cur")
		elif [[ ${COMP_WORDS[2]} == remove ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(vmlan "$verb" list "${COMP_WORDS[3]}" 2>/dev/null)" -- "$cur")
		fi
		;;
	adopt)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_options adopt) --help" -- "$cur")
		elif ((COMP_CWORD == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_bridges)" -- "$cur")
		fi
		;;
	up | down | ls | show | status | doctor | leases)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_options "$verb") --help" -- "$cur")
		elif [[ $verb != ls ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_networks)" -- "$cur")
		fi
		;;
	user)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_options user) --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "stream: vhost-user: fd: netns netns:" -- "$cur")
			compopt -o nospace
		fi
		;;
	run | explain)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmlan_options "$verb") -- --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		fi
		;;
	esac
}

complete -F _vmlan vmlan
