#!/bin/sh
# haproxy 2.6.12 (Debian 12; 3.0.11 of Debian 13 does the same), accept-proxy: a PROXY protocol header, version 2, of a client on a unix socket
# (family AF_UNIX, two paths in 216 bytes) ends the connection, and so does the family UNSPEC, which a receiver is to fall back to for
# families that it does not know, and which it is free to refuse. One would guess that the protocol's own program reads all
# of it, and keeps the connection's own addresses where there are none: that it does for the command LOCAL alone, which is also what it
# sends for its own clients on unix sockets.
#
# Seen on 2026-11-29: "version 2.6.12-1+deb12u4", "TCP over IPv4: answered", "LOCAL: answered", "AF_UNIX: closed", "UNSPEC: closed".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and python3, no root; nothing is installed. Loopback only.
set -eu
version=2.6.12-1+deb12u4
dir=$(mktemp -d)
server=''
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$dir"
}
trap end EXIT
cd "$dir"
apt-get -qq download "haproxy=$version" liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 2>/dev/null || {
    echo "haproxy $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
LD_LIBRARY_PATH=$dir/$(dirname "$(find root -name 'liblua5.3.so.0')")
export LD_LIBRARY_PATH
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >haproxy.cfg <<CONF
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend f
    bind 127.0.0.1:$port accept-proxy
    http-request return status 200 content-type text/plain string "hello"
CONF
timeout 60 root/usr/sbin/haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
server=$!
cat >ask.py <<'PYTHON'
import socket
import struct
import sys
import time


def header(command, family, rest):
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", 0x20 | command, family, len(rest)) + rest


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


paths = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
addresses = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.8") + struct.pack(">HH", 40000, 443)
print("TCP over IPv4:", ask(header(1, 0x11, addresses)))
print("LOCAL:", ask(header(0, 0x00, b"")))
print("AF_UNIX:", ask(header(1, 0x31, paths)))
print("UNSPEC:", ask(header(1, 0x00, b"")))
PYTHON
python3 ask.py "$port" >seen || {
    cat haproxy.log
    exit 2
}
echo "version $version"
cat seen
printf 'TCP over IPv4: answered\nLOCAL: answered\nAF_UNIX: closed\nUNSPEC: closed\n' | cmp -s - seen
