#!/bin/sh
# OpenSC 0.23.0 (Debian 12), pkcs11-tool --sign --label NAME: the label does not choose the key. Of a token with two private keys the first
# one signs, whatever label was given, and the exit status is 0; only --id chooses. (--read-object --label does take the object
# of that label, so a script that fetches a public key by its label and lets "the same" key sign gets two different keys.)
#
# Seen on 2026-11-29: "version 0.23.0-0.3+deb12u2", "--label one: signed by one", "--label two: signed by one", "--id 02: signed
# by two".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and openssl, no root; nothing is installed. The token is SoftHSM's, in a folder.
set -eu
version=0.23.0-0.3+deb12u2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download "opensc=$version" "opensc-pkcs11=$version" softhsm2 libsofthsm2 2>/dev/null || {
    echo "opensc $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
softhsm=$(find "$dir/root" -name libsofthsm2.so | head -n 1)
LD_LIBRARY_PATH=$(dirname "$(find "$dir/root" -name 'libopensc.so.*' | head -n 1)")
export LD_LIBRARY_PATH
mkdir tokens
echo "directories.tokendir = $dir/tokens" >softhsm.conf
export SOFTHSM2_CONF="$dir/softhsm.conf"
tool() { root/usr/bin/pkcs11-tool --module "$softhsm" --token-label t --login --pin 1234 "$@" >>tool.log 2>&1; }
root/usr/bin/softhsm2-util --module "$softhsm" --init-token --free --label t --pin 1234 --so-pin 1234 >tool.log
tool --keypairgen --key-type EC:prime256v1 --id 01 --label one
tool --keypairgen --key-type EC:prime256v1 --id 02 --label two
tool --read-object --type pubkey --label one -o one.der
tool --read-object --type pubkey --label two -o two.der
if cmp -s one.der two.der; then exit 2; fi
echo message | openssl dgst -sha256 -binary >digest
# Whose public key verifies what is signed when the key is chosen so.
signer() {
    rm -f sig
    tool --sign -m ECDSA -f openssl "$@" -i digest -o sig || {
        echo nobody
        return
    }
    for name in one two; do
        if openssl pkeyutl -verify -pubin -keyform DER -inkey $name.der -sigfile sig -in digest >/dev/null 2>&1; then echo $name; fi
    done
}
first=$(signer --label one)
second=$(signer --label two)
by_id=$(signer --id 02)
echo "version $version"
echo "--label one: signed by $first"
echo "--label two: signed by $second"
echo "--id 02: signed by $by_id"
[ "$by_id" = two ] || exit 2
# Which of the two comes first is the token's choice.
[ "$first" = "$second" ] && [ "$first" != nobody ]
