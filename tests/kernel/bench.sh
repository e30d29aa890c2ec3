# shellcheck shell=sh disable=SC2086,SC2154,SC3045 # busybox; the guest's files; lists of words; name, port and the rest are read
# tests/kernel/bench.sh: memory for an idle connection of each proxy, where a process may have as many files open as it likes.
# scripts/bench-proxy-guest made /prog/files: certificates, configurations, and `proxies`, a line each: NAME, COUNT, PORT,
# the port of the plaintext server, the load program, then the command.
cd /prog/files || exit 1
ulimit -n 200000
echo '1024 65000' >/proc/sys/net/ipv4/ip_local_port_range

# memory: of all processes of a session, what is theirs alone; KiB. (Files lie in memory here, and count as shared memory.)
memory() {
    for stat in /proc/[0-9]*/stat; do
        sed 's/^\([0-9]*\) (.*) /\1 /' "$stat" 2>/dev/null
    done | awk -v session=$1 '$5 == session {print $1}' | while read -r pid; do
        cat "/proc/$pid/smaps_rollup"
    done | awk '/^Pss_Anon:/ {n += $2} END {print n + 0}'
}
listens() { awk -v port="$(printf ':%04X' $1)" '$4 == "0A" && index($2, port) {found = 1} END {exit !found}' /proc/net/tcp; }
wait_until() {
    tries=$1
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 1
    done
}

mkfifo hold
while read -r name count port behind load command; do
    $load target $behind >target.log &
    target=$!
    setsid $command </dev/null >$name.log 2>&1 &
    proxy=$!
    if ! wait_until 60 listens $port; then
        echo "failed $name: it does not listen"
        cat $name.log
        continue
    fi
    $load new $port --dir . --streams 4 --count 20 >warm.log
    before=$(memory $proxy)
    rm -f held.log
    $load idle $port --dir . --streams 16 --count $count <hold >held.log 2>&1 &
    exec 9>hold
    if wait_until 3600 test -s held.log; then
        sleep 5
        echo "idle $name $count $before $(memory $proxy) $(cat held.log)"
    else
        echo "failed $name: not $count connections"
    fi
    exec 9>&-
    kill -9 $proxy $target
    [ ! -s nginx.pid ] || kill -9 "$(cat nginx.pid)"
    sleep 2
done <proxies
