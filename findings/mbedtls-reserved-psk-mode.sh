#!/bin/sh
# Mbed TLS 3.6.6 (Debian 13) as a TLS 1.3 server: a ClientHello whose psk_key_exchange_modes has a reserved value (RFC 8701, section 3.1: a
# client may put one there, and a server has to pass over it as over any that it does not know) beside psk_dhe_ke is refused
# with illegal_parameter, although there is no PSK in it; reserved suites, groups, versions and extensions are passed over. So a client
# that wants to reach everybody keeps reserved values out of that one list.
#
# Seen on 2026-11-29: "version 3.6.6-0.1~deb13u1", "psk_dhe_ke alone: ServerHello", "with 0x2a behind it: alert 47", "with 0x2a before
# it: alert 47", "reserved values everywhere else: ServerHello".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 13's archive over HTTP
# (apt-get with lists of its own), gcc, openssl and python3, no root; nothing is installed. Loopback only.
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
    for (int i = 0; i < 4; i++) {
        mbedtls_net_init(&client);
        if (mbedtls_net_accept(&listener, &client, NULL, 0, NULL) != 0)
            return 2;
        mbedtls_ssl_init(&ssl);
        if (mbedtls_ssl_setup(&ssl, &conf) != 0)
            return 2;
        mbedtls_ssl_set_bio(&ssl, &client, mbedtls_net_send, mbedtls_net_recv, NULL);
        (void)mbedtls_ssl_handshake(&ssl);
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
cat >hello.py <<'PYTHON'
import os
import socket
import struct
import sys


def vec16(value):
    return struct.pack(">H", len(value)) + value


def extension(kind, value):
    return struct.pack(">H", kind) + vec16(value)


def client_hello(modes, grease=False):
    def reserved(value):
        return struct.pack(">H", value) if grease else b""

    shares = (reserved(0x3A3A) + vec16(b"\0") if grease else b"") + struct.pack(">H", 29) + vec16(os.urandom(32))
    versions = reserved(0x5A5A) + b"\3\4"
    extensions = (extension(0x1A1A, b"") if grease else b"") + extension(43, bytes([len(versions)]) + versions)
    extensions += extension(10, vec16(reserved(0x3A3A) + struct.pack(">H", 29)))
    extensions += extension(13, vec16(reserved(0x4A4A) + b"\4\3\x08\4")) + extension(51, vec16(shares))
    extensions += extension(45, bytes([len(modes)]) + modes)
    suites = vec16(reserved(0x0A0A) + b"\x13\1")
    body = b"\3\3" + os.urandom(32) + b"\x20" + os.urandom(32) + suites + b"\1\0" + vec16(extensions)
    return b"\x16\3\1" + vec16(b"\1" + struct.pack(">I", len(body))[1:] + body)


def ask(*hello):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) as s:
        s.sendall(client_hello(*hello))
        got = s.recv(64)
    if len(got) > 6 and got[0] == 0x15:
        return "alert %d" % got[6]
    return "ServerHello" if len(got) > 6 and (got[0], got[5]) == (0x16, 2) else "closed"


print("psk_dhe_ke alone:", ask(b"\1"))
print("with 0x2a behind it:", ask(b"\1\x2a"))
print("with 0x2a before it:", ask(b"\x2a\1"))
print("reserved values everywhere else:", ask(b"\1", True))
PYTHON
python3 hello.py "$port" >seen || exit 2
echo "version $version"
cat seen
cat >expected <<'TEXT'
psk_dhe_ke alone: ServerHello
with 0x2a behind it: alert 47
with 0x2a before it: alert 47
reserved values everywhere else: ServerHello
TEXT
cmp -s seen expected
