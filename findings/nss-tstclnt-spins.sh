#!/bin/sh
# NSS 3.87.1 (Debian 12), tstclnt: its standard input is a pipe whose other end was closed: tstclnt neither ends nor
# waits, but asks poll() again and again, with all the processor time it can get, until it is killed. Whoever calls it
# from a script gives it a time limit.
#
# Seen on 2026-11-29: "version 2:3.87.1-1+deb12u4", "tstclnt after 5 s: running, 300 ms of CPU or more: yes".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download), openssl, no root; nothing is installed.
set -eu
version=2:3.87.1-1+deb12u4
dir=$(mktemp -d)
server='' client=''
end() {
    [ -z "$client" ] || kill "$client" 2>/dev/null || true
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
export LD_LIBRARY_PATH="$dir/$lib:$dir/$lib/nss"
bin=$dir/root/usr/bin
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 -keyout key.pem \
    -out cert.pem 2>/dev/null
mkdir db
"$bin/certutil" -N -d sql:db --empty-password
"$bin/certutil" -A -d sql:db -n ca -t C,, -i cert.pem
# -www answers the first request and ends the connection.
: >server.log
openssl s_server -accept 127.0.0.1:0 -tls1_3 -key key.pem -cert cert.pem -www >server.log 2>&1 &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
    [ -z "$port" ] || break
    sleep 0.3
done
mkfifo pipe
"$bin/tstclnt" -4 -h 127.0.0.1 -p "$port" -a localhost -d sql:db <pipe >answer 2>&1 &
client=$!
printf 'GET / HTTP/1.0\r\n\r\n' >pipe
sleep 5
ticks=$(awk '{ print $14 + $15 }' "/proc/$client/stat" 2>/dev/null || echo 0)
[ "$ticks" -gt 0 ] && state=running || state=ended
spent=$((ticks * 1000 / $(getconf CLK_TCK)))
grep -q 'HTTP/1.0 200' answer || {
    echo "there was no answer to look at"
    exit 2
}
echo "version $version"
[ $spent -ge 300 ] && much=yes || much=no
echo "tstclnt after 5 s: $state, 300 ms of CPU or more: $much"
[ "$state $much" = 'running yes' ]
