#!/bin/sh
# Apache httpd 2.4.71 (Debian 12), mod_remoteip with RemoteIPProxyProtocol: a header of the PROXY protocol, version 2, may have
# 216 bytes behind its first 16 (what two unix paths need, and the protocol's own example of a struct holds). The length
# field says up to 65,535, and the text says that what is not understood is skipped; here one byte more ends the connection without
# an answer, and the error log has AH10186. A client on IPv6, its common name, a server name, an ALPN protocol and what haproxy tells of TLS
# are more than 216 bytes in everyday use.
#
# Seen on 2026-11-29: "version 2.4.71-1~deb12u1", "216 bytes: answered", "217 bytes: closed", "an everyday header of 227
# bytes: closed".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and python3, no root; nothing is installed. Loopback only.
set -eu
version=2.4.71-1~deb12u1
dir=$(mktemp -d)
server=''
end() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "apache2-bin=$version" libapr1 libaprutil1 libexpat1 2>/dev/null || {
    echo "apache2-bin $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
LD_LIBRARY_PATH=$(dirname "$(find "$dir/root" -name 'libapr-1.so.0')")
export LD_LIBRARY_PATH
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
modules=$dir/root/usr/lib/apache2/modules
cat >httpd.conf <<CONF
ServerRoot $dir
ServerName localhost
PidFile $dir/pid
ErrorLog $dir/error.log
DocumentRoot $dir
Listen 127.0.0.1:$port
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule remoteip_module $modules/mod_remoteip.so
RemoteIPProxyProtocol On
StartServers 1
User nobody
Group nogroup
CONF
root/usr/sbin/apache2 -f "$dir/httpd.conf" -DFOREGROUND 2>start.log &
server=$!
cat >ask.py <<'PYTHON'
import socket
import struct
import sys
import time


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def header(tlvs):
    addresses = b"".join(socket.inet_pton(socket.AF_INET6, a) for a in ("2001:db8::7", "2001:db8::8"))
    rest = addresses + struct.pack(">HH", 40000, 443) + tlvs
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", 0x21, 0x21, len(rest)) + rest


def of_size(size):
    return header(tlv(0x04, bytes(size - 36 - 3)))  # PP2_TYPE_NOOP, which is there to be skipped


def ask(head):
    for _ in range(50):
        try:
            s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    else:
        sys.exit("no server")
    s.sendall(head + b"GET / HTTP/1.0\r\n\r\n")
    try:
        return "answered" if s.recv(100).startswith(b"HTTP/1.") else "closed"
    except ConnectionResetError:
        return "closed"


ssl = b"\x07\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"device-0815.fleet.example.org") + tlv(0x25, b"EC256")
ssl += tlv(0x24, b"ecdsa-with-SHA256") + tlv(0x23, b"TLS_AES_256_GCM_SHA384")
request = tlv(0x05, b"01234567-89ab-4cde-8f01-23456789abcd")
everyday = header(
    tlv(0x01, b"http/1.1") + tlv(0x02, b"gateway-1.site-12.fleet.example.org") + request + tlv(0x20, ssl)
)
print("216 bytes:", ask(of_size(216)))
print("217 bytes:", ask(of_size(217)))
print("an everyday header of %d bytes:" % (len(everyday) - 16), ask(everyday))
PYTHON
python3 ask.py "$port" >seen || {
    cat start.log
    exit 2
}
echo "version $version"
cat seen
grep -q AH10186 error.log && grep -q '^216 bytes: answered' seen && grep -q '^217 bytes: closed' seen && grep -q '^an everyday.*closed' seen
