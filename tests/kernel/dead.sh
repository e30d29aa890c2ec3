# shellcheck shell=sh disable=SC2086,SC2154,SC2317 # as in cases.sh, which sets some variables
# tests/kernel/dead.sh: a descriptor that the kernel has given up. Linux 6.1's resource manager answers EFAULT to every write
# once a session lay idle for 65,530 of others' (../shared/neighbours.md 21); a new open works. Here strace gives the answer, to
# any command. Sourced by cases.sh.

# watched NTH: eight handshakes with a server; a thread's NTH write to the device is refused; 0: none. (strace counts in each thread,
# and the way that is opened anew has a new one.)
watched() {
    inject=
    [ $1 -eq 0 ] || inject="-e inject=write:error=EFAULT:when=$1"
    strace -f -q -o dead.trace -P $DEVICE -e trace=openat,write $inject \
        tpmtls serve 127.0.0.1:0 --key p256.key --cert p256.pem --trace >/dev/null 2>serve-dead.log &
    watcher=$!
    wait_for 60 has 'listening on' serve-dead.log
    server=$(cat /proc/$watcher/task/$watcher/children)
    at=$(port serve-dead.log)
    for _ in 1 2 3 4 5 6 7 8; do
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
# The last but one: the last takes the key out of the TPM at the end.
dead_descriptor() {
    watched 0
    watched "$(awk '/write\(/ {n[$1]++} END {for (thread in n) if (n[thread] > most) most = n[thread]; print most - 1}' dead.trace)"
    [ "$(grep -c INJECTED dead.trace)" -eq 1 ]
    reopened
}
dead_cases() { check 'a descriptor that the resource manager has given up is opened anew' dead_descriptor; }
