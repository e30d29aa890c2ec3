# shellcheck shell=bash
# scripts/packages.sh: the Debian packages tpmtls needs, why, and how they get installed. Sourced by ./dev.
# One line a package: GROUP PACKAGE REASON. Works on Debian 12 and 13, also in a bare debootstrap root.
PACKAGES='
build gcc the C compiler
build libc6-dev the headers of libc
build meson the build system
build ninja-build runs what meson plans
build pkgconf finds the libraries for meson
build python3 runs meson and the scripts of this project
build libssl-dev libcrypto: hashes, ciphers, signatures, X.509
build libtss2-dev tpm2-tss: speaks to the TPM
build libevent-dev the event loop
build libjansson-dev reads and writes JSON
build libsqlite3-dev the store of the CA
build libpq-dev PostgreSQL, for a CA whose store is there
build libinih-dev reads the files of tpmtls proxy
build libseccomp-dev the system calls that tpmtls proxy may make
build libp11-kit-dev the header of PKCS#11, for the module
build zlib1g-dev certificate compression by zlib
build libbrotli-dev certificate compression by brotli
build libzstd-dev certificate compression by zstd
demo swtpm the emulated TPM, for machines without one and for the tests
demo openssl the other end of the connections in the demo and the tests
demo netbase makes /etc/hosts, so that localhost has an address
test libcmocka-dev the unit test framework
test gnutls-bin gnutls-serv and gnutls-cli, another TLS implementation to test against
test tpm2-tools makes keys the way others do, for the tests
test swtpm-tools swtpm_setup, which makes endorsement keys and certificates
test tpm2-openssl the OpenSSL provider that our key files must work with
test tpm2-abrmd a resource manager, for a test of what a service does without it
test libtss2-tcti-tabrmd0 the way to it
test dbus-daemon tpm2-abrmd is spoken to through it
test certmonger gets its certificates from tpmtls ca serve
test gnuplot-nox draws the plot of tpmtls bench
test iproute2 ip, to give a test a network of its own
test opensc pkcs11-tool, which tests the PKCS#11 module
test p11-kit where modules are registered
test libengine-pkcs11-openssl the engine by which OpenSSL takes the module
test openssh-client ssh and its agent with keys of the module
test openssh-server whom they log in to
test softhsm2 another PKCS#11 module, to compare ours with
test libnss3-tools modutil lists the tokens of the module
test curl a client with a key behind PKCS#11
test nginx-core a server with a key behind PKCS#11
test ca-certificates the system store of CAs, whom connect trusts by default
test g++ compiles our headers as C++
test mosquitto-clients its clients through the proxy
test postgresql psql and a server behind the proxy
test redis-server a server with TLS, and redis-cli through the proxy
test haproxy reads the PROXY protocol header of the proxy
test mosquitto the broker that the MQTT example is tested with
test valgrind sees whether time depends on a secret (tests/timing)
test netcat-openbsd nc, in recipes
test slapd an LDAP server, for STARTTLS
test zsh its completion script is run
test fish the same
test procps ps, to see that no helper process is left behind
users openvpn a VPN with a key behind PKCS#11
users eapoltest EAP-TLS as wpa_supplicant does it
users hostapd the RADIUS server to that
users default-jdk-headless HttpsURLConnection and keytool
users chromium a browser
users firefox-esr another
users xvfb a display for the window in which they ask for a PIN
users xdotool types it
users13 pkcs11-provider OpenSSL with a key behind PKCS#11 (Debian 13 has it; scripts/debian asks for this group)
bench libgnutls28-dev GnuTLS, to compare with
bench gnuplot-nox draws the figures
bench binutils size: how much text the engine has
bench libtpm2-pkcs11-1 tpm2-pkcs11, to compare the PKCS#11 module with
bench libtpm2-pkcs11-tools makes its tokens
bench tpm2-tools it runs them
bench libengine-pkcs11-openssl curl through the module
bench curl the same
bench stunnel4 to compare the proxy with
bench haproxy the same
bench nginx-core the same
bench libnginx-mod-stream its TLS in front of plain TCP
bench apache2-utils ab asks for OCSP answers
bench13 librust-rustls-dev rustls, to compare with (the API of Debian 13; scripts/debian asks for this group)
bench13 cargo builds it, with rustc
lint git lists the files of the project
lint clang the second compiler
lint clang-format checks the layout of the code
lint clang-tidy static analysis
lint cppcheck static analysis
lint shellcheck checks the shell scripts
lint libcmocka-dev the tests are checked as well
fuzz clang libFuzzer is part of it
fuzz libclang-rt-dev the sanitizers and the fuzzer of clang
fuzz llvm names the functions in a crash report
interop libnss3-tools NSS: tstclnt, certutil, pk12util
interop libnss3-dev NSS, for a server of our own
interop golang-go crypto/tls of Go
interop openjdk-17-jdk-headless JSSE of Java
interop nodejs tls of Node
interop erlang-base Erlang
interop erlang-ssl ssl of Erlang
interop nginx-core a TLS server and, as a proxy, a client
interop libnginx-mod-stream TLS in front of plain TCP
interop haproxy another
interop stunnel4 another
interop curl a client
interop libwolfssl-dev wolfSSL
interop tshark reads what --trace-pcap writes, as Wireshark does
kernel qemu-system-x86 boots the guest with a TPM behind a real kernel
kernel cpio makes its initramfs
kernel kmod finds its modules
kernel busybox-static its programs
kernel tpm2-tools looks at the TPM from the side
kernel strace gives system calls the answers of a kernel that is out of order
proof cbmc proves what tests/cbmc asserts (Debian 13 has it)
debian13 debootstrap makes the roots of Debian 13 and of the next
package debootstrap makes the roots that packages are built and tried in
package git meson dist takes the files from it
package rpm reads the RPM spec
package rpmlint reads it more closely
package systemd-container boots a root, to start the units in it
'

