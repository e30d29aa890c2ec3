#!/bin/sh
# tpm2-openssl 1.1.1 (Debian 12): rsa_pss_saltlen is taken for a signature by a key in the TPM, whatever it asks for, and has no
# effect: the salt is as long as the TPM makes it. OpenSSL's own keys have the salt that was asked for, and a signature that
# is verified with it fails, though signing said nothing. (A TPM 2.0 chooses the salt of TPM2_Sign by itself; only a block that was padded outside,
# and the bare private operation, has another.)
#
# Seen on 2026-11-29: "version 1.1.1-1", "asked for 20: signed, the salt has 32 bytes", "asked for max: signed, the salt has 32 bytes",
# "a key of OpenSSL's, asked for 20: the salt has 20 bytes".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and its openssl, no root; nothing is installed. The TPM is swtpm, behind a socket in a folder.
set -eu
version=1.1.1-1
dir=$(mktemp -d)
tpm=''
end() {
    [ -z "$tpm" ] || kill "$tpm" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "tpm2-openssl=$version" libtss2-esys-3.0.2-0 libtss2-tctildr0 libtss2-sys1 libtss2-mu0 libtss2-rc0 \
    libtss2-tcti-swtpm0 swtpm swtpm-libs libtpms0 2>/dev/null || {
    echo "tpm2-openssl $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
lib=$dir/$(dirname "$(find root -name 'libtss2-esys.so.0')")
OPENSSL_MODULES=$dir/$(dirname "$(find root -name 'tpm2.so')")
TPM2OPENSSL_TCTI=swtpm:path=$dir/s
TSS2_LOG=all+NONE
export OPENSSL_MODULES TPM2OPENSSL_TCTI TSS2_LOG
with_tss() { LD_LIBRARY_PATH=$lib:$lib/swtpm timeout 60 "$@"; }
mkdir state
LD_LIBRARY_PATH=$lib:$lib/swtpm root/usr/bin/swtpm socket --tpm2 --tpmstate dir=state --flags not-need-init,startup-clear --log file=swtpm.log \
    --server type=unixio,path=s --ctrl type=unixio,path=s.ctrl &
tpm=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -S s ] && [ -S s.ctrl ]; then break; fi
    sleep 0.3
done
echo message >message
with_tss openssl genpkey -provider tpm2 -algorithm RSA -pkeyopt bits:2048 -out tpm.key 2>/dev/null || exit 2
with_tss openssl pkey -provider tpm2 -provider default -in tpm.key -pubout -out tpm.pub || exit 2
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out own.key 2>/dev/null
openssl pkey -in own.key -pubout -out own.pub
# How long the salt in a signature is: the one length with which it verifies.
salt() {
    for n in 0 20 32 48 64 222; do
        if openssl dgst -sha256 -verify "$1" -sigopt rsa_padding_mode:pss -sigopt "rsa_pss_saltlen:$n" -signature sig message >/dev/null 2>&1; then
            echo "the salt has $n bytes"
            return
        fi
    done
    echo "no signature"
}
sign() {
    rm -f sig
    if with_tss openssl dgst -provider tpm2 -provider default -propquery '?provider=tpm2' -sha256 -sign tpm.key -sigopt rsa_padding_mode:pss \
        -sigopt "rsa_pss_saltlen:$1" -out sig message 2>/dev/null; then
        echo "signed, $(salt tpm.pub)"
    else
        echo "refused"
    fi
}
short=$(sign 20)
long=$(sign max)
openssl dgst -sha256 -sign own.key -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20 -out sig message
own=$(salt own.pub)
echo "version $version"
echo "asked for 20: $short"
echo "asked for max: $long"
echo "a key of OpenSSL's, asked for 20: $own"
[ "$own" = 'the salt has 20 bytes' ] || exit 2
[ "$short, $long" = 'signed, the salt has 32 bytes, signed, the salt has 32 bytes' ]
