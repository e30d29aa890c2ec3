#!/bin/sh
# libp11 0.4.12 (libengine-pkcs11-openssl of Debian 12), as nginx uses it: a key is taken in the parent, a child signs with
# it. In the child libp11 calls C_Initialize and then C_OpenSession with the slot number from before the fork: it does
# not ask for the slots again (C_GetSlotList), as PKCS#11 would have an application do that starts anew. A module that
# makes its slots when it is asked for the list has to know them by itself.
#
# Seen on 2026-11-29: "version 0.4.12-0.1", "the child: C_Initialize C_OpenSession; C_GetSlotList between them: no",
# "the child signed: yes".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download), gcc and libssl-dev, no root; nothing is installed. The module is SoftHSM, watched by
# OpenSC's pkcs11-spy.
set -eu
version=0.4.12-0.1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download "libengine-pkcs11-openssl=$version" softhsm2 libsofthsm2 opensc opensc-pkcs11 2>/dev/null || {
    echo "libengine-pkcs11-openssl $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
softhsm=$(find "$dir/root" -name libsofthsm2.so | head -n 1)
spy=$(find "$dir/root" -name pkcs11-spy.so | head -n 1)
engine=$(find "$dir/root" -path '*engines-3*' -name 'pkcs11.so' | head -n 1)
LD_LIBRARY_PATH=$(dirname "$(find "$dir/root" -name 'libopensc.so.*' | head -n 1)")
export LD_LIBRARY_PATH
mkdir tokens
echo "directories.tokendir = $dir/tokens" >softhsm.conf
export SOFTHSM2_CONF="$dir/softhsm.conf"
root/usr/bin/softhsm2-util --module "$softhsm" --init-token --free --label t --pin 1234 --so-pin 1234 >tool.log
root/usr/bin/pkcs11-tool --module "$softhsm" --token-label t --login --pin 1234 --keypairgen --key-type EC:prime256v1 \
    --id 01 >>tool.log 2>&1
cat >child.c <<'C'
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/engine.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int sign(EVP_PKEY *key)
{
    unsigned char digest[32] = {1}, sig[256];
    size_t n = sizeof sig;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    return c != NULL && EVP_PKEY_sign_init(c) == 1 && EVP_PKEY_sign(c, sig, &n, digest, sizeof digest) == 1;
}

int main(int argc, char **argv)
{
    int status = 1;
    ENGINE *e = argc < 3 ? NULL : ENGINE_by_id("dynamic");
    if (e == NULL || !ENGINE_ctrl_cmd_string(e, "SO_PATH", argv[1], 0) || !ENGINE_ctrl_cmd_string(e, "LOAD", NULL, 0) ||
        !ENGINE_ctrl_cmd_string(e, "MODULE_PATH", argv[2], 0) || !ENGINE_init(e))
        return 2;
    EVP_PKEY *key = ENGINE_load_private_key(e, "pkcs11:token=t;id=%01;type=private;pin-value=1234", NULL, NULL);
    if (key == NULL || !sign(key))
        return 2;
    fprintf(stderr, "the fork\n");
    if (fork() == 0)
        _exit(sign(key) ? 0 : 1);
    (void)wait(&status);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
C
gcc child.c -o child -lcrypto
rc=0
PKCS11SPY=$softhsm ./child "$engine" "$spy" 2>spy.log || rc=$?
[ $rc -ne 2 ] || {
    echo "the parent could not sign"
    exit 2
}
sed '1,/^the fork$/d' spy.log | sed -n 's/^[0-9]*: \(C_[A-Za-z]*\)$/\1/p' >calls
calls=$(sed '/^C_OpenSession$/q' calls | tr '\n' ' ')
echo "version $version"
case $calls in
"C_Initialize "*C_GetSlotList*C_OpenSession\ ) asked=yes ;;
"C_Initialize "*C_OpenSession\ ) asked=no ;;
*) asked="unknown ($calls)" ;;
esac
[ $rc -eq 0 ] && signed=yes || signed=no
echo "the child: C_Initialize C_OpenSession; C_GetSlotList between them: $asked"
echo "the child signed: $signed"
[ "$asked $signed" = 'no yes' ]
