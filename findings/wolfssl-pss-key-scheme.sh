#!/bin/sh
# wolfSSL 5.5.4 (Debian 12) as a TLS 1.3 server with a key whose certificate says id-RSASSA-PSS: it is loaded, and CertificateVerify
# names rsa_pss_rsae_sha256, the scheme of rsaEncryption keys, to a client that offers it and rsa_pss_pss_sha256 (RFC 8446, section
# 4.2.3: rsa_pss_pss_* is the one for such a key). Clients that hold the scheme against the key end the handshake: OpenSSL
# says "wrong signature type". With rsaEncryption, or OpenSSL's server, the same client is content.
#
# Seen on 2026-11-29: "version 5.5.4-2+deb12u3", "rsaEncryption: connected", "id-RSASSA-PSS: wrong signature type", "id-RSASSA-PSS,
# OpenSSL's server: connected".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download), gcc and openssl, no root; nothing is installed. Loopback only.
set -eu
version=5.5.4-2+deb12u3
dir=$(mktemp -d)
server=''
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "libwolfssl-dev=$version" "libwolfssl35=$version" 2>/dev/null || {
    echo "libwolfssl35 $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
lib=$dir/$(dirname "$(find root -name 'libwolfssl.so.35')")
make() {
    openssl req -x509 -newkey "$2" -pkeyopt rsa_keygen_bits:2048 -nodes -subj /CN=localhost -days 2 -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
make rsa rsa
make pss rsa-pss
cat >server.c <<'C'
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    wolfSSL_Init();
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLSv1_3_server_method());
    if (argc < 3 || wolfSSL_CTX_use_certificate_chain_file(ctx, argv[1]) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(ctx, argv[2], WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
        bind(l, (struct sockaddr *)&a, n) != 0 || listen(l, 1) != 0 || getsockname(l, (struct sockaddr *)&a, &n) != 0)
        return 2;
    printf("ACCEPT 127.0.0.1:%d\n", ntohs(a.sin_port));
    fflush(stdout);
    WOLFSSL *ssl = wolfSSL_new(ctx);
    wolfSSL_set_fd(ssl, accept(l, NULL, NULL));
    if (wolfSSL_accept(ssl) == WOLFSSL_SUCCESS)
        (void)wolfSSL_write(ssl, "hello from the server\n", 22);
    (void)wolfSSL_shutdown(ssl);
    return 0;
}
C
gcc -Iroot/usr/include server.c -o server "$lib/libwolfssl.so.35"
# What openssl's client says to the server that $@ starts; a list of schemes in $1.
try() {
    schemes=$1
    shift
    : >server.log
    "$@" >server.log 2>&1 </dev/null &
    server=$!
    port=''
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
        [ -z "$port" ] || break
        sleep 0.3
    done
    sleep 1 | timeout 20 openssl s_client -connect "127.0.0.1:$port" -tls1_3 -sigalgs "$schemes" >client.log 2>&1 || true
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=''
    if grep -q 'Peer signature type: RSA-PSS' client.log; then
        echo connected
    else
        sed -n 's/.*:\(wrong signature type\):.*/\1/p' client.log | head -n 1
    fi
}
export LD_LIBRARY_PATH="$lib"
rsa=$(try rsa_pss_rsae_sha256 timeout 30 ./server rsa.pem rsa.key)
pss=$(try rsa_pss_pss_sha256:rsa_pss_rsae_sha256 timeout 30 ./server pss.pem pss.key)
other=$(try rsa_pss_pss_sha256 timeout 30 openssl s_server -accept 127.0.0.1:0 -tls1_3 -naccept 1 -cert pss.pem -key pss.key -rev)
echo "version $version"
echo "rsaEncryption: $rsa"
echo "id-RSASSA-PSS: $pss"
echo "id-RSASSA-PSS, OpenSSL's server: $other"
[ "$rsa $other" = 'connected connected' ] || exit 2
[ "$pss" = 'wrong signature type' ]
