#!/usr/bin/env bash
# Brings up a real Samba Active Directory domain controller that answers LDAP on
# a loopback address, never on another. Run as root.
set -Eeuo pipefail
trap 'printf "up.sh: failed at line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

usage() {
    cat <<'USAGE'
usage: up.sh DIR [--users CSV]... [--addr IP] [--realm REALM]
             [--allow-plain] [--no-install]

  DIR            where the domain lives; made if missing, kept by down.sh
  --users CSV    users to have (header: sam,upn,given,sn[,...]; see add_users.py);
                 those whose sam is already there are left as they are
  --addr IP      loopback address to listen on (default 127.3.89.1); the ports
                 are fixed in Samba: 389, 636, 3268, 3269
  --realm REALM  the domain, set once per DIR (default AD.TEST)
  --allow-plain  take simple binds without TLS (a hardened AD refuses them, and
                 so does this without the option)
  --no-install   fail instead of installing a missing Debian package

Environment: ADMIN_PASS and READER_PASS set the two passwords when DIR is first
provisioned; without them random ones are made. Both end up in DIR, mode 0600.
USAGE
}

die() { printf 'up.sh: %s\n' "$*" >&2; exit 1; }
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }'; }
say() { printf 'up.sh: %s\n' "$*" >&2; }

dir='' addr=127.3.89.1 realm=AD.TEST strong=yes install=yes
csvs=()
while (($#)); do
    case $1 in
        --users) csvs+=("${2:?--users needs a file}"); shift 2 ;;
        --addr) addr=${2:?--addr needs an address}; shift 2 ;;
        --realm) realm=${2:?--realm needs a name}; shift 2 ;;
        --allow-plain) strong=no; shift ;;
        --no-install) install=no; shift ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; die "unknown option $1" ;;
        *) [[ -z $dir ]] || { usage >&2; die "one DIR only"; }; dir=$1; shift ;;
    esac
done
[[ -n $dir ]] || { usage >&2; exit 2; }
((EUID == 0)) || die "must run as root (ports below 1024, and Samba's databases are root's)"
for csv in ${csvs[@]+"${csvs[@]}"}; do [[ -r $csv ]] || die "cannot read $csv"; done
[[ $realm =~ ^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$ ]] || die "not a realm: $realm"
realm=${realm^^}
octet='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])'
[[ $addr =~ ^127\.$octet\.$octet\.$octet$ ]] || die "not an IPv4 loopback address: $addr"

# --- packages -----------------------------------------------------------------
if [[ $install == yes ]]; then
    "$here/install.sh" >&2
else
    missing=$("$here/install.sh" --list)
    [[ -z $missing ]] || die "missing Debian packages: $missing"
fi

# --- the directory --------------------------------------------------------------
mkdir -p "$dir"
dir=$(cd -- "$dir" && pwd -P)
[[ $dir =~ ^[A-Za-z0-9_./+-]+$ ]] || die "DIR's path may hold only letters, digits and _./+- : $dir"
# .samba-ad marks the directory as ours, and is the lock.
[[ -e $dir/.samba-ad ]] || [[ -z $(find "$dir" -mindepth 1 -maxdepth 1 ! -name .samba-ad -print -quit) ]] ||
    die "$dir is not empty, and no domain of ours"
exec 9>"$dir/.samba-ad"
flock -w 300 9 || die "another up.sh or down.sh is at work in $dir"
chmod 700 "$dir"

