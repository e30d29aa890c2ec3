#!/bin/sh
# NSS 3.87.1 (Debian 12), tstclnt in TLS 1.3: of a server with an RSA key NSS wants keyEncipherment in the certificate's keyUsage, for
# the RSA key exchange that TLS 1.3 has not: with digitalSignature alone, which is what the server's signature needs (RFC 8446,
# section 4.4.2.2), it ends the handshake with SEC_ERROR_INADEQUATE_KEY_USAGE. For an ECDSA key digitalSignature is enough. So
# a CA whose servers have RSA keys and peers on NSS writes both.
#
# Seen on 2026-11-29: "version 2:3.87.1-1+deb12u4", "RSA, digitalSignature: SEC_ERROR_INADEQUATE_KEY_USAGE", "RSA, digitalSignature
# and keyEncipherment: connected", "ECDSA, digitalSignature: connected", "RSA, digitalSignature, OpenSSL's client: connected".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and openssl, no root; nothing is installed. The server is openssl s_server. Loopback only.
set -eu
version=2:3.87.1-1+deb12u4
dir=$(mktemp -d)
server=''
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "libnss3-tools=$version" "libnss3=$version" libnspr4 2>/dev/null || {
    echo "libnss3-tools $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
lib=$dir/$(dirname "$(find root -name 'libnss3.so')")
nss() { LD_LIBRARY_PATH="$lib:$lib/nss" PATH=$dir/root/usr/bin:$PATH timeout 20 "$@"; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 2 -addext keyUsage=critical,keyCertSign \
    -keyout ca.key -out ca.pem 2>/dev/null
mkdir db
nss certutil -N -d sql:db --empty-password
nss certutil -A -d sql:db -n ca -t C,, -i ca.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out RSA.key 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ECDSA.key
# A server with this kind of key and this keyUsage; its port.
serve() {
    openssl req -new -key "$1.key" -subj /CN=localhost -out server.csr
    printf 'keyUsage=critical,%s\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost\n' "$2" >extensions
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -extfile extensions -out server.pem 2>/dev/null
    : >server.log
    openssl s_server -accept 127.0.0.1:0 -tls1_3 -key "$1.key" -cert server.pem -www >server.log 2>&1 &
    server=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
        [ -z "$port" ] || break
        sleep 0.3
    done
}
# What this client came to with it.
with() {
    (printf 'GET / HTTP/1.0\r\n\r\n' && sleep 1) | "$@" >client.log 2>&1 || true
    kill "$server" 2>/dev/null || true
    server=''
    if grep -aq 'HTTP/1.0 200' client.log; then said=connected; else said=$(grep -ao 'SEC_ERROR_[A-Z_]*' client.log | head -n 1); fi
}
with_nss() { with nss tstclnt -4 -h 127.0.0.1 -p "$port" -a localhost -d sql:db -V tls1.3:tls1.3; }
serve RSA digitalSignature
with_nss
rsa=$said
serve RSA digitalSignature,keyEncipherment
with_nss
both=$said
serve ECDSA digitalSignature
with_nss
ecdsa=$said
serve RSA digitalSignature
with timeout 20 openssl s_client -connect "127.0.0.1:$port" -tls1_3 -CAfile ca.pem -verify_return_error -purpose sslserver -ign_eof
other=$said
echo "version $version"
echo "RSA, digitalSignature: $rsa"
echo "RSA, digitalSignature and keyEncipherment: $both"
echo "ECDSA, digitalSignature: $ecdsa"
echo "RSA, digitalSignature, OpenSSL's client: $other"
[ "$both $ecdsa $other" = 'connected connected connected' ] || exit 2
[ "$rsa" = SEC_ERROR_INADEQUATE_KEY_USAGE ]
