#!/bin/sh
# Mbed TLS 3.6.6 (Debian 13) as a TLS 1.3 server: a KeyUpdate, which RFC 8446 (section 4.6.3) lets either side send at any time once the
# handshake is over, and which the limits of AES-GCM demand on long connections, makes mbedtls_ssl_read return
# MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, and the peer sees an end without an alert. Without it the same connection goes on
# until the client's close_notify (MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY). So a connection to Mbed TLS lasts as long as its first keys.
#
# Seen on 2026-11-29: "version 3.6.6-0.1~deb13u1", "without KeyUpdate: hello more again -0x7880", "with KeyUpdate: hello -0x7700, no alert".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 13's archive over HTTP
# (apt-get with lists of its own), gcc and openssl, no root; nothing is installed. Loopback only.
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
cat >server.c <<'C'
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    mbedtls_net_context listener, client;
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_net_init(&listener);
    mbedtls_ssl_config_init(&conf);
    mbedtls_x509_crt_init(&cert);
    mbedtls_pk_init(&key);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    if (argc < 2 || psa_crypto_init() != PSA_SUCCESS ||
        mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
        mbedtls_x509_crt_parse_file(&cert, "cert.pem") != 0 ||
        mbedtls_pk_parse_keyfile(&key, "key.pem", NULL, mbedtls_ctr_drbg_random, &random) != 0 ||
        mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        mbedtls_ssl_conf_own_cert(&conf, &cert, &key) != 0 || mbedtls_net_bind(&listener, "127.0.0.1", argv[1], MBEDTLS_NET_PROTO_TCP) != 0)
        return 2;
    mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &random);
    puts("listening");
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        mbedtls_net_init(&client);
        if (mbedtls_net_accept(&listener, &client, NULL, 0, NULL) != 0)
            return 2;
        mbedtls_ssl_init(&ssl);
        if (mbedtls_ssl_setup(&ssl, &conf) != 0)
            return 2;
        mbedtls_ssl_set_bio(&ssl, &client, mbedtls_net_send, mbedtls_net_recv, NULL);
        int n = mbedtls_ssl_handshake(&ssl);
        unsigned char text[64];
        while (n >= 0 || n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            if ((n = mbedtls_ssl_read(&ssl, text, sizeof text)) > 0)
                printf("%.*s ", n - 1, text);
            else if (n == 0)
                break;
        if (n < 0)
            printf("-0x%x ", (unsigned)-n);
        puts("end");
        fflush(stdout);
        mbedtls_ssl_free(&ssl);
        mbedtls_net_free(&client);
    }
    return 0;
}
C
gcc -Iroot/usr/include server.c -o server "$lib/libmbedtls.so.21" "$lib/libmbedx509.so.7" "$lib/libmbedcrypto.so.16" \
    -Wl,--allow-shlib-undefined
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
: >server.log
# With Debian 13's libc, by its own loader.
timeout 60 "$lib/ld-linux-x86-64.so.2" --library-path "$lib" ./server "$port" >server.log &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if grep -q listening server.log; then break; fi
    sleep 0.3
done
# s_client's command k sends a KeyUpdate. What it says of alerts, and what the server read until its end.
try() {
    (sleep 1 && echo hello && sleep 1 && echo "$1" && sleep 1 && echo again && sleep 1 && echo Q) |
        timeout 30 openssl s_client -connect "127.0.0.1:$port" -tls1_3 >client.log 2>&1 || true
}
try more
try k
wait "$server" || true
server=''
sed -n 's/ *end$//p' server.log >seen
grep -q KEYUPDATE client.log || exit 2
without=$(sed -n 1p seen)
with=$(sed -n 2p seen)
if grep -q 'SSL alert number' client.log; then alert=an; else alert=no; fi
echo "version $version"
echo "without KeyUpdate: $without"
echo "with KeyUpdate: $with, $alert alert"
[ "$without" = 'hello more again -0x7880' ] || exit 2
[ "$with, $alert" = 'hello -0x7700, no' ]
