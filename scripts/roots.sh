# shellcheck shell=bash
# scripts/roots.sh: bare roots of other Debians, made with debootstrap and entered by chroot. Sourced by
# scripts/debian and scripts/package. Root is needed.
mirror=${TPMTLS_MIRROR:-http://deb.debian.org/debian}

say() { printf 'dev: %s\n' "$*"; }
die() {
    printf 'dev: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'dev: hint: %s\n' "$2" >&2
    exit 1
}

# root_or_sudo VARIABLE=VALUE... -- COMMAND...: go on as root; with sudo, which forgets the environment, once more.
root_or_sudo() {
    local kept=()
    while [ "$1" != -- ]; do
        kept+=("$1") && shift
    done
    shift
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || die 'root is needed to enter a root of another Debian, and there is no sudo'
    exec sudo TPMTLS_MIRROR="$mirror" "${kept[@]}" "$@"
}

# How this machine gets to its mirror (a proxy, say) must work in there, too.
share_network() {
    local file
    cp -L /etc/resolv.conf "$1/etc/resolv.conf"
    for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
        if [ -f "$file" ] && grep -qE 'Acquire::|Proxy' "$file"; then
            cp "$file" "$1/etc/apt/apt.conf.d/90host-$(basename "$file")"
        fi
    done
}

# make_root SUITE ROOT: a bare root, unless it is there already.
make_root() {
    local suite=$1 root=$2
    if [ ! -f "$root/.tpmtls-ready" ]; then
        say "making a root of $suite in $root (debootstrap, once)"
        rm -rf "$root"
        mkdir -p "$(dirname "$root")"
        debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" 2>&1 || {
            tail -n 20 "$root.log" >&2
            die 'debootstrap failed' "the log is $root.log; another mirror: TPMTLS_MIRROR=http://..."
        }
        touch "$root/.tpmtls-ready"
    fi
    share_network "$root"
}

# in_root ROOT COMMAND...: with /proc, /dev and an empty /tmp, which vanish with the mount namespace.
in_root() {
    local root=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation private sh -c '
        set -e
        root=$1 && shift
        mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} "$@"' sh "$root" "$@"
}
