# For test groups in shell: `. tests/lib/harness.sh`, from the project root.
#
#   ok S | not_ok S WHY | not_run S WHY     print a statement
#   check S COMMAND...                      ok when the command succeeds
#   broker_start FOLDER [ARG...]            starts the broker; sets BROKER_PID and BROKER_ADDRESS
#   broker_stop                             SIGTERM, succeeds when it ends with 0
#   broker_kill                             kill -9
#   finish                                  ends the group with its exit code
# FOLDER gets data/ and broker.log. ODRADEK and ODRADEK_ARGS are read as in broker.py.

stated=0
failed=0
BROKER_PID=

ok() { stated=$((stated + 1)); echo "ok - $1"; }
not_ok() { stated=$((stated + 1)); failed=$((failed + 1)); echo "not ok - $1: $2"; }
not_run() { stated=$((stated + 1)); echo "not run: $1: $2"; }

# The command runs in this shell, so that it may wait for the broker: its output goes through a file.
check() {
    statement=$1
    shift
    output=$(mktemp)
    if "$@" >"$output" 2>&1; then
        ok "$statement"
    else
        not_ok "$statement" "$(tail -n 3 "$output" | tr '\n' ' ')"
    fi
    rm -f "$output"
}

broker_start() {
    folder=$1
    shift
    mkdir -p "$folder"
    : >"$folder/broker.log"
    # shellcheck disable=SC2086 -- ODRADEK_ARGS is a list of words
    "${ODRADEK:-build/odradek}" serve log.dirs="$folder/data" listeners=PLAINTEXT://localhost:0 "$@" \
        ${ODRADEK_ARGS:-} >>"$folder/broker.log" 2>&1 </dev/null &
    BROKER_PID=$!
    for _ in $(seq 1 2000); do
        if grep -q ' started: ' "$folder/broker.log"; then
            BROKER_ADDRESS=$(sed -n 's/.* started: .*address=\([^ ,]*\).*/\1/p' "$folder/broker.log")
            return 0
        fi
        kill -0 "$BROKER_PID" 2>/dev/null || break
        sleep 0.01
    done
    tail -n 3 "$folder/broker.log" >&2
    broker_kill
    return 1
}

broker_stop() {
    kill -TERM "$BROKER_PID" || return 1
    wait "$BROKER_PID"
    stopped=$?
    BROKER_PID=
    return "$stopped"
}

broker_kill() {
    [ -n "$BROKER_PID" ] || return 0
    kill -KILL "$BROKER_PID" 2>/dev/null
    wait "$BROKER_PID" 2>/dev/null
    BROKER_PID=
    return 0
}

finish() {
    broker_kill
    [ "$stated" -gt 0 ] || not_ok "this group states something" "it stated nothing"
    [ "$failed" -eq 0 ]
    exit
}

trap 'broker_kill' EXIT
trap 'exit 130' INT TERM
