#!/bin/sh
# p11-kit 0.24.1 (Debian 12), a token that is reached over its socket (p11-kit server and p11-kit-client.so: containers, sandboxes, ssh -R):
# mechanisms whose parameters the protocol does not know are taken out of C_GetMechanismList, and C_SignInit with one says
# CKR_MECHANISM_INVALID, though the token has them. CKM_RSA_PKCS_PSS goes through; CKM_SHA256_RSA_PKCS_PSS, whose parameters are
# the same, does not, nor do CKM_ECDH1_DERIVE and CKM_EDDSA. A program hashes by itself, or finds less of its token than at home.
#
# Seen on 2026-11-29: "version 0.24.1-2", "CKM_RSA_PKCS_PSS: at home yes, remote yes", "CKM_SHA256_RSA_PKCS_PSS: at home
# yes, remote no", "CKM_ECDH1_DERIVE: at home yes, remote no", "signing with CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS: at home yes
# yes, remote yes no".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and openssl, no root; nothing is installed. The token is SoftHSM's, the tool OpenSC's.
set -eu
version=0.24.1-2
dir=$(mktemp -d)
server=''
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "p11-kit=$version" "p11-kit-modules=$version" "libp11-kit0=$version" opensc opensc-pkcs11 softhsm2 libsofthsm2 \
    2>/dev/null || {
    echo "p11-kit $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
softhsm=$(find "$dir/root" -name libsofthsm2.so | head -n 1)
client=$(find "$dir/root" -name p11-kit-client.so | head -n 1)
LD_LIBRARY_PATH=$(dirname "$(find "$dir/root" -name 'libopensc.so.*' | head -n 1)"):$(dirname "$(find "$dir/root" -name 'libp11-kit.so.0')")
export LD_LIBRARY_PATH
mkdir tokens
echo "directories.tokendir = $dir/tokens" >softhsm.conf
export SOFTHSM2_CONF="$dir/softhsm.conf"
root/usr/bin/softhsm2-util --module "$softhsm" --init-token --free --label t --pin 1234 --so-pin 1234 >tool.log
tool() {
    module=$1
    shift
    timeout 60 root/usr/bin/pkcs11-tool --module "$module" --token-label t "$@" 2>>tool.log
}
tool "$softhsm" --login --pin 1234 --keypairgen --key-type RSA:2048 --id 01 >>tool.log
root/usr/libexec/p11-kit/p11-kit-server --foreground --name "$dir/socket" --provider "$softhsm" pkcs11: >server.log 2>&1 &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -S socket ]; then break; fi
    sleep 0.3
done
export P11_KIT_SERVER_ADDRESS="unix:path=$dir/socket"
tool "$softhsm" -M >home || exit 2
tool "$client" -M >remote || exit 2
has() { if grep -q "^ *$2[, ]" "$1"; then echo yes; else echo no; fi; }
echo message >message
openssl dgst -sha256 -binary <message >digest
signs() { if tool "$@" --login --pin 1234 --sign --id 01 -o sig >>tool.log; then echo yes; else echo no; fi; }
both() { echo "$(signs "$1" -m RSA-PKCS-PSS --hash-algorithm SHA256 -i digest) $(signs "$1" -m SHA256-RSA-PKCS-PSS -i message)"; }
pss="at home $(has home RSA-PKCS-PSS), remote $(has remote RSA-PKCS-PSS)"
sha="at home $(has home SHA256-RSA-PKCS-PSS), remote $(has remote SHA256-RSA-PKCS-PSS)"
ecdh="at home $(has home ECDH1-DERIVE), remote $(has remote ECDH1-DERIVE)"
signed="at home $(both "$softhsm"), remote $(both "$client")"
echo "version $version"
echo "CKM_RSA_PKCS_PSS: $pss"
echo "CKM_SHA256_RSA_PKCS_PSS: $sha"
echo "CKM_ECDH1_DERIVE: $ecdh"
echo "signing with CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS: $signed"
[ "$pss" = 'at home yes, remote yes' ] || exit 1
[ "$sha, $ecdh" = 'at home yes, remote no, at home yes, remote no' ] && [ "$signed" = 'at home yes yes, remote yes no' ]