# packages_missing GROUP...: the packages of these groups that are not installed, one "NAME REASON" a line.
packages_missing() {
    local group package reason seen=' '
    while read -r group package reason; do
        [[ " $* " == *" $group "* && $seen != *" $package "* ]] || continue
        seen+="$package "
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s %s\n' "$package" "$reason"
    done <<<"$PACKAGES"
}

# as_root COMMAND...: with sudo where we are not root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo 'dev: root is needed to install packages, and there is no sudo' >&2
        echo "dev: hint: as root: apt-get install ${WANTED:-}" >&2
        return 1
    fi
}

# apt_get WORDS...: apt-get that asks nothing and waits for whoever holds dpkg's lock; silent unless it fails.
apt_get() {
    local out rc=0
    out=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=900 \
        -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 "$@" 2>&1 </dev/null) || rc=$?
    [ $rc -eq 0 ] || tail -n 30 <<<"$out" >&2
    return $rc
}

# apt_update: DPkg::Lock::Timeout does not cover the lock on the lists, so that one is waited for here.
apt_update() {
    local try out
    echo 'dev: reading the package lists (apt-get update)'
    for try in 1 2 3 4 5 6; do
        out=$(apt_get update 2>&1) && return 0
        grep -q 'Could not get lock' <<<"$out" || break
        sleep $((try * 5))
    done
    printf '%s\n' "$out" >&2
    return 1
}

# packages_known NAME...: does apt know a version of each?
packages_known() {
    local name
    for name in "$@"; do
        apt-cache show --no-all-versions "$name" >/dev/null 2>&1 || return 1
    done
}

# packages_need GROUP...: install what is missing of these groups, saying what and why. Silent when nothing is.
packages_need() {
    local group
    for group in "$@"; do
        grep -q "^$group " <<<"$PACKAGES" || { echo "dev: there is no package group '$group'" >&2 && return 2; }
    done
    if ! command -v dpkg-query >/dev/null; then
        [ "${PACKAGES_WARNED:-}" ] || echo 'dev: not a Debian system: nothing can be installed for you' >&2
        PACKAGES_WARNED=yes
        return 0
    fi
    local missing names
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    echo "dev: to be installed with apt-get:"
    while read -r name reason; do
        printf '  %-18s %s\n' "$name" "$reason"
    done <<<"$missing"
    mapfile -t names < <(cut -d' ' -f1 <<<"$missing")
    WANTED=${names[*]}
    packages_known "${names[@]}" || apt_update || return 1
    # A list that is out of date names files the mirror no longer has: read the lists anew and try once more.
    apt_get install --no-install-recommends "${names[@]}" 2>/dev/null ||
        { apt_update && apt_get install --no-install-recommends "${names[@]}"; } ||
        { echo "dev: apt-get could not install: $WANTED" >&2 && return 1; }
}
