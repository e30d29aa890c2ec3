#!/bin/sh
# tpm2-tss 3.2.1 and libp11 0.4.12 (Debian 12) in one process: an ENGINE that is libcrypto's default (curl and others make the engine of
# a PKCS#11 key so) is asked for the EC key that tpm2-tss makes for itself in Esys_StartAuthSession with an EC tpmKey, and
# tpm2-tss cannot read what it then gets: a session salted to the storage root key fails with 0x70001, "general failure" of ESYS,
# with every TPM, though the engine has nothing to do with TPMs. Whoever uses a TPM inside of somebody else's process
# (a PKCS#11 module, a provider) has to keep his libcrypto apart from its engines.
#
# Seen on 2026-11-29: "versions 3.2.1-3, 0.4.12-0.1", "no engine: 0x0", "the engine as the default: 0x70001".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download), gcc, libssl-dev, no root; nothing is installed. The TPM is swtpm, behind a socket in a folder.
set -eu
tss=3.2.1-3
p11=0.4.12-0.1
dir=$(mktemp -d)
tpm=''
end() {
    [ -z "$tpm" ] || kill "$tpm" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "libtss2-dev=$tss" "libtss2-esys-3.0.2-0=$tss" "libtss2-tctildr0=$tss" "libtss2-sys1=$tss" \
    "libtss2-mu0=$tss" "libtss2-tcti-swtpm0=$tss" "libengine-pkcs11-openssl=$p11" swtpm swtpm-libs libtpms0 2>/dev/null || {
    echo "tpm2-tss $tss or libp11 $p11 is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
lib=$dir/$(dirname "$(find root -name 'libtss2-esys.so.0')")
LD_LIBRARY_PATH=$lib:$lib/swtpm
export LD_LIBRARY_PATH TSS2_LOG=all+NONE
engine=$(find "$dir/root" -path '*engines-3*' -name 'pkcs11.so' | head -n 1)
mkdir state
root/usr/bin/swtpm socket --tpm2 --tpmstate dir=state --flags not-need-init,startup-clear --log file=swtpm.log \
    --server type=unixio,path=s --ctrl type=unixio,path=s.ctrl &
tpm=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -S s ] && [ -S s.ctrl ]; then break; fi
    sleep 0.3
done
cat >session.c <<'C'
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/engine.h>
#include <stdio.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

static const TPM2B_PUBLIC storage = {
    .publicArea = {.type = TPM2_ALG_ECC,
                   .nameAlg = TPM2_ALG_SHA256,
                   .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                       TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                                       TPMA_OBJECT_DECRYPT,
                   .parameters.eccDetail = {.symmetric = {TPM2_ALG_AES, {.aes = 128}, {.aes = TPM2_ALG_CFB}},
                                            .scheme.scheme = TPM2_ALG_NULL,
                                            .curveID = TPM2_ECC_NIST_P256,
                                            .kdf.scheme = TPM2_ALG_NULL}}};

int main(int argc, char **argv)
{
    ENGINE *e = argc < 2 ? NULL : ENGINE_by_id("dynamic");
    if (argc > 1 && (e == NULL || !ENGINE_ctrl_cmd_string(e, "SO_PATH", argv[1], 0) ||
                     !ENGINE_ctrl_cmd_string(e, "LOAD", NULL, 0) || !ENGINE_init(e) || !ENGINE_set_default(e, ENGINE_METHOD_ALL)))
        return 2;
    TSS2_TCTI_CONTEXT *tcti = NULL;
    ESYS_CONTEXT *esys = NULL;
    ESYS_TR key = ESYS_TR_NONE, session = ESYS_TR_NONE;
    TPM2B_SENSITIVE_CREATE secret = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPMT_SYM_DEF aes = {TPM2_ALG_AES, {.aes = 128}, {.aes = TPM2_ALG_CFB}};
    if (Tss2_TctiLdr_Initialize("swtpm:path=s", &tcti) != TSS2_RC_SUCCESS || Esys_Initialize(&esys, tcti, NULL) != TSS2_RC_SUCCESS ||
        Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &secret, &storage, &outside,
                           &pcrs, &key, NULL, NULL, NULL, NULL) != TSS2_RC_SUCCESS)
        return 2;
    TSS2_RC rc = Esys_StartAuthSession(esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_HMAC,
                                       &aes, TPM2_ALG_SHA256, &session);
    printf("0x%x\n", rc);
    if (rc == TSS2_RC_SUCCESS)
        (void)Esys_FlushContext(esys, session);
    (void)Esys_FlushContext(esys, key);
    return 0;
}
C
gcc -Iroot/usr/include session.c -o session "$lib/libtss2-esys.so.0" "$lib/libtss2-tctildr.so.0" -lcrypto
alone=$(timeout 60 ./session) || exit 2
beside=$(timeout 60 ./session "$engine") || exit 2
echo "versions $tss, $p11"
echo "no engine: $alone"
echo "the engine as the default: $beside"
[ "$alone $beside" = '0x0 0x70001' ]
