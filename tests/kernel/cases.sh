# shellcheck shell=sh disable=SC1091,SC2086,SC2317 # the guest's files; one word each; check calls them
# tests/kernel/cases.sh: the program against a TPM behind the kernel's /dev/tpmrm0: what tests/integration shows on
# swtpm's own sockets, and what only a kernel can show. Runs in the guest; with vtpm the TPM's loss (lost.sh), too.
. /prog/tap.sh

mkdir -p /tmp/w /tmp/alice /tmp/mallory
chown alice /tmp/alice
chown mallory /tmp/mallory
chmod 711 /tmp/w
cd /tmp/w || exit 1

. /prog/dead.sh
if [ "$GUEST_TPM" = vtpm ]; then . /prog/lost.sh && vtpm_start; fi
wait_for 60 test -c "$DEVICE" || exit 1
# What tpm2-tss' udev rule does; there is no udev here.
permissions() {
    chgrp tss $DEVICE
    chmod 660 $DEVICE
}
permissions

# ---- keys, requests, certificates ----

driver() {
    case $(basename "$(readlink /sys/class/tpm/tpm0/device/driver || echo none)") in
    tpm_crb) [ "$GUEST_TPM" = crb ] ;;
    tpm_tis) [ "$GUEST_TPM" = tis ] ;;
    none) [ "$GUEST_TPM" = vtpm ] ;;
    *) readlink /sys/class/tpm/tpm0/device/driver && return 1 ;;
    esac
}

# identity NAME TYPE PROFILE: NAME.key, NAME.pem
identity() {
    tpmtls key create --type "$2" -o "$1.key"
    tpmtls csr --key "$1.key" --subject "/CN=$1" --san DNS:localhost -o "$1.csr"
    openssl req -in "$1.csr" -verify -noout
    tpmtls ca sign --dir ca "$1.csr" --profile "$3" -o "$1.pem"
}
identities() {
    tpmtls ca init --dir ca --subject '/CN=Guest CA'
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.key
    openssl req -new -key soft.key -subj /CN=localhost -addext subjectAltName=DNS:localhost -out soft.csr
    tpmtls ca sign --dir ca soft.csr --profile both -o soft.pem
    identity p256 p256 both
    identity rsa2048 rsa2048 both
}
ca_in_the_tpm() {
    tpmtls key create -o cakey.key
    tpmtls ca init --dir tpmca --subject '/CN=CA in the TPM' --key cakey.key
    tpmtls ca sign --dir tpmca soft.csr --profile both -o other.pem
    openssl verify -CAfile tpmca/ca.pem other.pem
}

# ---- handshakes ----

# against_openssl TYPE: openssl demands a certificate; one TPM command, and data both ways.
against_openssl() {
    openssl s_server -accept 127.0.0.1:4433 -tls1_3 -cert soft.pem -key soft.key -CAfile ca/ca.pem -Verify 2 \
        -verify_return_error -rev -naccept 1 >server.log 2>&1 &
    server=$!
    for try in 1 2 3 4 5 6 7 8 9 10; do
        usleep 200000
        rm -f reply
        say abcdef fedcba | tpmtls --json connect localhost:4433 --ca ca/ca.pem --key "$1.key" --cert "$1.pem" \
            --trace >reply 2>trace && break
        grep -q refused trace || break
        echo "openssl did not listen yet ($try)"
    done
    has fedcba reply
    [ "$(commands trace)" = 1 ] || { cat trace && return 1; }
    wait $server
}
openssl_p256() { against_openssl p256; }
openssl_rsa() { against_openssl rsa2048; }

# serve NAME OPTION...: ours in the background; sets server and at.
serve() {
    name=$1
    shift
    rm -f "serve-$name.log" # what an earlier one said
    tpmtls serve 127.0.0.1:0 --key "$name.key" --cert "$name.pem" "$@" >/dev/null 2>"serve-$name.log" &
    server=$!
    wait_for 30 has 'listening on' "serve-$name.log"
    at=$(port "serve-$name.log")
}
served() {
    serve "$1" --client-ca ca/ca.pem --require-client-cert
    rm -f reply
    say hello hello | openssl s_client -connect "127.0.0.1:$at" -servername localhost -tls1_3 -CAfile ca/ca.pem \
        -cert soft.pem -key soft.key -verify_return_error -quiet -no_ign_eof >reply 2>client.log || cat client.log
    has hello reply
    kill $server
}
served_p256() { served p256; }
served_rsa() { served rsa2048; }

