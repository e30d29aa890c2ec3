# shellcheck shell=sh disable=SC2181 # see check
# tests/kernel/tap.sh: cases in a guest, sourced. A case is a function run in a shell of its own under `set -e`, so its
# first command that fails ends it; what it printed is shown when it failed.
CASES=0
DEVICE=/dev/tpmrm0
export TPM2TOOLS_TCTI=device:$DEVICE TPMTLS_TPM=device

# check NAME FUNCTION: one line of TAP.
check() {
    CASES=$((CASES + 1))
    began=$(cut -d' ' -f1 /proc/uptime)
    # Not in a condition: there `set -e` would not count.
    (
        set -e
        "$2"
    ) >/tmp/case.log 2>&1
    if [ $? -eq 0 ]; then
        echo "ok $CASES - $1"
    else
        sed 's/^/# /' /tmp/case.log
        echo "not ok $CASES - $1"
    fi
    echo "# $(cut -d' ' -f1 /proc/uptime | awk -v b="$began" '{printf "%.1f s", $1 - b}')"
}
plan() { echo "1..$CASES"; }

# has TEXT FILE, lacks TEXT FILE: a basic regular expression.
has() {
    grep -q -e "$1" "$2" && return
    echo "no '$1' in $2:"
    cat "$2"
    return 1
}
lacks() {
    ! grep -q -e "$1" "$2" && return
    echo "'$1' in $2:"
    cat "$2"
    return 1
}
# exits CODE COMMAND...: it ends with exactly this status.
exits() {
    want=$1
    shift
    got=0
    "$@" || got=$?
    [ $got -eq "$want" ] || { echo "exit status $got, not $want: $*" && return 1; }
}
# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    tries=$(($1 * 20))
    shift
    while [ $tries -gt 0 ]; do
        "$@" >/dev/null 2>&1 && return
        usleep 50000
        tries=$((tries - 1))
    done
    echo "waited in vain for: $*"
    return 1
}
# say WORD ANSWER: a peer's input, open until its output, the file reply (removed before), has the answer.
say() {
    echo "$1"
    wait_for 20 has "$2" reply >&2
}
# commands FILE: how many TPM commands the handshake of this --json output took.
commands() { sed -n 's/.*"event":"handshake".*"tpm_commands":\([0-9]*\).*/\1/p' "$1"; }
# port FILE: where a `serve` listens.
port() { sed -n 's/.*listening on [^ ]*:\([0-9]*\).*/\1/p' "$1"; }
