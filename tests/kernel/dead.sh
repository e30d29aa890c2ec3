# shellcheck shell=sh disable=SC2086,SC2154,SC2317 # as in cases.sh, which sets some variables
# tests/kernel/dead.sh: a descriptor that the kernel has given up. Linux 6.1's resource manager answers EFAULT to every write
# once a session lay idle for 65,530 of others' (../shared/neighbours.md 21); a new open works. Here strace gives the answer, to
# any command. Sourced by cases.sh.

# watched NTH: three handshakes with a server whose NTH write to the device is refused; 0: none. Sets started: the writes until it
# listened.
watched() {
    inject=
    [ $1 -eq 0 ] || inject="-e inject=write:error=EFAULT:when=$1"
    strace -f -q -o dead.trace -P $DEVICE -e trace=openat,write $inject \
        tpmtls serve 127.0.0.1:0 --key p256.key --cert p256.pem --trace >/dev/null 2>serve-dead.log &
    watcher=$!
    wait_for 60 has 'listening on' serve-dead.log
    started=$(grep -c 'write(' dead.trace)
    server=$(cat /proc/$watcher/task/$watcher/children)
    at=$(port serve-dead.log)
    for _ in 1 2 3; do
        echo hello | tpmtls connect "localhost:$at" --ca ca/ca.pem >reply 2>said || { cat said serve-dead.log dead.trace && return 1; }
        has hello reply
    done
    kill $server
    wait $watcher || true
}
# After the answer the device is opened anew before anything else is written to it.
reopened() {
    awk '/INJECTED/ {lost = 1; next} lost && /openat\(/ {opened = 1} lost && !opened && /write\(/ {exit 1}
         END {exit !(lost && opened)}' dead.trace || { cat dead.trace && return 1; }
}
dead_descriptor() {
    watched 0
    first=$((started + 1)) last=$(grep -c 'write(' dead.trace)
    [ $last -gt $first ] # a signature is one, and maybe more
    for nth in $first $last; do
        echo "write $nth of $last"
        watched $nth
        reopened
    done
}
dead_cases() { check 'a descriptor that the resource manager has given up is opened anew' dead_descriptor; }
