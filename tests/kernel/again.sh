# shellcheck shell=sh disable=SC1091,SC2086,SC2154,SC2317 # as in cases.sh, which sets some variables
# tests/kernel/again.sh: the same machine after a restart, which resets its TPM: the second boot, with the keys of the first.
. /prog/tap.sh
cd /prog/files || exit 1
wait_for 30 test -c $DEVICE

restarted() {
    tpmtls doctor --quick >page
    has 'persistent 1 ' page
}
# against KEY: an openssl that demands a certificate.
against() {
    openssl s_server -accept 127.0.0.1:4433 -tls1_3 -cert soft.pem -key soft.key -CAfile ca.pem -Verify 2 \
        -verify_return_error -rev >server.log 2>&1 &
    server=$!
    usleep 500000
    rm -f reply
    say abcdef fedcba | tpmtls connect localhost:4433 --ca ca.pem --key "$1" --cert "$2" >reply
    has fedcba reply
    kill $server
}
key_file_p256() { against p256.key p256.pem; }
key_file_rsa() { against rsa2048.key rsa2048.pem; }
handle() { against handle:0x81000010 p256.pem; }

check 'after a restart: doctor' restarted
check 'after a restart: the key file, P-256' key_file_p256
check 'after a restart: the key file, RSA-2048' key_file_rsa
check 'after a restart: the persistent handle' handle
plan
