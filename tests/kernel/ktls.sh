# shellcheck shell=sh disable=SC1091,SC2086,SC2317 # the guest's files; one word each; check calls them
# tests/kernel/ktls.sh: the proxy where the kernel has TLS: one that takes new keys gets the records (guest `next`), one
# that does not is left alone (guest `ktls`). No byte is lost, whatever the peer does.
. /prog/tap.sh

mkdir -p /tmp/w
cd /tmp/w || exit 1
for module in tls gcm ctr aesni-intel; do modprobe $module 2>/dev/null; done
export XDG_STATE_HOME=/tmp/w/state XDG_RUNTIME_DIR=/tmp/w/run
mkdir -p state run

setup() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=CA -days 30 \
        -addext keyUsage=critical,keyCertSign,cRLSign
    for name in server client; do
        printf 'extendedKeyUsage=%sAuth\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n' $name >$name.ext
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile $name.ext -out $name.pem
    done
    seq 1 3000000 | head -c 20000000 >much
}

# The programs: an echo behind the server, and one that only sends.
nc -ll -p 9000 -e cat &
nc -ll -p 9001 -e sh -c 'cat much; sleep 100' &

proxies() {
    cat >server.conf <<CONF
[proxy]
status = 127.0.0.1:9602
[server echo]
listen = 127.0.0.1:9443
connect = 127.0.0.1:9000
key = server.key
cert = server.pem
client-ca = ca.pem
allow-all = yes
[server endless]
listen = 127.0.0.1:9444
connect = 127.0.0.1:9001
key = server.key
cert = server.pem
client-ca = ca.pem
allow-all = yes
CONF
    tpmtls -v proxy run server.conf 2>server.log &
    wait_for 20 has 'event=listening tunnel=endless' server.log
    tpmtls -v proxy client --listen 127.0.0.1:9500 --connect localhost:9443 --key client.key --cert client.pem --ca ca.pem \
        --status 127.0.0.1:9601 2>client.log &
    wait_for 20 has 'event=listening tunnel=client' client.log
}

status_port() { [ $1 = client ] && echo 9601 || echo 9602; }
page() { printf 'GET /_status HTTP/1.0\r\nHost: localhost\r\n\r\n' | nc 127.0.0.1 "$(status_port $1)"; }
taken() { page $1 | sed -n 's/.*"kernel_tls": \([0-9]*\).*/\1/p' | awk '{n += $1} END {print n + 0}'; }
has_ktls() { [ "$GUEST_TPM" = next ]; }

says_what_it_does() {
    if has_ktls; then
        has 'event=ktls state=on' server.log
    else
        has 'event=ktls state="off: this kernel.s TLS takes no new keys' server.log
    fi
}

# Echoed whole, by both tunnels; both ends in order. A transfer takes longer than the proxies take to move it.
both_ways() {
    before_client=$(taken client) before_server=$(taken server)
    timeout 100 nc 127.0.0.1 9500 <much >back
    cmp much back
    if has_ktls; then
        [ "$(taken client)" -gt "$before_client" ]
        [ "$(taken server)" -gt "$before_server" ]
    else
        [ "$(taken client)$(taken server)" = 00 ]
    fi
    wait_for 10 has 'event=closed tunnel=echo' server.log
    wait_for 10 has 'event=closed tunnel=client' client.log
    lacks 'event=cut' server.log
    lacks 'event=cut' client.log
}

# The peer changes its keys, asks us to, and goes on; more than once, and in mid-stream.
key_updates() {
    rekeys=$(awk '/TlsRxRekeyOk|TlsTxRekeyOk/ {n += $2} END {print n + 0}' /proc/net/tls_stat)
    (
        seq 1 20000
        sleep 3
        for i in 1 2 3; do
            echo K
            sleep 1
            echo "after update $i"
            sleep 1
            echo k
            sleep 1
            seq 1 20000 | sed "s/^/$i./"
            sleep 1
        done
        echo the end
        sleep 2
    ) | timeout 100 s_client 9443 >updates 2>updates.err
    for i in 1 2 3; do
        has "^after update $i" updates
        has "^$i.20000" updates
    done
    has '^the end' updates
    ! has_ktls || [ "$(awk '/TlsRxRekeyOk|TlsTxRekeyOk/ {n += $2} END {print n + 0}' /proc/net/tls_stat)" -ge $((rekeys + 6)) ]
}

# Who is cut sees that it was no end.
cut_by_the_peer() {
    openssl s_client -connect 127.0.0.1:9443 -CAfile ca.pem -cert client.pem -key client.key <pipe.in >/dev/null 2>&1 &
    peer=$!
    exec 3>pipe.in
    seq 1 30000 >&3
    sleep 2
    kill -9 $peer
    exec 3>&-
    wait_for 10 has 'event=cut tunnel=echo' server.log
}

# A server that sends and sends.
much_from_the_program() {
    sleep 8 | timeout 30 s_client 9444 >many 2>many.err || true
    [ "$(wc -c <many)" -gt 20000000 ]
}

# A byte at a time, ends of records wherever they are.
trickle() {
    (
        seq 1 20000
        sleep 2
        for i in 1 2 3 4 5 6 7 8 9; do
            printf %s $i
            usleep 200000
        done
        echo .
        sleep 1
    ) | timeout 60 nc 127.0.0.1 9500 >trickled
    tail -n 1 trickled | grep -q '^123456789\.$'
    [ "$(wc -l <trickled)" -eq 20001 ]
}

# Tickets that came before and behind: the next connection resumes.
resumes() {
    echo hello | timeout 20 nc 127.0.0.1 9500 | grep -q hello
    page client | grep -q '"resumed": [1-9]'
}

mkfifo pipe.in
# shellcheck disable=SC2016 # the script's own
printf '#!/bin/sh\nexec openssl s_client -connect 127.0.0.1:$1 -CAfile ca.pem -cert client.pem -key client.key\n' >/usr/bin/s_client
chmod 755 /usr/bin/s_client
check 'keys and certificates' setup
proxies >proxies.log 2>&1
check 'the status says what is done with it' says_what_it_does
check '20 MB echoed through two tunnels' both_ways
check 'half a second of nothing, a byte at a time' trickle
check 'KeyUpdates of the peer, with and without an answer' key_updates
check 'a peer that is killed' cut_by_the_peer
check 'much from a program that goes on' much_from_the_program
check 'and resumption' resumes
has_ktls && sed 's/^/# /' /proc/net/tls_stat
tail -n 5 server.log client.log | sed 's/^/# /'
plan
