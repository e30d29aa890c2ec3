#!/bin/sh
# Mbed TLS 3.6.6 (Debian 13) as a TLS 1.3 client: a HelloRetryRequest with a cookie (RFC 8446, section 4.2.2: what a server sends that
# keeps no state, and what each client has to give back) ends the handshake: MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION. It takes the cookie
# for an extension that it did not ask for, where the cookie is the one that may come unasked. A HelloRetryRequest
# that only asks for another group is answered well. So a server that keeps its state leaves the cookie out.
#
# Seen on 2026-11-29: "version 3.6.6-0.1~deb13u1", "no retry: 0", "a retry for another group: 0", "a retry with a cookie: -0x7500".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 13's archive over HTTP
# (apt-get with lists of its own), gcc and openssl, no root; nothing is installed. The server is openssl s_server. Loopback only.
set -eu
version=3.6.6-0.1~deb13u1
dir=$(mktemp -d)
server=''
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
mkdir -p lists/partial cache/archives/partial
echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main' >sources
: >status
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$dir/sources" -o Dir::Etc::sourceparts=- -o Dir::State="$dir" -o Dir::State::lists="$dir/lists" \
        -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" "$@" 2>/dev/null
}
{ apt update && apt download "libmbedtls-dev=$version" "libmbedtls21=$version" "libmbedx509-7=$version" "libmbedcrypto16=$version" libc6; } || {
    echo "libmbedtls21 $version is not to be had from Debian 13's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
lib=$dir/$(dirname "$(find root -name 'libmbedtls.so.21')")
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 -keyout key.pem \
    -out cert.pem 2>/dev/null
cat >client.c <<'C'
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, 0};
    mbedtls_net_context server;
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_net_init(&server);
    mbedtls_ssl_config_init(&conf);
    mbedtls_ssl_init(&ssl);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    if (argc < 2 || psa_crypto_init() != PSA_SUCCESS ||
        mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
        mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        mbedtls_net_connect(&server, "127.0.0.1", argv[1], MBEDTLS_NET_PROTO_TCP) != 0)
        return 2;
    mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &random);
    mbedtls_ssl_conf_authmode(&conf, MBEDTLS_SSL_VERIFY_NONE); /* the retry comes before any certificate */
    mbedtls_ssl_conf_groups(&conf, groups);
    if (mbedtls_ssl_setup(&ssl, &conf) != 0 || mbedtls_ssl_set_hostname(&ssl, "localhost") != 0)
        return 2;
    mbedtls_ssl_set_bio(&ssl, &server, mbedtls_net_send, mbedtls_net_recv, NULL);
    int rc = mbedtls_ssl_handshake(&ssl);
    printf(rc < 0 ? "-0x%x\n" : "%x\n", rc < 0 ? (unsigned)-rc : (unsigned)rc);
    return 0;
}
C
gcc -Iroot/usr/include client.c -o client "$lib/libmbedtls.so.21" "$lib/libmbedx509.so.7" "$lib/libmbedcrypto.so.16" \
    -Wl,--allow-shlib-undefined
mkfifo input
# What the handshake with a server with these options comes to.
try() {
    : >server.log
    openssl s_server -accept 127.0.0.1:0 -tls1_3 -key key.pem -cert cert.pem "$@" <input >server.log 2>&1 &
    server=$!
    exec 3>input
    port=''
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
        [ -z "$port" ] || break
        sleep 0.3
    done
    # With Debian 13's libc, by its own loader.
    timeout 30 "$lib/ld-linux-x86-64.so.2" --library-path "$lib" ./client "$port" || true
    exec 3>&-
    kill "$server" 2>/dev/null || true
    server=''
}
none=$(try)
group=$(try -groups P-256)
cookie=$(try -stateless)
echo "version $version"
echo "no retry: $none"
echo "a retry for another group: $group"
echo "a retry with a cookie: $cookie"
[ "$none $group" = '0 0' ] || exit 2
[ "$cookie" = -0x7500 ]
