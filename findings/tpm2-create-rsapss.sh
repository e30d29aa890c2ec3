#!/bin/sh
# tpm2-tools 5.4 (Debian 12), tpm2_create: a signing key with the scheme RSA-PSS, -G rsa2048:rsapss-sha256, is refused by the TPM with
# 0x2D6 (parameter 2: unsupported symmetric algorithm): the tool puts AES-128-CFB into the template, which only a storage key may
# have. With rsassa or an ECDSA scheme in the same place it puts none. rsa2048:rsapss-sha256:null says that there is
# none, and works. The error names the TPM's symmetric algorithms, and the TPM is not the cause.
#
# Seen on 2026-11-29: "version 5.4-1", "rsa2048:rsassa-sha256: made", "rsa2048:rsapss-sha256: 0x2D6", "rsa2048:rsapss-sha256:null: made".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download), no root; nothing is installed. The TPM is swtpm, behind a socket in a folder.
set -eu
version=5.4-1
dir=$(mktemp -d)
tpm=''
end() {
    [ -z "$tpm" ] || kill "$tpm" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "tpm2-tools=$version" libtss2-esys-3.0.2-0 libtss2-fapi1 libtss2-tctildr0 libtss2-sys1 libtss2-mu0 libtss2-rc0 \
    libtss2-tcti-swtpm0 libefivar1 swtpm swtpm-libs libtpms0 2>/dev/null || {
    echo "tpm2-tools $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
lib=$dir/$(dirname "$(find root -name 'libtss2-esys.so.0')")
LD_LIBRARY_PATH=$lib:$lib/swtpm
PATH=$dir/root/usr/bin:$PATH
TPM2TOOLS_TCTI=swtpm:path=$dir/s
TSS2_LOG=all+NONE
export LD_LIBRARY_PATH PATH TPM2TOOLS_TCTI TSS2_LOG
mkdir state
swtpm socket --tpm2 --tpmstate dir=state --flags not-need-init,startup-clear --log file=swtpm.log \
    --server type=unixio,path=s --ctrl type=unixio,path=s.ctrl &
tpm=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -S s ] && [ -S s.ctrl ]; then break; fi
    sleep 0.3
done
timeout 60 tpm2_createprimary -Q -C o -G ecc -c parent.ctx || exit 2
make() {
    tpm2_flushcontext -t
    if timeout 60 tpm2_create -Q -C parent.ctx -G "$1" -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' -u key.pub -r key.priv \
        2>tool.log; then
        echo made
    else
        grep -o '0x[0-9A-F]*' tool.log | head -n 1
    fi
}
rsassa=$(make rsa2048:rsassa-sha256)
rsapss=$(make rsa2048:rsapss-sha256)
none=$(make rsa2048:rsapss-sha256:null)
echo "version $version"
echo "rsa2048:rsassa-sha256: $rsassa"
echo "rsa2048:rsapss-sha256: $rsapss"
echo "rsa2048:rsapss-sha256:null: $none"
[ "$rsassa $none" = 'made made' ] || exit 2
[ "$rsapss" = 0x2D6 ]