conf=$dir/etc/smb.conf
pidfile=$dir/run/samba.pid
host=dc1
dom=${realm,,}
base_dn=DC=${dom//./,DC=}
netbios=${realm%%.*}${realm#*.}
netbios=${netbios//[^A-Z0-9]/}
netbios=${netbios:0:15}

if [[ -e $dir/.provisioned ]]; then
    [[ $(cat "$dir/.provisioned") == "$realm" ]] ||
        die "$dir holds the realm $(cat "$dir/.provisioned"), not $realm"
else
    # New, or left by an up.sh that was cut short.
    find "$dir" -mindepth 1 -maxdepth 1 ! -name .samba-ad -exec rm -rf {} +
    mkdir -p "$dir/etc"
    : >"$conf" # an empty one, so that the machine's own /etc/samba/smb.conf plays no part
    (
        umask 077
        printf '%s' "${ADMIN_PASS:-Aa1.$(openssl rand -hex 12)}" >"$dir/admin.pass"
        printf '%s' "${READER_PASS:-Aa1.$(openssl rand -hex 12)}" >"$dir/reader.pass"
    )
    say "provisioning $realm"
    began=$EPOCHREALTIME
    mkdir -p "$dir/log"
    samba-tool domain provision -s "$conf" --targetdir="$dir" --quiet \
        --realm="$realm" --domain="$netbios" --host-name="$host" --host-ip="$addr" \
        --server-role=dc --dns-backend=NONE --function-level=2008_R2 \
        --adminpass="$(cat "$dir/admin.pass")" >"$dir/log/provision.log" 2>&1 9>&- ||
        { tail -n 20 "$dir/log/provision.log" >&2; die "provisioning failed"; }
    say "provisioned in $(since "$began")"
fi
mkdir -p "$dir"/{etc,private,state,cache,lock,run,log,tls}

# --- TLS: a CA of its own, and a server certificate with the names clients use -----
# (the one that Samba makes by itself has no subjectAltName, so rustls refuses it)
tls=$dir/tls
san="DNS:$host.$dom,DNS:$dom,DNS:localhost,IP:$addr"
[[ $addr == 127.0.0.1 ]] || san+=",IP:127.0.0.1"
tls_new=no
if [[ ! -e $tls/san ]] || [[ $(cat "$tls/san") != "$san" ]] ||
    ! openssl x509 -in "$tls/cert.pem" -noout -checkend 86400 >/dev/null 2>&1; then
    tls_new=yes
    rm -f "$tls"/*
    (
        umask 077
        make_ca() { # NAME CN
            openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=$2" \
                -addext 'basicConstraints=critical,CA:TRUE' \
                -addext 'keyUsage=critical,keyCertSign,cRLSign' \
                -keyout "$tls/$1.key" -out "$tls/$1.pem" 2>>"$dir/log/tls.log"
        }
        make_ca ca "Samba AD test CA"
        make_ca other-ca "Some other CA"
        openssl req -newkey rsa:2048 -nodes -sha256 -subj "/CN=$host.$dom" \
            -keyout "$tls/key.pem" -out "$tls/cert.csr" 2>>"$dir/log/tls.log"
        printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature,keyEncipherment' \
            'extendedKeyUsage=serverAuth' "subjectAltName=$san" >"$tls/cert.ext"
        openssl x509 -req -in "$tls/cert.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial \
            -sha256 -days 3650 -extfile "$tls/cert.ext" -out "$tls/cert.pem" 2>>"$dir/log/tls.log"
    )
    rm -f "$tls/other-ca.key" "$tls/cert.csr" "$tls/cert.ext"
    chmod 644 "$tls/ca.pem" "$tls/other-ca.pem" "$tls/cert.pem"
    printf '%s' "$san" >"$tls/san"
fi

# --- smb.conf -------------------------------------------------------------------
# Only the LDAP service runs: one process, no SMB, Kerberos, DNS or RPC.
new_conf=$(
    cat <<CONF
# written by up.sh
[global]
	netbios name = ${host^^}
	realm = $realm
	workgroup = $netbios
	server role = active directory domain controller
	server services = ldap
	dcerpc endpoint servers =
	interfaces = $addr/8
	bind interfaces only = Yes
	ldap server require strong auth = $strong
	tls enabled = Yes
	tls cafile = $tls/ca.pem
	tls certfile = $tls/cert.pem
	tls keyfile = $tls/key.pem
	private dir = $dir/private
	state directory = $dir/state
	cache directory = $dir/cache
	lock directory = $dir/lock
	pid directory = $dir/run
	ncalrpc dir = $dir/run/ncalrpc
	winbindd socket directory = $dir/run/winbindd
	ntp signd socket directory = $dir/run/ntp_signd
	binddns dir = $dir/bind-dns
	log file = $dir/log/log.samba
	logging = file
	max log size = 0
CONF
)
conf_new=no
if [[ $(cat "$conf" 2>/dev/null) != "$new_conf" ]]; then
    conf_new=yes
    printf '%s\n' "$new_conf" >"$conf"
fi

# --- the two accounts that clients bind with, then the marker --------------------
if [[ ! -e $dir/.provisioned ]]; then
    samba-tool user setexpiry administrator --noexpiry -s "$conf" >>"$dir/log/provision.log" 2>&1 9>&-
    samba-tool user create svc-reader "$(cat "$dir/reader.pass")" -s "$conf" \
        >>"$dir/log/provision.log" 2>&1 9>&- || die "cannot make svc-reader: see $dir/log/provision.log"
    samba-tool user setexpiry svc-reader --noexpiry -s "$conf" >>"$dir/log/provision.log" 2>&1 9>&-
    printf '%s' "$realm" >"$dir/.provisioned"
fi

# --- the users --------------------------------------------------------------------
if ((${#csvs[@]})); then
    # Debian's own python3: the one that python3-samba belongs to.
    /usr/bin/python3 "$here/add_users.py" "$conf" "${csvs[@]}" >&2 9>&-
fi

# --- start --------------------------------------------------------------------------
running() { running_pid "$dir" >/dev/null 2>&1; }
answers() {
    ldapsearch -x -LLL -o nettimeout=2 -H "ldap://$addr" -s base -b '' defaultNamingContext 2>/dev/null |
        grep -qiF "defaultNamingContext: $base_dn"
}
if running && [[ $conf_new == yes || $tls_new == yes ]]; then
    say "settings changed: restarting"
    SAMBA_AD_LOCKED=1 "$here/down.sh" "$dir" 9>&-
fi
if ! running; then
    rm -f "$pidfile"
    if command -v ss >/dev/null && [[ -n $(ss -Hltn "src $addr and ( sport = 389 or sport = 636 )" 2>/dev/null) ]]; then
        die "something else listens on $addr port 389 or 636: choose another --addr"
    fi
    began=$EPOCHREALTIME
    cd /
    setsid samba -s "$conf" -l "$dir/log" -F -M single </dev/null >"$dir/log/stdout.log" 2>&1 9>&- &
    started=$!
    disown "$started"
    for ((i = 0; ; i++)); do
        if running && answers; then break; fi
        if ! kill -0 "$started" 2>/dev/null || ((i >= 300)); then
            tail -n 20 "$dir/log/stdout.log" "$dir/log/log.samba" >&2 || true
            kill "$started" 2>/dev/null || true
            die "samba did not answer LDAP on $addr"
        fi
        sleep 0.1
    done
    say "LDAP answers after $(since "$began")"
fi
answers || die "samba runs (pid $(running_pid "$dir")) but does not answer LDAP on $addr"

{
    setting() { printf '%s=%s\n' "$1" "$2"; }
    setting LDAP_URL "ldap://$addr:389"
    setting LDAPS_URL "ldaps://$addr:636"
    setting LDAP_ADDR "$addr"
    setting LDAP_HOST "$host.$dom"
    setting BASE_DN "$base_dn"
    setting USERS_DN "OU=People,$base_dn"
    setting BIND_DN "CN=svc-reader,CN=Users,$base_dn"
    setting BIND_UPN "svc-reader@$dom"
    setting BIND_PASS_FILE "$dir/reader.pass"
    setting ADMIN_DN "CN=Administrator,CN=Users,$base_dn"
    setting ADMIN_PASS_FILE "$dir/admin.pass"
    setting CA_FILE "$tls/ca.pem"
    setting WRONG_CA_FILE "$tls/other-ca.pem"
    setting PLAIN_BIND "$([[ $strong == no ]] && echo allowed || echo refused)"
    setting SMB_CONF "$conf"
    setting PID_FILE "$pidfile"
} >"$dir/env"
cat "$dir/env"
