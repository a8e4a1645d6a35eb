# SPDX-License-Identifier: BSD-2-Clause
# Completion of vmlan's command line for fish.

function __vmlan_options
    vmlan $argv[1] --help 2>/dev/null |
        string replace -rf '^  (?:-[a-z], )?(--[a-z-]+)(?: [A-Z]\S*)? +(.*)$' '$1\t$2'
end

complete -c vmlan -f
complete -c vmlan -n __fish_use_subcommand -a run -d 'run a QEMU line'
complete -c vmlan -n __fish_use_subcommand -a user -d 'serve a user-mode network'
complete -c vmlan -n __fish_use_subcommand -a explain -d 'say what a QEMU line means'
complete -c vmlan -n __fish_use_subcommand -a up -d 'set up a network'
complete -c vmlan -n __fish_use_subcommand -a adopt -d 'set up a network on a bridge'
complete -c vmlan -n __fish_use_subcommand -a down -d 'take a network away'
complete -c vmlan -n __fish_use_subcommand -a ls -d 'list networks'
complete -c vmlan -n __fish_use_subcommand -a show -d 'print all of a network'
complete -c vmlan -n __fish_use_subcommand -a doctor -d 'check this host'
complete -c vmlan -n __fish_use_subcommand -a status -d 'check a network'
complete -c vmlan -n __fish_use_subcommand -a leases -d 'list leases'
complete -c vmlan -n __fish_use_subcommand -a hostfwd -d 'change forwards'
complete -c vmlan -n __fish_use_subcommand -a reserve -d 'change reservations'
complete -c vmlan -n __fish_use_subcommand -a info -d 'show the networks of a guest'
complete -c vmlan -n __fish_use_subcommand -a nic -d 'add or remove a NIC'
complete -c vmlan -n __fish_use_subcommand -a help -d 'list the verbs'
complete -c vmlan -n __fish_use_subcommand -a version -d 'print the version'
complete -c vmlan -n '__fish_seen_subcommand_from help' -a 'run user explain up adopt down ls show status doctor leases hostfwd reserve info nic version'
complete -c vmlan -n '__fish_seen_subcommand_from run' -a '(__vmlan_options run)'
complete -c vmlan -n '__fish_seen_subcommand_from run explain' -a '(__fish_complete_command)'
complete -c vmlan -n '__fish_seen_subcommand_from user' -a '(__vmlan_options user)'
complete -c vmlan -n '__fish_seen_subcommand_from user' -a 'stream: vhost-user: fd: netns netns:'
complete -c vmlan -n '__fish_seen_subcommand_from up' -a '(__vmlan_options up)'
complete -c vmlan -n '__fish_seen_subcommand_from down' -a '(__vmlan_options down)'
complete -c vmlan -n '__fish_seen_subcommand_from ls' -a '(__vmlan_options ls)'
complete -c vmlan -n '__fish_seen_subcommand_from status' -a '(__vmlan_options status)'
complete -c vmlan -n '__fish_seen_subcommand_from adopt' -a '(__vmlan_options adopt)'
complete -c vmlan -n '__fish_seen_subcommand_from adopt' -a '(ip -br link show type bridge | string match -r "^\S+")'
complete -c vmlan -n '__fish_seen_subcommand_from show' -a '(__vmlan_options show)'
complete -c vmlan -n '__fish_seen_subcommand_from doctor' -a '(__vmlan_options doctor)'
complete -c vmlan -n '__fish_seen_subcommand_from up down show status doctor leases hostfwd reserve info nic' -a '(vmlan ls 2>/dev/null | string match -rg "^(?!NETWORK)(\S+)")'
complete -c vmlan -n '__fish_seen_subcommand_from hostfwd reserve' -a 'add remove list'
complete -c vmlan -n '__fish_seen_subcommand_from info' -a 'network usernet'
complete -c vmlan -n '__fish_seen_subcommand_from nic' -a 'add remove'
complete -c vmlan -n '__fish_seen_subcommand_from run user' -l pcap -rF
