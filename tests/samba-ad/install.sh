#!/usr/bin/env bash
# Installs the Debian packages that up.sh needs and that are not there yet; none of their services is started.
# usage: install.sh [--list]      (--list only prints what is missing)
set -euo pipefail

need=()
for pkg in samba-ad-dc samba-ad-provision ldap-utils ldb-tools openssl; do
    dpkg-query -W -f='${Status}' "$pkg" 2>/dev/null | grep -q 'ok installed' || need+=("$pkg")
done
if [[ ${1:-} == --list ]]; then
    printf '%s' "${need[*]-}"
    exit 0
fi
((${#need[@]})) || exit 0

printf 'installing %s\n' "${need[*]}" >&2
# The packages' own services must not start: they would listen on every address.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q --no-install-recommends "${need[@]}" ||
    { apt-get update -q && apt-get install -y -q --no-install-recommends "${need[@]}"; }
