# Shell functions shared by the tools; read by bash with ". tools/lib.sh". They change into the top of
# the tree, so that every tool may be started from anywhere.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
cd "$TOP" || exit 1
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# The lines of tools/packages that belong to a group.
group_packages() {
	awk -v group="[$1]" '
		/^#/ || NF == 0 { next }
		/^\[/ { inside = ($1 == group); found = found || inside; next }
		inside { print $1 }
		END { exit !found }' tools/packages || die "tools/packages has no group $1"
}

package_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Known to apt, with something to install: a name that others only refer to has no candidate.
package_known() {
	apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ { ok = ($2 != "(none)") } END { exit !ok }'
}

# Of a|b|c: the one installed, else the first that apt knows, else nothing.
package_choose() {
	local name
	for name in ${1//|/ }; do
		package_installed "$name" && { echo "$name"; return 0; }
	done
	for name in ${1//|/ }; do
		package_known "$name" && { echo "$name"; return 0; }
	done
	return 1
}

# How to become root for apt-get: "" (root already), "sudo", or failure. sudo may ask for a password only
# where a person can type one.
root_prefix() {
	[ "$(id -u)" = 0 ] && return 0
	command -v sudo >/dev/null || return 1
	if sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; }; then
		echo sudo
		return 0
	fi
	return 1
}

apt_update() {
	local prefix
	prefix=$(root_prefix) || return 1
	echo "fetching the lists of packages: apt-get update" >&2
	$prefix apt-get -q update >&2
}

apt_install() {
	local prefix=$1
	shift
	echo "fetching and installing $# packages and what they need, for some minutes at the first time:" \
		"apt-get install $*" >&2
	# Nothing may wait for an answer, and a terminal's progress bar is of no use in a log.
	$prefix env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install \
		--no-install-recommends "$@" >/dev/null </dev/null
}

# What a package weighs to be fetched, in MB.
package_megabytes() {
	apt-cache show --no-all-versions "$@" 2>/dev/null | awk '/^Size:/ { n += $2 } END { printf "%d", (n + 999999) / 1e6 }'
}

# need_packages GROUP...: installs what is missing; where it may not, prints the line to run and exits 1.
need_packages() {
	local wanted=() missing=() unknown=() group entry name prefix
	for group in "$@"; do
		mapfile -t -O "${#wanted[@]}" wanted < <(group_packages "$group")
		group_packages "$group" >/dev/null
	done
	mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
	for entry in "${wanted[@]}"; do
		if name=$(package_choose "$entry"); then
			package_installed "$name" || missing+=("$name")
		else
			unknown+=("$entry")
		fi
	done
	if [ ${#unknown[@]} -gt 0 ] && apt_update; then
		for entry in "${unknown[@]}"; do
			name=$(package_choose "$entry") || die "apt knows no package ${entry//|/ or } on this release" \
				"(on Ubuntu most are in universe: add-apt-repository universe)"
			missing+=("$name")
		done
		unknown=()
	fi
	[ ${#missing[@]} -eq 0 ] && [ ${#unknown[@]} -eq 0 ] && return 0
	if ! prefix=$(root_prefix); then
		echo "These packages are missing; install them with:" >&2
		echo "apt-get update && apt-get install --no-install-recommends ${missing[*]} ${unknown[*]%%|*}" >&2
		exit 1
	fi
	apt_install "$prefix" "${missing[@]}" && return 0
	apt_update # a list that is out of date names files that are gone
	apt_install "$prefix" "${missing[@]}" || die "apt-get could not install ${missing[*]}"
}

# need_build DIR [MESON_ARGUMENT...]: sets the folder up once, and compiles ($TARGET only, if that is set); what
# goes wrong is shown.
need_build() {
	local dir=$1
	shift
	mkdir -p "$dir"
	{ [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@"; } >"$dir/compile.log" 2>&1 &&
		ninja -C "$dir" -j "${JOBS:-2}" ${TARGET:-} >>"$dir/compile.log" 2>&1 && return 0
	tail -n 20 "$dir/compile.log" >&2
	return 1
}
