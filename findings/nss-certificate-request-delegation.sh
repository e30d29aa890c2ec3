#!/bin/sh
# NSS 3.87.1 (Debian 12), tstclnt as a TLS 1.3 client: a CertificateRequest with the extension delegated_credential (RFC 9345,
# section 4.1.2: a server that takes them from clients sends it there) ends the handshake with illegal_parameter
# (SSL_ERROR_EXTENSION_DISALLOWED_FOR_VERSION), although NSS knows delegated credentials, and although it passes over an
# extension there that nobody knows. So a server asks for them only where it knows its clients.
#
# Seen on 2026-11-29: "version 2:3.87.1-1+deb12u4", "none: connected", "delegated_credential (34): SSL_ERROR_EXTENSION_DISALLOWED_FOR_VERSION,
# alert 47", "an unknown one (65000): connected".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download), gcc and libssl-dev, no root; nothing is installed. The server is libssl. Loopback only.
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
lib=$(dirname "$(find root -name 'libnss3.so')")
bin=$dir/root/usr/bin
nss() { LD_LIBRARY_PATH="$dir/$lib:$dir/$lib/nss" PATH=$bin:$PATH "$@"; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 -keyout key.pem \
    -out cert.pem 2>/dev/null
mkdir db
nss certutil -N -d sql:db --empty-password
nss certutil -A -d sql:db -n ca -t C,, -i cert.pem
cat >server.c <<'C'
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const unsigned char schemes[] = {0, 2, 4, 3}; /* a list of one: ecdsa_secp256r1_sha256 */

static int add(SSL *s, unsigned type, unsigned where, const unsigned char **out, size_t *len, X509 *x, size_t i, int *alert,
               void *arg)
{
    *out = schemes;
    *len = sizeof schemes;
    return 1;
}

static int parse(SSL *s, unsigned type, unsigned where, const unsigned char *in, size_t len, X509 *x, size_t i, int *alert,
                 void *arg)
{
    return 1;
}

static int anybody(int good, X509_STORE_CTX *store)
{
    return 1;
}

int main(int argc, char **argv)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    if (SSL_CTX_use_certificate_file(ctx, "cert.pem", SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, "key.pem", SSL_FILETYPE_PEM) != 1 || bind(l, (struct sockaddr *)&a, n) != 0 ||
        listen(l, 1) != 0 || getsockname(l, (struct sockaddr *)&a, &n) != 0)
        return 2;
    if (argc > 1 && SSL_CTX_add_custom_ext(ctx, atoi(argv[1]), SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_CERTIFICATE_REQUEST,
                                           add, NULL, NULL, parse, NULL) != 1)
        return 2;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, anybody);
    printf("port %d\n", ntohs(a.sin_port));
    fflush(stdout);
    SSL *s = SSL_new(ctx);
    SSL_set_fd(s, accept(l, NULL, NULL));
    if (SSL_accept(s) == 1) {
        char request[256];
        (void)SSL_read(s, request, sizeof request);
        (void)SSL_write(s, "HTTP/1.0 200 OK\r\n\r\n", 19);
        (void)SSL_shutdown(s);
        puts("connected");
    } else {
        printf("alert %d\n", ERR_GET_REASON(ERR_peek_error()) - SSL_AD_REASON_OFFSET);
    }
    return 0;
}
C
gcc server.c -o server -lssl -lcrypto
# What came of a handshake whose CertificateRequest has this extension.
try() {
    : >server.log
    timeout 30 ./server "$@" >server.log &
    server=$!
    port=''
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(sed -n 's/^port //p' server.log)
        [ -z "$port" ] || break
        sleep 0.3
    done
    (printf 'GET / HTTP/1.0\r\n\r\n' && sleep 1) |
        nss timeout 20 tstclnt -4 -h 127.0.0.1 -p "$port" -a localhost -d sql:db -V tls1.3:tls1.3 >client.log 2>&1 || true
    wait "$server" || true
    server=''
    if grep -q 'HTTP/1.0 200' client.log && grep -q connected server.log; then
        echo connected
    else
        echo "$(grep -o 'SSL_ERROR_[A-Z_]*' client.log | head -n 1), $(grep alert server.log)"
    fi
}
echo "version $version"
none=$(try)
known=$(try 34)
unknown=$(try 65000)
echo "none: $none"
echo "delegated_credential (34): $known"
echo "an unknown one (65000): $unknown"
[ "$none $unknown" = 'connected connected' ] || exit 1
[ "$known" = 'SSL_ERROR_EXTENSION_DISALLOWED_FOR_VERSION, alert 47' ]