# Three slots a descriptor, and each of ours holds at most one: both ends, two types, many at once.
two_processes() {
    serve p256 --client-ca ca/ca.pem --require-client-cert
    one=$server there=$at
    serve rsa2048 --client-ca ca/ca.pem --require-client-cert
    for i in 1 2 3 4 5; do
        (echo "a$i" | tpmtls connect "localhost:$there" --ca ca/ca.pem --key rsa2048.key --cert rsa2048.pem >"a$i" 2>"a$i.log") &
        a=$!
        (echo "b$i" | tpmtls connect "localhost:$at" --ca ca/ca.pem --key p256.key --cert p256.pem >"b$i" 2>"b$i.log") &
        b=$!
        tpm2_getrandom -T device:/dev/tpmrm0 --hex 8
        wait $a || { cat "a$i.log" && return 1; }
        wait $b || { cat "b$i.log" && return 1; }
        [ "$(cat "a$i" "b$i")" = "a$i
b$i" ]
    done
    kill $one $server
}

persistent() {
    tpmtls key persist p256.key 0x81000010
    echo kept | tpmtls connect "localhost:$1" --ca ca/ca.pem --key handle:0x81000010 --cert p256.pem >reply
    has kept reply
}
persistent_key() {
    serve rsa2048 --client-ca ca/ca.pem --require-client-cert
    persistent "$at"
    kill $server
}

# ---- what the kernel does for us ----

# sessions: handles of sessions that are in the TPM or saved out of it, all programs together.
sessions() {
    tpm2_getcap -T device:/dev/tpm0 handles-loaded-session
    tpm2_getcap -T device:/dev/tpm0 handles-saved-session
}
objects() { tpm2_getcap -T device:/dev/tpm0 handles-transient; }
no_sessions() { [ -z "$(sessions)" ]; }

# A key with a password keeps a session in the TPM. Killed, we cannot flush it; there are 64 in the whole TPM.
killed() {
    printf secret >password
    tpmtls key create --auth-file password -o locked.key
    tpmtls csr --key locked.key --auth-file password --subject /CN=locked --san DNS:localhost -o locked.csr
    tpmtls ca sign --dir ca locked.csr --profile both -o locked.pem
    no_sessions
    for i in 1 2 3; do
        serve locked --auth-file password
        echo hello | tpmtls connect "localhost:$at" --ca ca/ca.pem >reply
        has hello reply
        [ "$(sessions | grep -c 0x)" = 1 ] || { echo "sessions while we run:" && sessions && return 1; }
        kill -9 $server
        wait $server || true
        no_sessions || { echo "sessions after kill -9, round $i:" && sessions && return 1; }
        [ -z "$(objects)" ] || { echo "objects after kill -9:" && objects && return 1; }
    done
}
# In the middle of a command: RSA keys take long to make.
killed_in_a_command() {
    for pause in 20000 60000 150000; do
        tpmtls key create --type rsa3072 -o never.key &
        pid=$!
        usleep $pause
        kill -9 $pid
        wait $pid || true
        tpmtls key create -o after.key # waits for the TPM like everybody else
        [ -z "$(objects)" ] || { echo "objects after kill -9:" && objects && return 1; }
        no_sessions || { echo "sessions after kill -9:" && sessions && return 1; }
        rm -f after.key
    done
}

# ---- the PKCS#11 module ----

# pkcs11_signs TOKEN COUNT: in one process.
pkcs11_signs() { pkcs11-times /usr/lib/libtpmtls-pkcs11.so sign "$1" '' 60 "$2"; }
pkcs11_at_once() {
    export TPMTLS_IDENTITIES=/tmp/w/identities
    for token in p256 rsa2048; do tpmtls identity add $token --key $token.key --cert $token.pem; done
    running=
    for i in 1 2 3 4; do
        for token in p256 rsa2048; do
            pkcs11_signs $token 8 >"signed.$token.$i" 2>&1 &
            running="$running $!"
        done
    done
    tpm2_getrandom -T device:/dev/tpmrm0 --hex 8
    for pid in $running; do wait $pid || { cat signed.* && return 1; }; done
    [ "$(cat signed.* | grep -c '"signatures": *8[,}]')" = 8 ] || { cat signed.* && return 1; }
    [ -z "$(objects)" ] || { echo "objects afterwards:" && objects && return 1; }
    no_sessions
}
# One that is killed has nobody wait.
pkcs11_killed() {
    export TPMTLS_IDENTITIES=/tmp/w/identities
    pkcs11_signs rsa2048 100000 >/dev/null &
    pid=$!
    usleep 700000
    kill -9 $pid
    wait $pid || true
    pkcs11_signs p256 3 >signed
    has '"signatures": *3[,}]' signed
    [ -z "$(objects)" ] || { echo "objects after kill -9:" && objects && return 1; }
}

# ---- who may ----

as() { su -s /bin/sh "$1" -c "$2"; }
in_the_group() {
    as alice "cd /tmp/alice && export TPMTLS_TPM=device && tpmtls key create -o a.key && tpmtls key show a.key"
    as alice "tpmtls doctor --quick" >page
    has '^/dev/tpmrm0: used\|places: *.dev/tpmrm0: used' page
    serve rsa2048 --client-ca ca/ca.pem --require-client-cert
    cp p256.pem ca/ca.pem /tmp/alice/
    cp p256.key /tmp/alice/p256.key
    chown -R alice /tmp/alice
    as alice "cd /tmp/alice && echo hi | tpmtls --tpm device connect localhost:$at --ca ca.pem --key p256.key --cert p256.pem" >reply
    has hi reply
    kill $server
}
outside_the_group() {
    exits 4 as mallory "tpmtls doctor --quick" >page
    has 'dev/tpmrm0: permission denied.*tss' page
    has 'NOT possible' page
    exits 4 as mallory "cd /tmp/mallory && tpmtls --tpm device key create -o m.key" 2>said
    has 'permission denied' said
    has 'hint: add your user to the group tss' said
}
# /dev/tpm0 is for one program at a time; /dev/tpmrm0 works meanwhile.
raw_device_busy() {
    exec 9<>/dev/tpm0
    exits 4 tpmtls --tpm device:/dev/tpm0 key create -o busy.key 2>said
    has 'another program has it open' said
    has 'hint: .*resource manager' said
    tpmtls --tpm device doctor --quick >page
    exec 9>&-
    tpmtls --tpm device:/dev/tpm0 key create -o raw.key
    tpmtls key show raw.key
}

# ---- doctor ----

doctor_healthy() {
    tpmtls doctor >page
    has 'manager: *kernel' page
    has 'driver: *\|dev/tpmrm0: used' page
    has 'p256 *works' page
    has 'rsa2048 *works' page
    [ -z "$(objects)" ]
    no_sessions
}
doctor_srk() {
    tpm2_createprimary -Q -C o -G ecc256:aes128cfb -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt' -c srk.ctx
    tpm2_evictcontrol -Q -C o -c srk.ctx 0x81000001
    tpmtls doctor --quick >page
    has 'SRK: *.*0x81000001' page
    tpm2_evictcontrol -Q -C o -c 0x81000001
}
doctor_locked() {
    tpm2_createprimary -Q -C o -G ecc -c p.ctx
    printf data >data
    tpm2_create -Q -C p.ctx -i data -p right -u k.pub -r k.priv -a 'fixedtpm|fixedparent|userwithauth'
    tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
    for _ in 1 2 3 4; do tpm2_unseal -Q -c k.ctx -p wrong 2>/dev/null || true; done
    tpmtls doctor --quick >page
    has 'lockout: *LOCKED' page
    tpm2_dictionarylockout -c
    tpmtls doctor --quick >page
    has 'lockout: *no' page
}
doctor_owner_password() {
    tpm2_changeauth -c o secret
    exits 4 tpmtls doctor --quick >page
    has 'owner set\|owner yes\|passwords: *owner' page
    has 'owner hierarchy has a password' page
    tpm2_changeauth -c o -p secret
    tpmtls doctor --quick >page
}

# ---- the benchmark ----

bench() {
    tpmtls bench --seconds 0.2 --out /out/bench.json >/out/bench.txt
    has 'Sign p256  *[0-9]' /out/bench.txt
    has 'RSA_Decrypt rsa2048  *[0-9]' /out/bench.txt
    has 'full p256  *[0-9]' /out/bench.txt
    has 'resumed rsa2048  *[0-9]' /out/bench.txt
    has '^at: .*device' /out/bench.txt
    lacks ' -  ' /out/bench.txt # every row has its figures
    [ -z "$(objects)" ]
    no_sessions
}

check 'the driver is the one that is meant' driver
check 'doctor: a healthy TPM' doctor_healthy
check 'keys are made, requests signed, certificates issued' identities
check 'a CA whose key is in the TPM' ca_in_the_tpm
check 'connect to openssl s_server, P-256' openssl_p256
check 'connect to openssl s_server, RSA-2048' openssl_rsa
check 'openssl s_client to serve, P-256' served_p256
check 'openssl s_client to serve, RSA-2048' served_rsa
check 'several processes at once' two_processes
check 'a key at a persistent handle' persistent_key
check 'kill -9: the kernel frees sessions and objects' killed
check 'kill -9 in the middle of a command' killed_in_a_command
check 'the PKCS#11 module in eight processes at once' pkcs11_at_once
check 'the PKCS#11 module: kill -9' pkcs11_killed
dead_cases
check 'a user in the group tss' in_the_group
check 'a user who may not: doctor and key create say why' outside_the_group
check '/dev/tpm0 is busy' raw_device_busy
check 'doctor: the storage root key is kept' doctor_srk
check 'doctor: locked out' doctor_locked
check 'doctor: the owner has a password' doctor_owner_password
check 'bench through the kernel' bench
[ "$GUEST_TPM" != vtpm ] || lost_cases
cp p256.key p256.pem rsa2048.key rsa2048.pem ca/ca.pem soft.key soft.pem /out/
plan
