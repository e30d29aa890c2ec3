# shellcheck shell=sh disable=SC1091,SC2086,SC2154,SC2317 # as in cases.sh, which sets some variables
# tests/kernel/lost.sh: a TPM that goes away and comes back under a program that runs on: a swtpm behind the kernel's
# tpm_vtpm_proxy can be killed. Sourced by cases.sh.
vtpm_start() {
    [ -d /run/vtpm ] || { mkdir -p /run/vtpm && modprobe tpm_vtpm_proxy; }
    swtpm chardev --vtpm-proxy --tpm2 --tpmstate dir=/run/vtpm --flags startup-clear --daemon --pid file=/run/vtpm/pid \
        >/run/vtpm/out 2>&1
}
vtpm_kill() {
    kill -9 "$(cat /run/vtpm/pid)"
    wait_for 30 test ! -e $DEVICE
}
vtpm_back() {
    vtpm_start
    wait_for 30 test -c $DEVICE || { ls -l /dev/tpm* && cat serve-*.log | tr -d '\000' && return 1; }
    permissions
}

# reach: one handshake with the server that runs on.
reach() {
    echo hello | tpmtls connect "localhost:$at" --ca ca/ca.pem >reply 2>said && has hello reply
}

# The same process serves before, says why it cannot meanwhile, and serves again: no restart.
under_serve() {
    serve "$1" "${2:---trace}"
    reach
    for _ in 1 2 3; do
        vtpm_kill
        : >"serve-$1.log"
        began=$(date +%s)
        exits 5 tpmtls connect "localhost:$at" --ca ca/ca.pem </dev/null >reply 2>said
        [ $(($(date +%s) - began)) -lt 10 ]
        has 'internal_error' said
        has 'TPM' "serve-$1.log"
        vtpm_back
        reach || { cat said "serve-$1.log" && return 1; }
        reach
    done
    kill -0 $server
    kill $server
}
lost_p256() { under_serve p256; }
lost_rsa() { under_serve rsa2048; }

# A client in the middle of things: each process by itself.
gone() {
    vtpm_kill
    exits 4 tpmtls doctor --quick >page
    has 'dev/tpmrm0: not there' page
    has 'there is no such device' page
    exits 4 tpmtls connect "localhost:1" --ca ca/ca.pem --key p256.key --cert p256.pem </dev/null 2>said
    has 'there is no such device' said
    vtpm_back
    tpmtls doctor --quick >page
    has 'p256 *works' page
}
# While a command is under way: RSA key generation takes long enough.
in_a_command() {
    tpmtls key create --type rsa3072 -o never.key 2>said &
    pid=$!
    usleep 300000
    vtpm_kill
    code=0
    wait $pid || code=$?
    [ $code -eq 4 ] || { echo "exit status $code" && cat said && return 1; }
    has 'TPM' said
    vtpm_back
    tpmtls key create -o after.key
}
# Cleared, the TPM has another seed: keys made before are of no use, and it says so.
cleared() {
    tpm2_clear -c p
    exits 4 tpmtls connect "localhost:1" --ca ca/ca.pem --key p256.key --cert p256.pem </dev/null 2>said
    has 'cleared\|another TPM' said
    tpmtls doctor --quick >page
    has 'p256 *works' page
}

lost_cases() {
    check 'serve lives through the loss of the TPM, P-256' lost_p256
    check 'serve lives through the loss of the TPM, RSA-2048' lost_rsa
    check 'doctor and connect: the TPM is gone' gone
    check 'the TPM goes in the middle of a command' in_a_command
    check 'the TPM was cleared' cleared
}
