#!/bin/sh
# tpm2-pkcs11 1.9.0 (Debian 12): the model in C_GetTokenInfo ends in NUL bytes, as the TPM has it in
# its vendor string, where PKCS#11 (2.40, CK_TOKEN_INFO) wants blanks behind the text and no NUL. p11-kit takes them for part of the name: the
# URI of such a token has model=SW%20%20%20TPM%00%00..., and one that names the model as it is read finds no token.
# The label and the manufacturer are padded with blanks; the serial number is sixteen zeros.
#
# Seen on 2026-11-29: "version 1.9.0-0.1+deb12u1", "model: 8 bytes, then 8 NUL", "manufacturer: 3 bytes, then 29 blanks", "serial number: 0000000000000000",
# "p11-kit finds a token by model=SW%20%20%20TPM: no, with the NUL bytes: yes".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and gcc, no root; nothing is installed. The TPM is swtpm, behind a socket in a folder; the store is empty.
set -eu
version=1.9.0-0.1+deb12u1
dir=$(mktemp -d)
tpm=''
end() {
    [ -z "$tpm" ] || kill "$tpm" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "libtpm2-pkcs11-1=$version" libp11-kit-dev libp11-kit0 libyaml-0-2 libtss2-esys-3.0.2-0 libtss2-fapi1 libtss2-tctildr0 \
    libtss2-sys1 libtss2-mu0 libtss2-rc0 libtss2-tcti-swtpm0 swtpm swtpm-libs libtpms0 2>/dev/null || {
    echo "libtpm2-pkcs11-1 $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
lib=$dir/$(dirname "$(find root -name 'libtss2-esys.so.0')")
LD_LIBRARY_PATH=$lib:$lib/swtpm
module=$(find "$dir/root" -name 'libtpm2_pkcs11.so.1' | head -n 1)
mkdir state store
TPM2_PKCS11_STORE=$dir/store
TPM2_PKCS11_TCTI=swtpm:path=$dir/s
TSS2_LOG=all+NONE
export LD_LIBRARY_PATH TPM2_PKCS11_STORE TPM2_PKCS11_TCTI TSS2_LOG
root/usr/bin/swtpm socket --tpm2 --tpmstate dir=state --flags not-need-init,startup-clear --log file=swtpm.log \
    --server type=unixio,path=s --ctrl type=unixio,path=s.ctrl &
tpm=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -S s ] && [ -S s.ctrl ]; then break; fi
    sleep 0.3
done
cat >info.c <<'C'
#include <dlfcn.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <string.h>

static void field(const char *name, const unsigned char *bytes, size_t size)
{
    size_t text = size;
    while (text > 0 && (bytes[text - 1] == 0 || bytes[text - 1] == ' '))
        text--;
    printf("%s: %zu bytes, then %zu %s\n", name, text, size - text, text < size && bytes[text] == 0 ? "NUL" : "blanks");
}

static const char *finds(const char *text, CK_TOKEN_INFO *info)
{
    P11KitUri *uri = p11_kit_uri_new();
    const char *found = p11_kit_uri_parse(text, P11_KIT_URI_FOR_TOKEN, uri) != P11_KIT_URI_OK ? "unreadable"
                        : p11_kit_uri_match_token_info(uri, info)                             ? "yes"
                                                                                               : "no";
    p11_kit_uri_free(uri);
    return found;
}

int main(int argc, char **argv)
{
    void *module = argc < 2 ? NULL : dlopen(argv[1], RTLD_NOW);
    CK_FUNCTION_LIST *p = NULL;
    CK_C_GetFunctionList get = module == NULL ? NULL : (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    CK_TOKEN_INFO info;
    if (get == NULL || get(&p) != CKR_OK || p->C_Initialize(NULL) != CKR_OK || p->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK || n == 0 ||
        p->C_GetTokenInfo(slots[0], &info) != CKR_OK)
        return 2;
    field("model", info.model, sizeof info.model);
    field("manufacturer", info.manufacturerID, sizeof info.manufacturerID);
    printf("serial number: %.16s\n", (const char *)info.serialNumber);
    printf("p11-kit finds a token by model=SW%%20%%20%%20TPM: %s, ", finds("pkcs11:model=SW%20%20%20TPM", &info));
    printf("with the NUL bytes: %s\n", finds("pkcs11:model=SW%20%20%20TPM%00%00%00%00%00%00%00%00", &info));
    (void)p->C_Finalize(NULL);
    return 0;
}
C
gcc -Iroot/usr/include/p11-kit-1 info.c -o info "$lib/libp11-kit.so.0"
timeout 60 ./info "$module" >seen 2>info.log || exit 2
echo "version $version"
cat seen
cat >expected <<'TEXT'
model: 8 bytes, then 8 NUL
manufacturer: 3 bytes, then 29 blanks
serial number: 0000000000000000
p11-kit finds a token by model=SW%20%20%20TPM: no, with the NUL bytes: yes
TEXT
cmp -s seen expected
