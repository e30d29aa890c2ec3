#!/bin/sh
# wolfSSL 5.5.4 (Debian 12) as a TLS 1.3 client: after a HelloRetryRequest its second ClientHello has the extensions in another order than
# the first. RFC 8446 (section 4.1.2) has it send the same ClientHello without modification, but for the key share and a few
# others. A server that compares the two byte by byte refuses it; it has to compare extension by extension, as OpenSSL does.
#
# Seen on 2026-11-29: "version 5.5.4-2+deb12u3", "first ClientHello: 45 51 43 13 10 22 0", "second ClientHello: 43 13 45 51 10 22 0",
# "OpenSSL's server: connected".
# Ends with 0 while the order differs, with 1 when that has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download), gcc, openssl and python3, no root; nothing is installed. Loopback only.
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
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 -keyout key.pem \
    -out cert.pem 2>/dev/null
cat >client.c <<'C'
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_port = htons((uint16_t)(argc < 2 ? 0 : atoi(argv[1])));
    wolfSSL_Init();
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL); /* the ClientHellos come before any certificate */
    if (wolfSSL_CTX_UseSNI(ctx, WOLFSSL_SNI_HOST_NAME, "localhost", 9) != WOLFSSL_SUCCESS || connect(s, (struct sockaddr *)&a, sizeof a) != 0)
        return 2;
    WOLFSSL *ssl = wolfSSL_new(ctx);
    wolfSSL_set_fd(ssl, s);
    puts(wolfSSL_connect(ssl) == WOLFSSL_SUCCESS ? "connected" : "refused");
    return 0;
}
C
gcc -Iroot/usr/include client.c -o client "$lib/libwolfssl.so.35"
# Its first key share is for another group than the server's only one.
mkfifo input
: >server.log
openssl s_server -accept 127.0.0.1:0 -tls1_3 -key key.pem -cert cert.pem -groups P-384 -msg <input >server.log 2>&1 &
server=$!
exec 3>input
port=''
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
    [ -z "$port" ] || break
    sleep 0.3
done
said=$(LD_LIBRARY_PATH=$lib timeout 30 ./client "$port") || exit 2
sleep 1
exec 3>&-
cat >order.py <<'PYTHON'
import sys

hellos, current = [], None
with open("server.log", encoding="ascii", errors="replace") as log:
    for line in log:
        if line.startswith(("<<<", ">>>")):
            current = bytearray() if line.startswith("<<<") and "ClientHello" in line else None
            if current is not None:
                hellos.append(current)
        elif current is not None and line.startswith("    "):
            current += bytes.fromhex(line)


def types(hello):
    at = 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at] + 2
    while at < len(hello):
        yield int.from_bytes(hello[at : at + 2], "big")
        at += 4 + int.from_bytes(hello[at + 2 : at + 4], "big")


if len(hellos) != 2:
    sys.exit("not two ClientHellos")
for name, hello in zip(("first", "second"), hellos):
    print(name, "ClientHello:", *types(hello))
PYTHON
python3 order.py >seen || exit 2
first=$(sed -n 's/^first ClientHello: //p' seen)
second=$(sed -n 's/^second ClientHello: //p' seen)
echo "version $version"
cat seen
echo "OpenSSL's server: $said"
[ "$said" = connected ] && [ "$first" != "$second" ]
